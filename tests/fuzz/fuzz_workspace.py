"""Threads that do what they like to one workspace: feed, fetch, share, reset, create and run nets
whose operators resize the blobs that others read, and plans, all at the same time.

Nothing can be said of the values. Said is that every call returns or raises what it may, that no
fence is touched, and that the process lives.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
from fuzz_definitions import KNOWN
from hostile import DTYPES, Fenced, attempt, filled, fuzz
from hypothesis import strategies as st

from caffe2op import core, workspace
from caffe2op.core import NetDef, OperatorDef
from caffe2op.workspace.executors import EXECUTORS

BLOBS = ("a", "b", "c", "d")
SHAPES = ((), (1,), (3,), (2, 3), (64,), (0,), (4, 1))

names = st.sampled_from(BLOBS)
operators = st.one_of(
    st.builds(
        lambda t, i, o: OperatorDef(t, i, [o]),
        st.sampled_from(["Sum", "Add", "Mul", "LT", "Gather", "Copy", "AsyncNetBarrier"]),
        st.lists(names, min_size=1, max_size=2),
        names,
    ),
    st.builds(
        lambda s, o, d: OperatorDef(
            "ConstantFill",
            [],
            [o],
            arg=[core.Argument("shape", ints=list(s)), core.Argument("dtype", s=d)],
        ),
        st.sampled_from(SHAPES),
        names,
        st.sampled_from(DTYPES),
    ),
    st.builds(
        lambda t, o: OperatorDef(t, [], [o]),
        st.sampled_from(
            ["CreateMutex", "CreateCounter", "CreateAtomicBool", "CreateBlobsQueue", "Iter"]
        ),
        names,
    ),
    st.builds(lambda i, o: OperatorDef("AtomicFetchAdd64", [i, i], [i, o]), names, names),
    st.builds(
        lambda i: OperatorDef(
            "Python", [i], ["d"], arg=[core.Argument("function", object=_python)]
        ),
        names,
    ),
)
kept: list[Any] = []


def _python(inputs: list[Any], outputs: list[Any]) -> Any:
    data = inputs[0].data
    kept.append(data)
    del kept[:-50]
    if isinstance(data, np.ndarray) and data.size > 3:
        raise ValueError("too large for me")
    outputs[0].feed(data if isinstance(data, np.ndarray) else 1)
    first = kept[0]
    return not isinstance(first, np.ndarray) or bool(np.sum(first) >= 0)


def _share(name: str, dtype: str, shape: tuple[int, ...], fences: list[Fenced]) -> None:
    fenced = Fenced(dtype, shape)
    fences.append(fenced)
    workspace.ShareBlob(name, fenced.array)


def _plan(net: NetDef, concurrent: int) -> None:
    step = core.ExecutionStepDef(
        "s", network=[net.name], num_iter=3, num_concurrent_instances=concurrent
    )
    workspace.RunPlan(core.PlanDef("p", [net], [step]))


actions = st.one_of(
    st.tuples(st.just("feed"), names, st.sampled_from(DTYPES), st.sampled_from(SHAPES)),
    st.tuples(st.just("share"), names, st.sampled_from(DTYPES), st.sampled_from(SHAPES)),
    st.tuples(st.sampled_from(["fetch", "object", "has", "reset", "blobs"]), names),
    st.tuples(
        st.sampled_from(["create", "once", "plan", "run"]),
        st.lists(operators, max_size=4),
        st.sampled_from(list(EXECUTORS)),
        st.integers(1, 3),
    ),
)


def act(action: tuple[Any, ...], fences: list[Fenced]) -> None:
    what, *rest = action
    if what == "feed":
        workspace.FeedBlob(rest[0], filled(rest[1], rest[2]))
    elif what == "share":
        _share(*rest, fences)
    elif what == "fetch":
        np.asarray(workspace.FetchBlob(rest[0])).sum()
    elif what == "object":
        workspace.FeedBlob(rest[0], {"an": "object"})
    elif what == "has":
        workspace.HasBlob(rest[0])
    elif what == "reset":
        workspace.ResetWorkspace()
    elif what == "blobs":
        workspace.Blobs()
    else:
        ops, type_, count = rest
        net = NetDef("shared", ops, type_, count)
        if what == "create":
            workspace.CreateNet(net, overwrite=True)
        elif what == "once":
            workspace.RunNetOnce(net)
        elif what == "plan":
            _plan(net, count)
        else:
            workspace.RunNet("shared", count, allow_fail=True)


@fuzz(st.lists(st.lists(actions, min_size=2, max_size=8), min_size=2, max_size=4))
def threads(programs: list[list[tuple[Any, ...]]]) -> None:
    """Each program on a thread of its own, all on the same blobs."""
    workspace.ResetWorkspace()
    for name in BLOBS:
        workspace.FeedBlob(name, np.ones(3, np.float32))
    fences: list[Fenced] = []
    errors: list[BaseException] = []
    gate = threading.Barrier(len(programs))

    def work(program: list[tuple[Any, ...]]) -> None:
        gate.wait()
        for action in program:
            try:
                attempt(lambda a=action: act(a, fences), KNOWN)
            except BaseException as error:
                errors.append(error)

    workers = [threading.Thread(target=work, args=(program,)) for program in programs]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if errors:
        raise errors[0]
    assert all(fence.intact() for fence in fences)
