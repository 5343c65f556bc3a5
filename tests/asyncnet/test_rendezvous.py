"""Rendezvous between threads, processes, nets and steps."""

import subprocess
import sys
import threading
import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, Rendezvous
from together import together

from .graphs import until


@pytest.mark.parametrize("parties", [1, 2, 5])
def test_threads_meet_again_and_again(parties: int) -> None:
    meeting = Rendezvous(parties)
    places: list[list[int]] = []
    at = [0] * parties

    def party(k: int) -> None:
        mine = []
        for turn in range(100):
            at[k] = turn
            mine.append(meeting.wait(20))
            assert all(t >= turn for t in at), "somebody is behind"
        places.append(mine)

    together(*(partial(party, k) for k in range(parties)))
    assert [sorted(turn) for turn in zip(*places, strict=True)] == [list(range(parties))] * 100
    assert meeting.waiting == 0


def test_one_that_gives_up_leaves_the_others() -> None:
    meeting = Rendezvous(2)
    with pytest.raises(TimeoutError, match="1 of 2 parties came"):
        meeting.wait(0.01)
    assert meeting.waiting == 0
    with pytest.raises(TimeoutError):
        meeting.wait(0)
    other = threading.Thread(target=meeting.wait)
    other.start()
    until(lambda: meeting.waiting == 1)
    assert meeting.wait(20) == 1
    other.join()
    assert repr(meeting) == "Rendezvous(2 parties, 0 waiting)"


@pytest.mark.parametrize("all_come", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt, TimeoutError])
def test_a_wait_that_ends_as_the_others_come(all_come: bool, error: type[BaseException]) -> None:
    """A meeting that took place was in time; what a signal's handler raised is always raised."""
    meeting = Rendezvous(2)
    word = meeting._word

    class Word:
        def __getattr__(self, name: str) -> Any:
            return getattr(word, name)

        def wait(self, *_: object) -> bool:
            if all_come:
                other = Rendezvous(2, meeting._array.array)
                assert other.wait(20) == 1
            raise error

    meeting._word = Word()  # type: ignore[assignment]
    if all_come and error is TimeoutError:
        assert meeting.wait(20) == 0
    else:
        with pytest.raises(error):
            meeting.wait(20)
    assert meeting.waiting == 0
    assert word.load() >> 32 == all_come


def test_arrivals_and_timeouts_mixed() -> None:
    """Some give up all the time; the meetings that happen are of two parties each."""
    meeting = Rendezvous(2)
    met = [0] * 4

    def party(k: int) -> None:
        for turn in range(200):
            try:
                meeting.wait(0.0005 * (turn % 3))
                met[k] += 1
            except TimeoutError:
                pass

    together(*(partial(party, k) for k in range(4)))
    assert sum(met) % 2 == 0
    assert meeting.waiting == 0


def test_processes_meet(tmp_path: object) -> None:
    memory = np.memmap(f"{tmp_path}/word", np.int64, "w+", shape=(1,))
    meeting = Rendezvous(2, memory)
    body = (
        "import sys, numpy as np\nfrom caffe2op.asyncnet import Rendezvous\n"
        "m = Rendezvous(2, np.memmap(sys.argv[1], np.int64, 'r+', shape=(1,)))\n"
        "for _ in range(100): m.wait(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", body, f"{tmp_path}/word"])
    for _ in range(100):
        meeting.wait(60)  # the first takes as long as a Python takes to start, under sanitizers
    assert child.wait(60) == 0
    assert memory[0] == 100 << 32


def test_the_number_of_meetings_wraps() -> None:
    memory = np.array([(2**31 - 1) << 32], np.int64)
    meeting = Rendezvous(1, memory)
    meeting.wait(1)
    assert memory[0] == -(2**63)
    meeting.wait(1)
    net = core.Net("one")
    meeting.add_to(net, "meet")
    workspace.RunNetOnce(net)
    assert memory[0] == -(2**63) + (2 << 32)


def test_steps_of_a_plan_meet() -> None:
    meeting = Rendezvous(2)
    seen: list[str] = []
    steps = []
    for name in "ab":
        net = core.Net(name)
        net.Python(lambda i, o, name=name: seen.append(name))([], [f"{name}x"], name="note")
        net.Proto().op[-1].output[:] = []
        meeting.add_to(net, "meet", timeout=20)
        steps.append(core.execution_step(name, net, num_iter=50))
    workspace.RunPlan(core.execution_step("both", steps, concurrent_substeps=True))
    assert all(set(seen[k : k + 2]) == {"a", "b"} for k in range(0, 100, 2))
    assert meeting.waiting == 0


def test_operator_and_thread_meet_in_order() -> None:
    meeting = Rendezvous(2)
    net = core.Net("n")
    workspace.FeedBlob("x", np.float32(1))
    net.Copy("x", "y")
    meeting.add_to(net, "meet", ["y"])
    net.Copy("y", "z")
    made = AsyncNet(net, mode="dynamic", workers=2, outputs=["z"])
    future = made.submit()
    until(lambda: meeting.waiting == 1)
    assert not future.done()
    meeting.wait(20)
    assert future.result()["z"] == 1
    made.close()


def test_the_word_may_be_in_another_workspace() -> None:
    meeting = Rendezvous(1)
    net = core.Net("n")
    with pytest.raises(KeyError, match="no workspace 'nowhere'"):
        meeting.add_to(net, "meet", workspace="nowhere")
    assert not net.Proto().op
    workspace.SwitchWorkspace("elsewhere", create_if_missing=True)
    workspace.SwitchWorkspace("default")
    meeting.add_to(net, "meet", workspace="elsewhere")
    assert not workspace.HasBlob("meet")
    AsyncNet(net, "elsewhere").run(timeout=20)


def test_operator_gives_up() -> None:
    meeting = Rendezvous(2)
    net = core.Net("alone")
    meeting.add_to(net, "meet", timeout=0.02)
    with pytest.raises(TimeoutError, match="Rendezvous: the others did not come"):
        workspace.RunNetOnce(net)
    assert meeting.waiting == 0
    forever = core.Net("forever")
    meeting.add_to(forever, "meet")
    made = AsyncNet(forever)
    begin = time.monotonic()
    with pytest.raises(TimeoutError, match="deadline"):
        made.run(timeout=0.02)
    assert time.monotonic() - begin < 20
    assert meeting.waiting == 0


def test_what_is_given_is_checked() -> None:
    for parties in (0, -1, 1.5, True, 2**31):
        with pytest.raises(ValueError, match="parties"):
            Rendezvous(parties)
    with pytest.raises(TypeError):
        Rendezvous(2, np.zeros(1, np.float32))
    net = core.Net("wrong")
    workspace.FeedBlob("word", np.zeros(2, np.int64))
    net.Rendezvous("word", [], parties=2)
    with pytest.raises(ValueError, match=r"'word'.*2 elements given"):
        workspace.RunNetOnce(net)
    workspace.FeedBlob("word", np.zeros(1, np.int32))
    with pytest.raises(TypeError, match="int32 given, int64 expected"):
        workspace.RunNetOnce(net)
    with pytest.raises(ValueError, match="outputs must be the inputs after the first"):
        workspace.RunOperatorOnce(core.CreateOperator("Rendezvous", ["word"], ["x"], parties=2))
    for argument in ({"parties": 0}, {"parties": 2, "timeout": -1.0}):
        with pytest.raises(ValueError, match="argument"):
            workspace.RunOperatorOnce(core.CreateOperator("Rendezvous", ["word"], [], **argument))
