"""How long a mutex takes from one hand to the next, and that everybody gets it.

Each worker takes the mutex, holds it for some microseconds, releases it, and takes it again at
once: the hardest case, for whoever runs has it sooner than one that must be woken. A hand-over is
timed from just before the release to just after the next owner's acquire, where that is another
worker; the moment of the release lies in memory that the mutex guards.

The mutex promises no order among those who wait. What is checked is that no one starves: every
worker gets the mutex, and at least `SHARE` of what an equal part would be. How long that takes is
the system's affair: a measurement lasts its time, and on until there were `EACH` hand-overs for
each worker, since of fewer nobody can tell who was left out by the mutex and who by a busy machine.
Threads wait for the GIL too, which Python hands over every 5 ms; processes show the mutex itself.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import dataclass

import fleet
import numpy as np

from caffe2op.atomics import Mutex

SHARE = 0.01
MOST = 200_000  # hand-overs that are kept of each worker
EACH = 10
LONGER = 60.0  # seconds that it may last on
HOLD = 5e-6
OWNER, SINCE = range(2)


@dataclass
class Latency:
    kind: str
    workers: int
    microseconds: list[float]  # p50, p99, the longest
    hand_overs: int
    least_share: float  # of the worker that had the mutex least often, over an equal part

    def __str__(self) -> str:
        p50, p99, longest = self.microseconds
        return (
            f"{self.workers:3} {self.kind:9} {self.hand_overs:9,} {p50:9.1f} {p99:9.0f} "
            f"{longest:9.0f} {self.least_share:9.2f}"
        )


HEAD = "workers          hand-overs    p50 us    p99 us    max us     share"


def measure(kind: str, workers: int, seconds: float) -> Latency:
    """`kind`: "threads" or "processes". `share` is the least worker's part over an equal part."""
    mutex = Mutex(fleet.shared(1, np.uint64))
    last = fleet.shared(2)  # guarded by the mutex
    took = fleet.shared((workers, MOST))
    turns, passes = fleet.shared(workers), fleet.shared(workers)
    ready, gate = fleet.shared(workers), fleet.shared(1)

    def work(number: int) -> None:
        clock, mine = time.perf_counter, took[number]
        ready[number] = 1
        while not gate[0]:
            time.sleep(0.001)
        end = clock() + seconds
        n = 0
        while True:
            with mutex:
                now = time.monotonic_ns()
                if last[OWNER] != number and last[SINCE] and n < MOST:
                    mine[n] = now - last[SINCE]
                    n += 1
                    passes[number] = n
                turns[number] += 1
                held = clock()
                while clock() < held + HOLD:
                    pass
                last[OWNER] = number
                last[SINCE] = time.monotonic_ns()
            if held > end and (passes.sum() >= EACH * workers or held > end + LONGER):
                return

    def open_gate() -> None:
        fleet.await_("all workers", lambda: bool(ready.all()))
        gate[0] = 1

    if kind == "threads":
        threads = [threading.Thread(target=work, args=(k,), daemon=True) for k in range(workers)]
        for thread in threads:
            thread.start()
        open_gate()
        for thread in threads:
            thread.join()
    else:
        pids = [fleet.fork(lambda k=k: work(k)) for k in range(workers)]
        try:
            open_gate()
            while pids:
                fleet.join(pids[-1])
                pids.pop()
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
    assert passes.sum() >= EACH * workers, f"{passes.sum()} hand-overs are too few to judge by"
    times = np.concatenate([took[k, : passes[k]] for k in range(workers)]) / 1e3
    return Latency(
        kind,
        workers,
        [float(f) for f in np.percentile(times, [50, 99, 100])],
        len(times),
        float(turns.min() * workers / turns.sum()),
    )
