"""The short form of the deaths: as run.py's, with fewer kills; and owners that are stopped, come
back under the same number, or are forged."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("fleets are killed by prctl, and looked up in /proc", allow_module_level=True)

import deaths_adds
import deaths_lock
import deaths_rendezvous
import fleet
import identity
import numpy as np
from identity import NOT_TAKEN, SPACE, START, TOLD, another, part, try_to_take, with_part

from caffe2op.asyncnet import Rendezvous
from caffe2op.atomics import AtomicArray, Mutex, OwnerDiedError

KILLS = 40


def test_killed_around_a_mutex() -> None:
    scene = deaths_lock.kill(KILLS * 2)
    assert scene.deaths == sum(scene.doing_when_killed.values()) == KILLS * 2
    assert scene.words[deaths_lock.TOLD] >= len(scene.take_over) > 0
    scene.check_times(slack=40, busy=30)  # the machine may have other work; run.py has none


def test_stopped_owners_are_not_robbed() -> None:
    assert deaths_lock.stop(3, seconds=0.12) > 0


def test_killed_inside_bulk_adds() -> None:
    deaths_adds.add(KILLS)


def test_killed_inside_training() -> None:
    deaths_adds.train(KILLS)


def test_killed_at_a_rendezvous() -> None:
    deaths_rendezvous.kill(KILLS)


def test_a_meeting_whose_last_party_died_before_it_woke_the_others() -> None:
    word = fleet.shared(1)
    waiter = fleet.fork(lambda: _wait_once(word))
    cells = AtomicArray(word)
    fleet.await_("the first party", lambda: cells.load(0) == 1)
    cells.store(0, 1 << 32)  # one meeting, nobody waits; and no notify
    fleet.join(waiter)


def _wait_once(word: fleet.Array) -> None:
    Rendezvous(2, word).wait()


def test_a_party_that_never_comes_costs_the_others_their_timeout() -> None:
    meeting = Rendezvous(2, fleet.shared(1))
    with pytest.raises(TimeoutError):
        meeting.wait(timeout=0.05)
    assert meeting.waiting == 0


# ---- who is the owner -------------------------------------------------------------------------


def test_the_living_keep_their_lock_and_the_dead_do_not() -> None:
    with identity.owner() as (pid, name):
        assert part(name, identity.PID) == part(name, identity.TID) == pid
        assert try_to_take(name) == NOT_TAKEN
    assert try_to_take(name) == TOLD


def test_a_living_process_with_the_numbers_of_a_dead_one_is_not_the_owner() -> None:
    with identity.owner() as (_, name):
        started = part(name, START)
        assert started, "no start time in the name: /proc is not readable"
        forged = with_part(name, START, another(started, START))
        assert try_to_take(forged) == TOLD


def test_where_the_start_is_unknown_the_living_are_believed() -> None:
    with identity.owner() as (_, name):
        assert try_to_take(with_part(name, START, 0)) == NOT_TAKEN
    assert try_to_take(with_part(name, START, 0)) == TOLD


def test_an_owner_in_another_namespace_is_never_called_dead() -> None:
    with identity.owner() as (_, name):
        forged = with_part(name, SPACE, another(part(name, SPACE), SPACE))
        assert try_to_take(forged) == NOT_TAKEN
    assert try_to_take(forged) == NOT_TAKEN


def test_the_same_number_again() -> None:
    """A real one, where the system lets the next process id be chosen."""
    with identity.owner() as (pid, name):
        pass
    time.sleep(0.05)  # start times count in ticks of 10 ms: the next one is another
    again = identity.fork_with_pid(pid)
    if again is None:
        pytest.skip(f"{identity.LAST_PID} cannot be written here")
    try:
        assert try_to_take(name, seconds=2) == TOLD
    finally:
        os.kill(again, signal.SIGKILL)
        os.waitpid(again, 0)


def test_a_thread_is_not_its_process() -> None:
    """Two threads of one process: the death of one is noticed though its process lives."""
    word = fleet.shared(1, np.uint64)
    fleet.join(fleet.fork(lambda: _die_as_a_thread(word)))
    with pytest.raises(OwnerDiedError):
        Mutex(word).acquire()


def _die_as_a_thread(word: fleet.Array) -> None:
    thread = threading.Thread(target=lambda: Mutex(word).acquire())
    thread.start()
    thread.join()
    assert try_to_take(int(word[0])) == TOLD
