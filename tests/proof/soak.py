"""Many nets, plans, AsyncNets, locks and processes at the same time, for a stated time; every
increment is counted, and nothing grows.

    python tests/proof/soak.py --seconds 60 --increments 1e9

Threads, each with a job, go round until the time is over and the increments are made. Every job
makes what it uses, uses it, compares what it counted with what it finds, and drops it. Between
rounds this process looks at its memory, threads, open files and shared segments. All jobs run in
the first fifth of the time, too, so what is filled once (caches, pools, the allocator's arenas) is
full then; from there on, the least of the last third must be no more than the least of the first,
within a tolerance for the allocator.

A process of its own (test_soak.py starts one), so that what is measured is this and nothing else.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import threading
import time
import traceback
from array import array
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path

import fleet
import numpy as np

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.atomics import AtomicArray, Mutex, SharedArray

MEMORY = 12 << 20  # bytes that the allocators may have kept
BLOCKS = 1000  # and what threads that are about to end still hold
THREADS = 8  # that the core's pool may have come to keep
SLOTS = 64
INDICES = np.random.default_rng(0).integers(SLOTS, size=200_000)
step = core.execution_step


@dataclass(frozen=True)
class Usage:
    memory: int
    blocks: int  # of Python's allocator
    threads: int
    files: int
    segments: int

    def __str__(self) -> str:
        return (
            f"{self.memory / 2**20:.1f} MB, {self.blocks:,} blocks, {self.threads} threads, "
            f"{self.files} files, {self.segments} segments"
        )


def usage() -> Usage:
    ours = f"-{os.getpid()}-"  # in the names that SharedArray makes up
    resident = int(Path("/proc/self/statm").read_text().split()[1])
    return Usage(
        resident * os.sysconf("SC_PAGE_SIZE"),
        sys.getallocatedblocks(),
        len(os.listdir("/proc/self/task")),
        len(os.listdir("/proc/self/fd")),
        sum(name.startswith("caffe2op.") and ours in name for name in os.listdir("/dev/shm")),
    )


def net_of(name: str) -> core.Net:
    """core.Net(name) would keep the name for the life of the process, lest another net gets it."""
    return core.Net(core.NetDef(name))


# ---- jobs: each returns how many increments it made and found -----------------------------------


def bulk_adds(turn: int) -> int:
    """Three threads, one of which adds under a mutex too."""
    table, plain = AtomicArray(np.zeros(SLOTS, np.int64)), np.zeros(1, np.int64)
    mutex = Mutex()

    def add() -> None:
        table.add_at(INDICES, 1)
        for _ in range(20):
            table.add(1)
            with mutex:
                plain[0] += 1

    threads = [threading.Thread(target=add) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = 3 * (len(INDICES) + 20 * SLOTS)
    assert int(table.array.sum()) == made, (table.array.sum(), made)
    assert plain[0] == 60
    return made + 60


def plans(turn: int) -> int:
    """Concurrent steps that count: lock-free, under a mutex, and in a counter."""
    blobs = [f"{name}_{turn}" for name in ("free", "locked", "one", "mutex", "counter")]
    free, locked, one, mutex, counter = blobs
    for blob, value in ((free, 0), (locked, 0), (one, 1)):
        workspace.FeedBlob(blob, np.int64(value))
    workspace.RunOperatorOnce(core.CreateOperator("CreateMutex", [], [mutex]))
    workspace.RunOperatorOnce(core.CreateOperator("CreateCounter", [], [counter], init_count=0))
    steps = []
    for k in range(4):
        net = net_of(f"count_{turn}_{k}")
        net.AtomicFetchAdd64([free, one], [free, f"seen_{k}"])
        net.AtomicFetchAdd64([mutex, locked, one], [locked, f"seen_too_{k}"])
        net.CountUp(counter, f"counted_{k}")
        steps.append(step(f"substep_{turn}_{k}", net, num_iter=4000))
    workspace.RunPlan(step(f"all_{turn}", steps, concurrent_substeps=True, num_iter=2))
    found = [int(workspace.FetchBlob(blob)) for blob in (free, locked, counter)]
    assert found == [4 * 4000 * 2] * 3, found
    return sum(found)


def async_nets(turn: int) -> int:
    """Runs in flight of two nets that add to one blob."""
    total, one = f"total_{turn}", f"one_{turn}"
    workspace.FeedBlob(total, np.int64(0))
    workspace.FeedBlob(one, np.int64(1))
    nets = []
    for k in range(2):
        net = net_of(f"async_{turn}_{k}")
        for part in range(8):
            net.AtomicFetchAdd64([total, one], [total, f"before_{k}_{part}"])
        nets.append(AsyncNet(net, workers=2))
    runs = [net.submit() for _ in range(20) for net in nets]
    for run in runs:
        run.result(60)
    for net in nets:
        net.close()
    found = int(workspace.FetchBlob(total))
    assert found == len(runs) * 8, found
    return found


def processes(turn: int) -> int:
    """Forks that attach to a named segment, and take turns with a mutex in it."""
    with SharedArray.create(SLOTS + 2, np.int64) as memory:
        name = memory.name
        pids = [fleet.fork(lambda: _add_from_outside(name)) for _ in range(2)]
        for pid in pids:
            fleet.join(pid)
        made = 2 * (len(INDICES) + 50)
        assert int(memory.array[1:].sum()) == made, (memory.array, made)
    return made


def _add_from_outside(name: str) -> None:
    memory = SharedArray.attach(name)
    mutex, table = memory.mutex(0), AtomicArray(memory.array[2:])
    table.add_at(INDICES, 1)
    for _ in range(50):
        with mutex:
            memory.array[1] += 1


def nets(turn: int) -> int:
    """Nets made, run and replaced; a queue between two of them."""
    queue, item, out = (f"{name}_{turn}" for name in ("queue", "item", "out"))
    create = core.CreateOperator("CreateBlobsQueue", [], [queue], capacity=4, num_blobs=1)
    workspace.RunOperatorOnce(create)
    workspace.FeedBlob(item, np.ones(1000, np.float32))
    put, take = net_of(f"put_{turn}"), net_of(f"take_{turn}")
    put.EnqueueBlobs([queue, item], [item])
    take.DequeueBlobs([queue], [out])
    both = [step(f"{net.Proto().name}_step", net, num_iter=50) for net in (put, take)]
    workspace.RunPlan(step(f"hand_over_{turn}", both, concurrent_substeps=True))
    found = int(workspace.FetchBlob(out).sum())
    assert found == 1000
    return 50


JOBS: list[Callable[[int], int]] = [bulk_adds, plans, async_nets, processes, nets]


# ---- round and round ------------------------------------------------------------------------


@dataclass
class Result:
    increments: int
    rounds: int
    seconds: float
    first: Usage
    last: Usage


def one_round(turn: int) -> int:
    """Every job at the same time, in a thread each; what they leave in the workspace is dropped."""
    counted: list[int] = []
    errors: list[BaseException] = []

    def guarded(job: Callable[[int], int]) -> None:
        try:
            counted.append(job(turn))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in JOBS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    workspace.ResetWorkspace()
    return sum(counted)


def count_up(many: int) -> int:
    """So many increments by two threads, in bulk: most of a billion."""
    if many <= 0:
        return 0
    table = AtomicArray(np.zeros(SLOTS, np.int64))
    calls = -(-many // (2 * len(INDICES)))

    def add() -> None:
        for _ in range(calls):
            table.add_at(INDICES, 1)

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = int(table.array.sum())
    assert found == 2 * calls * len(INDICES), (found, calls)
    return found


def soak(seconds: float, increments: int) -> Result:
    """At least so long, and so many increments. AssertionError where one is missing, or where
    something grew."""
    began = time.monotonic()
    total, rounds = 0, 0
    seen = array("q")  # no objects: they are what is counted
    while (passed := time.monotonic() - began) < seconds or total < increments or rounds < 9:
        total += one_round(rounds)
        rounds += 1
        due = increments * min(1, passed / seconds) - total
        total += count_up(min(int(due), 20_000_000))
        gc.collect()
        seen.extend(astuple(usage()))
    settled = np.array(seen).reshape(rounds, -1)[rounds // 5 :]
    third = len(settled) // 3
    first, last = _least(settled[:third]), _least(settled[-third:])
    assert last.memory <= first.memory + MEMORY, f"memory: {first.memory} to {last.memory}"
    more = last.blocks - first.blocks  # one object a round, in all jobs together, is a leak
    assert more <= rounds // 2 + BLOCKS, f"objects: {first.blocks} to {last.blocks}"
    assert last.segments <= first.segments, f"segments: {first.segments} to {last.segments}"
    assert last.threads <= first.threads + THREADS, f"threads: {first.threads} to {last.threads}"
    assert last.files <= first.files, f"files: {first.files} to {last.files}"
    return Result(total, rounds, time.monotonic() - began, first, last)


def _least(seen: fleet.Array) -> Usage:
    return Usage(*seen.min(axis=0).tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description="The soak: python tests/proof/soak.py")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--increments", type=float, default=1e9)
    given = parser.parse_args()
    result = soak(given.seconds, int(given.increments))
    print(f"{result.increments:,} increments in {result.rounds} rounds, {result.seconds:.0f} s")
    print(f"first: {result.first}")
    print(f"last:  {result.last}")


if __name__ == "__main__":
    try:
        main()
    except AssertionError:
        traceback.print_exc()
        sys.exit(1)
