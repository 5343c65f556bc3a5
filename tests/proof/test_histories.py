"""Histories of real objects, in threads, in processes, and in processes that are killed; and of
twins that are broken on purpose, which have to be refused."""

from __future__ import annotations

import itertools

import histories
import pytest
from subject import Subject
from subjects import BROKEN, REAL

ROUNDS = 2


def _each(subjects: list[Subject], most: int) -> list[object]:
    return [
        pytest.param(subject, way, id=f"{subject.name}-{way}")
        for subject in subjects
        for way in histories.ways(subject)[:most]
    ]


@pytest.mark.parametrize(("subject", "way"), _each(REAL, 3))
def test_linearizable(subject: Subject, way: str) -> None:
    for seed in range(ROUNDS):
        recording = histories.check(subject, way, seed)
        assert recording.operations > 0
        if way != "killed":
            assert not recording.pending


@pytest.mark.parametrize(("subject", "way"), _each(BROKEN, 2))
def test_a_broken_twin_is_refused(subject: Subject, way: str) -> None:
    histories.refused(subject, way)


@pytest.mark.parametrize("way", ["threads", "processes"])
def test_workers_do_run_at_the_same_time(way: str) -> None:
    """Histories of calls that never overlap would prove nothing."""

    def overlaps(seed: int) -> bool:
        for history in histories.check(REAL[0], way, seed).histories:
            operations = sorted(history, key=lambda op: op.began)
            pairs = itertools.pairwise(operations)
            if any(a.ended >= b.began and a.worker != b.worker for a, b in pairs):
                return True
        return False

    assert any(map(overlaps, range(20)))
