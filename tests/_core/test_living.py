"""living.py: objects are found as long as they live, and their places are given up."""

from __future__ import annotations

import gc

from caffe2op._core import living


class Thing:
    pass


def test_those_that_live_are_found() -> None:
    found: living.Living[Thing] = living.Living()
    things = [Thing() for _ in range(5)]
    for thing in things:
        found.add(thing)
    assert list(found) == things
    del things[2], thing
    gc.collect()
    assert list(found) == things


def test_some_may_come_and_go_while_one_looks() -> None:
    found: living.Living[Thing] = living.Living()
    things = [Thing() for _ in range(5)]
    for thing in things:
        found.add(thing)
    seen = []
    for thing in found:
        seen.append(thing)
        things.append(Thing())
        found.add(things[-1])
    assert seen == things[:5]


def test_places_do_not_grow_with_the_dead() -> None:
    found: living.Living[Thing] = living.Living()
    kept = [Thing() for _ in range(100)]
    for thing in kept:
        found.add(thing)
        for _ in range(100):
            found.add(Thing())
    assert list(found) == kept
    assert len(found._places) <= 2 * len(kept) + living.FEW
