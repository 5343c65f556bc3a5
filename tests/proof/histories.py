"""Recorded histories of the real objects are linearizable; those of their broken twins are not."""

from __future__ import annotations

from collections.abc import Iterator

from linearizability import linearization
from recorder import Recording, record
from subject import Subject
from subjects import BROKEN, REAL
from table import Row

from caffe2op.examples.own_workspace import own_workspace


def ways(subject: Subject) -> list[str]:
    return ["threads", "processes", "killed"] if subject.processes else ["threads"]


def explained(subject: Subject, recording: Recording) -> bool:
    return all(linearization(history, subject.model) is not None for history in recording.histories)


def check(subject: Subject, way: str, seed: int, calls: int = 100) -> Recording:
    """Record and decide. AssertionError, with what repeats it, where no order explains it."""
    with own_workspace("proof"):
        recording = record(subject, way, seed, calls=calls)
    assert explained(subject, recording), (
        f"{subject.name} in {way}, seed {seed}: no order explains {recording.histories}"
    )
    return recording


def refused(subject: Subject, way: str, tries: int = 20) -> int:
    """In which of so many recordings a broken twin was found; AssertionError when in none."""
    for seed in range(tries):
        with own_workspace("proof"):
            recording = record(subject, way, seed, calls=30)
        if not explained(subject, recording):
            return seed + 1
    raise AssertionError(f"{subject.name} in {way} passed {tries} times")


def rows(rounds: int, calls: int) -> Iterator[Row]:
    for subject in REAL:
        made = [check(subject, way, seed, calls) for way in ways(subject) for seed in range(rounds)]
        count = sum(one.operations for one in made)
        kills, pending = sum(one.kills for one in made), sum(one.pending for one in made)
        of_dead = f", {kills:,} kills, {pending:,} pending" if kills else ""
        histories = sum(len(one.histories) for one in made)
        yield Row(
            f"linearizable: {subject.name}", f"{histories:,} histories, {count:,} calls{of_dead}"
        )
    for subject in BROKEN:
        for way in ways(subject)[:2]:
            refused(subject, way)
    yield Row("the checker refuses broken twins", f"{len(BROKEN)} twins", "refused")
