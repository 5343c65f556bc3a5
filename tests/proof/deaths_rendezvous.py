"""Processes are killed at a rendezvous; the others go on meeting.

The rendezvous says nothing of deaths: one that is killed while it waits has arrived, and the
meeting counts it, as it counts one that is killed right after. What has to hold all the same is
that the word stays whole and that nobody waits for ever: with the dead one replaced, meetings go
on, although its wake may never have been sent; without a replacement those who wait have their
timeout. Every return from a meeting is acknowledged, and the meetings that the word has counted,
times the parties, are the acknowledged returns and at most one for each death and each living
worker.
"""

from __future__ import annotations

import fleet

from caffe2op.asyncnet import Rendezvous

PARTIES = 3


class Scene:
    def __init__(self) -> None:
        self.word = fleet.shared(1)
        self.returned = fleet.shared(PARTIES)
        self.meeting = Rendezvous(PARTIES, self.word)
        self.deaths = 0

    def work(self, number: int) -> None:
        while True:
            self.meeting.wait()
            self.returned[number] += 1

    @property
    def met(self) -> int:
        return int(self.word[0]) >> 32

    def check(self) -> None:
        least = int(self.returned.sum())
        met = self.met
        most = int(self.returned.sum()) + self.deaths + PARTIES
        assert least <= met * PARTIES <= most, (least, met, most)
        assert 0 <= self.meeting.waiting < PARTIES


def kill(times: int, seed: int = 0) -> Scene:
    scene = Scene()
    steps = scene.returned.__getitem__
    for workers, number in fleet.killings(PARTIES, scene.work, times, seed, steps, 2e-4):
        workers.kill(number)
        scene.deaths += 1
        scene.check()
    return scene
