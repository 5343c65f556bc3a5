"""Owners, waiters, and those who hand a mutex over are killed; nobody else comes to harm.

Three workers take one mutex in turn. Under it each makes a change of two words that must agree,
and counts, when it has released the mutex, that this change was made: it is *acknowledged* then.
One worker after the other is killed at a random moment. After each death:

- a worker that died as the owner is followed by one that is told (OwnerDiedError), exactly one,
  who finds the two words in any state, and repairs them; after any other death nobody is told, and
  the words agree (a worker that finds otherwise fails, and the fleet with it);
- nothing that was acknowledged is missing, and nothing was done that nobody began: changes are
  between the acknowledged ones and those plus one for each death and each living worker.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter

import fleet
import numpy as np

from caffe2op.atomics import Mutex, OwnerDiedError

WORKERS = 3
IDLE, ACQUIRING, HOLDING, RELEASING = range(4)
DOING = ["between", "acquiring or waiting", "holding", "releasing or handing over"]
CHANGES, AGAIN, TOLD, TOLD_AT = range(4)  # the words: two that agree, and what heirs wrote
STATED, BUSY = 0.05, 2.0  # seconds to a take-over: as a rule, and on a machine with other work
PID = (1 << 22) - 1  # of an owner's name (csrc/platform_linux.c)


class Scene:
    """The memory, what a worker does on it, and what has to hold after a death."""

    def __init__(self) -> None:
        self.word = fleet.shared(1, np.uint64)
        self.words = fleet.shared(4)
        self.doing = fleet.shared(WORKERS)
        self.acknowledged = fleet.shared(WORKERS)
        self.mutex = Mutex(self.word)
        self.deaths = 0
        self.doing_when_killed: Counter[str] = Counter()
        self.take_over: list[float] = []  # seconds from the kill to the heir

    def work(self, number: int) -> None:
        words, rng = self.words, random.Random(os.getpid())
        while True:
            self.doing[number] = ACQUIRING
            try:
                self.mutex.acquire()
            except OwnerDiedError:
                self.inherit()
            self.doing[number] = HOLDING
            assert words[CHANGES] == words[AGAIN], "two were inside, or nobody was told"
            words[CHANGES] += 1
            fleet.pause(rng, 3e-5)
            words[AGAIN] += 1
            self.doing[number] = RELEASING
            self.mutex.release()
            self.acknowledged[number] += 1
            self.doing[number] = IDLE

    def inherit(self) -> None:
        words = self.words
        words[AGAIN] = words[CHANGES]
        words[TOLD_AT] = time.monotonic_ns()
        words[TOLD] += 1

    def owner(self) -> int:
        """The process that holds the mutex, or held it when it died."""
        return int(self.word[0]) & PID

    def kill_one(self, workers: fleet.Fleet, number: int) -> None:
        told, pid = int(self.words[TOLD]), workers.pids[number]
        killed = time.monotonic_ns()
        workers.kill(number)
        self.deaths += 1
        doing = int(self.doing[number])
        self.doing_when_killed[DOING[doing]] += 1
        if doing == HOLDING or self.owner() == pid:
            self.await_heir(told, killed)
            assert self.words[TOLD] == told + 1
        self.check_changes()
        # One that died beside the lock may have been inside it, or not; told once at the most.
        assert self.words[TOLD] - told <= (doing != IDLE)

    def await_heir(self, told: int, killed: int) -> None:
        fleet.await_("a heir of a dead owner", lambda: self.words[TOLD] > told)
        self.take_over.append((int(self.words[TOLD_AT]) - killed) / 1e9)

    def check_times(self, slack: float = 1.2, busy: float = BUSY) -> None:
        """Of the take-overs: the half of them within `slack` times what is stated, all within
        `busy` seconds, before the system's own delays could be taken for a lock that nobody
        inherits."""
        took = sorted(self.take_over)
        assert took[len(took) // 2] < slack * STATED, took
        assert took[-1] < busy, took[-5:]

    def check_changes(self) -> None:
        """Takes part itself, under the mutex, so that the two counts belong together."""
        least = int(self.acknowledged.sum())
        try:
            self.mutex.acquire()
        except OwnerDiedError:
            self.inherit()
        changes = int(self.words[CHANGES])
        assert changes == self.words[AGAIN]
        self.mutex.release()
        most = int(self.acknowledged.sum()) + self.deaths + WORKERS
        assert least <= changes <= most, (least, changes, most)


def kill(times: int, seed: int = 0) -> Scene:
    scene = Scene()
    steps = scene.acknowledged.__getitem__
    for workers, number in fleet.killings(WORKERS, scene.work, times, seed, steps, 3e-4):
        scene.kill_one(workers, number)
        scene.doing[number] = IDLE
    return scene


def stop(times: int, seconds: float, seed: int = 0) -> int:
    """Owners that are stopped (SIGSTOP) for so long, longer than a waiter's looks are apart, are
    not robbed: nobody else comes in. How many of the stopped were owners."""
    scene, rng, owners = Scene(), random.Random(seed), 0
    with fleet.Fleet(WORKERS, scene.work) as workers:
        for turn in range(times):
            number = turn % WORKERS
            fleet.await_("a first turn", lambda: scene.acknowledged[number] > 0)  # noqa: B023
            for _ in range(100):  # until one is stopped as the owner
                fleet.pause(rng, 1e-4)
                pid = workers.pids[number]
                os.kill(pid, signal.SIGSTOP)
                os.waitid(os.P_PID, pid, os.WSTOPPED | os.WNOWAIT)
                if scene.owner() == pid:
                    owners += 1
                    changes = int(scene.words[CHANGES])
                    assert not scene.mutex.acquire(timeout=seconds)
                    assert scene.owner() == pid
                    assert scene.words[CHANGES] == changes
                    assert scene.words[TOLD] == 0
                    os.kill(pid, signal.SIGCONT)
                    break
                os.kill(pid, signal.SIGCONT)
        before = scene.acknowledged.copy()
        fleet.await_("the continued go on", lambda: bool((scene.acknowledged > before).all()))
        assert scene.words[TOLD] == 0
    return owners
