"""Atomic updates of one parameter by everybody who can reach it at the same time: optimizers, which
take turns while they are alone (csrc/stripes.h), operators that add row by row, functions of the
user in Python and C, arrays outside. Whole numbers, so that a sum has no rounding: every add is
found."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from user_operators import registered

from caffe2op import core, workspace
from caffe2op.atomics import AtomicArray
from caffe2op.core.names import BlobReference
from caffe2op.examples.own_workspace import own_workspace

ROWS, WIDTH = 40, 600  # float32: 94 KiB, four stripes
RUNS, STEPS = 200, 50
Add = Callable[[core.Net], object]


def sgd(net: core.Net) -> None:
    net.SGD(["p", "ones", "one"], ["p"])


def momentum(net: core.Net) -> None:
    m = BlobReference(f"{net.Name()}_m")
    workspace.FeedBlob(str(m), np.zeros((ROWS, WIDTH), np.float32))
    net.MomentumSGDUpdate(["ones", m, "minus_one", "p"], ["step_" + m, m, "p"], momentum=0.0)


def weighted_sum(net: core.Net) -> None:
    net.WeightedSum(["p", "one", "ones", "one"], ["p"], atomic=True)


def rows(net: core.Net) -> None:
    net.ScatterWeightedSum(["p", "one", "rows", "ones", "one"], ["p"])


def adagrad(net: core.Net) -> None:
    net.Adagrad(["p", "h", "ones", "one"], ["p", "h"])


def adagrad_rows(net: core.Net) -> None:
    net.SparseAdagrad(["p", "h", "rows", "ones", "one"], ["p", "h"])


def python(net: core.Net) -> None:
    def add(inputs: Any, outputs: Any) -> None:
        AtomicArray(outputs[0].data).add(np.ones((ROWS, WIDTH), np.float32))

    net.Python(add)(["p"], ["p"])


def python_by_element(net: core.Net) -> None:
    every = np.arange(ROWS * WIDTH)

    def add(inputs: Any, outputs: Any) -> None:
        AtomicArray(outputs[0].data.reshape(-1)).add_at(every, np.float32(1))

    net.Python(add)(["p"], ["p"])


def feed() -> None:
    workspace.FeedBlob("p", np.zeros((ROWS, WIDTH), np.float32))
    workspace.FeedBlob("h", np.zeros((ROWS, WIDTH), np.float32))
    workspace.FeedBlob("ones", np.ones((ROWS, WIDTH), np.float32))
    workspace.FeedBlob("rows", np.arange(ROWS))
    workspace.FeedBlob("one", np.ones(1, np.float32))
    workspace.FeedBlob("minus_one", -np.ones(1, np.float32))


def created(add: Add, name: str) -> str:
    net = core.Net(name)
    add(net)
    return str(workspace.CreateNet(net))


def check_sum(optimizers: int, *others: Add, step: Add = sgd, blob: str = "p") -> None:
    """The optimizers step until the others, each in a thread of its own, have made RUNS adds each;
    then every element of the blob is the number of all adds."""
    steps = [created(step, f"step_{k}") for k in range(optimizers)]
    nets = [created(add, f"other_{k}") for k, add in enumerate(others)]
    made = [0] * optimizers
    begun, over = threading.Barrier(optimizers + len(nets)), threading.Event()

    def optimize(k: int) -> None:
        begun.wait()
        while not over.is_set() or made[k] == 0:
            workspace.RunNet(steps[k], num_iter=STEPS)
            made[k] += STEPS

    def add_beside(net: str) -> None:
        begun.wait()
        workspace.RunNet(net, num_iter=RUNS)

    workers = [threading.Thread(target=optimize, args=(k,)) for k in range(optimizers)]
    beside = [threading.Thread(target=add_beside, args=(net,)) for net in nets]
    for thread in workers + beside:
        thread.start()
    for thread in beside:
        thread.join()
    over.set()
    for thread in workers:
        thread.join()
    assert (workspace.FetchBlob(blob) == sum(made) + RUNS * len(nets)).all()


@pytest.mark.parametrize("other", [sgd, weighted_sum, momentum, rows, python, python_by_element])
def test_optimizers_and_others_lose_nothing(other: Add) -> None:
    with own_workspace("shared_updates"):
        feed()
        check_sum(2, other)


@pytest.mark.parametrize("other", [adagrad, adagrad_rows])
def test_sums_of_squares_lose_nothing(other: Add) -> None:
    with own_workspace("shared_updates"):
        feed()
        check_sum(2, other, step=adagrad, blob="h")


def test_optimizers_and_a_c_function_lose_nothing(by_cffi: Callable[[str], Any]) -> None:
    name = registered(by_cffi("add_ones"), ["float32"], [("float32", 0)])
    with own_workspace("shared_updates"):
        feed()
        check_sum(2, lambda net: getattr(net, name)(["p"], ["p"]))


def array_adds(array: AtomicArray) -> Add:
    """A net that adds through an array that somebody holds, without p among its blobs."""
    ones = np.ones((ROWS, WIDTH), np.float32)
    return lambda net: net.Python(lambda inputs, outputs: array.add(ones))([], [])


def test_optimizers_and_an_array_outside_lose_nothing() -> None:
    p = np.zeros((ROWS, WIDTH), np.float32)
    with own_workspace("shared_updates"):
        feed()
        workspace.ShareBlob("p", p)
        check_sum(2, rows, array_adds(AtomicArray(p)))


def test_an_array_kept_from_an_earlier_run_loses_nothing() -> None:
    kept: list[AtomicArray] = []

    def keep(inputs: Any, outputs: Any) -> None:
        kept.append(AtomicArray(inputs[0].data))

    with own_workspace("shared_updates"):
        feed()
        net = core.Net("keep")
        net.Python(keep)(["p"], [])
        workspace.RunNetOnce(net)
        check_sum(2, array_adds(kept[0]))


def test_who_only_fetches_sees_sums_that_grow() -> None:
    seen: list[float] = []

    def fetch(inputs: Any, outputs: Any) -> None:
        seen.append(float(workspace.FetchBlob("p").max()))

    with own_workspace("shared_updates"):
        feed()

        def fetch_and_add(net: core.Net) -> None:
            net.Python(fetch)([], [])
            sgd(net)

        check_sum(2, fetch_and_add)
        assert seen == sorted(seen)
        assert seen[-1] <= workspace.FetchBlob("p").min()
