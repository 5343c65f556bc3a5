"""atomic.py and csrc/kernels_atomic.c: what each operator does, refuses, and loses to nobody."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from blobs import feed, fetch, run

from caffe2op import core, workspace
from together import together

FETCH_ADDS = [("AtomicFetchAdd", np.int32), ("AtomicFetchAdd64", np.int64)]


# ---- fetch-add ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("type_", "dtype"), FETCH_ADDS)
@pytest.mark.parametrize("mutex", [[], ["mutex"]])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_fetch_add(type_, dtype, mutex, shape):
    run("CreateMutex", [], ["mutex"])
    feed(value=np.full(shape, 40, dtype), increment=np.full((1,), 2, dtype))
    assert run(type_, [*mutex, "value", "increment"], ["value", "fetched"])
    assert fetch("value") == 42
    assert fetch("value").shape == shape  # stays
    assert fetch("fetched") == 40
    assert fetch("fetched").shape == ()
    assert fetch("value").dtype == fetch("fetched").dtype == dtype


@pytest.mark.parametrize(("type_", "dtype"), FETCH_ADDS)
@pytest.mark.parametrize("mutex", [[], ["mutex"]])
def test_fetch_add_wraps(type_, dtype, mutex):
    run("CreateMutex", [], ["mutex"])
    limits = np.iinfo(dtype)
    feed(value=np.array(limits.max, dtype), increment=np.array(3, dtype))
    run(type_, [*mutex, "value", "increment"], ["value", "fetched"])
    assert fetch("value") == limits.min + 2
    assert fetch("fetched") == limits.max


def test_fetched_may_replace_the_increment_and_value_may_be_it():
    feed(value=np.int32(5), increment=np.array([7], np.int32))
    run("AtomicFetchAdd", ["value", "increment"], ["value", "increment"])
    assert fetch("value") == 12
    assert fetch("increment") == 5
    run("AtomicFetchAdd", ["value", "value"], ["value", "fetched"])
    assert fetch("value") == 24


@pytest.mark.parametrize(
    ("value", "increment", "error", "words"),
    [
        (np.int64(1), np.int32(1), TypeError, "int64 given, int32 expected"),
        (np.int32(1), np.int64(1), TypeError, "int64 given, int32 expected"),
        (np.int32(1), np.float32(1), TypeError, "float32 given, int32 expected"),
        (np.zeros(2, np.int32), np.int32(1), ValueError, "2 elements given, a scalar"),
        (np.int32(1), np.zeros(0, np.int32), ValueError, "0 elements given, a scalar"),
        (np.int32(1), np.zeros(2, np.int32), ValueError, "2 elements given, a scalar"),
        ("text", np.int32(1), TypeError, "a Python object given, a tensor expected"),
    ],
)
@pytest.mark.parametrize("mutex", [[], ["mutex"]])
def test_fetch_add_refuses_other_blobs(value, increment, error, words, mutex):
    run("CreateMutex", [], ["mutex"])
    feed(value=value, increment=increment, fetched=np.int32(-9))
    with pytest.raises(error, match=words):
        run("AtomicFetchAdd", [*mutex, "value", "increment"], ["value", "fetched"])
    np.testing.assert_array_equal(fetch("value"), value)  # nothing changed
    assert fetch("fetched") == -9


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (["mutex", "value", "increment"], ["other", "fetched"], "in place; got 'other'"),
        (["value", "increment"], ["increment", "fetched"], "must be"),
        (["mutex", "value", "increment"], ["mutex", "fetched"], "must be"),
        (["mutex", "value", "increment"], ["value", "mutex"], "must be different blobs"),
        (["value", "increment"], ["value", "value"], "given twice"),
        (["value"], ["value", "fetched"], "2 to 3 inputs"),
        (["mutex", "value", "increment"], ["value"], "2 outputs"),
        (["mutex", "nothing", "increment"], ["nothing", "fetched"], "'nothing'"),
    ],
)
def test_fetch_add_refuses_other_names(inputs, outputs, words):
    run("CreateMutex", [], ["mutex"])
    feed(value=np.int32(0), increment=np.int32(1))
    with pytest.raises(ValueError, match=words):
        run("AtomicFetchAdd", inputs, outputs)


def test_fetch_add_refuses_a_blob_that_is_no_mutex():
    feed(mutex=np.int64(0), value=np.int32(0), increment=np.int32(1))
    with pytest.raises(TypeError, match=r"input 0 \('mutex'\).*a tensor given, a mutex expected"):
        run("AtomicFetchAdd", ["mutex", "value", "increment"], ["value", "fetched"])


def test_fetch_add_works_on_the_callers_memory():
    memory = np.zeros(1, np.int64)
    workspace.ShareBlob("value", memory)
    feed(increment=np.int64(6))
    run("AtomicFetchAdd64", ["value", "increment"], ["value", "fetched"])
    assert memory[0] == 6


# ---- nothing is lost ---------------------------------------------------------------------------


def test_threads_that_run_nets_lose_no_add():
    """RunNet from several Python threads at once, with and without the mutex on one value."""
    threads, runs, adds = 4, 300, 5
    run("CreateMutex", [], ["mutex"])
    feed(value=np.int64(0), increment=np.int64(3))
    names = []
    for k in range(threads):
        net = core.Net(f"adder_{k}")
        mutex = ["mutex"] if k % 2 else []
        for _ in range(adds):
            net.AtomicFetchAdd64([*mutex, "value", "increment"], ["value", f"fetched_{k}"])
        names.append(workspace.CreateNet(net))

    def work(name):
        for _ in range(runs):
            workspace.RunNet(name)

    together(*(partial(work, name) for name in names))
    assert fetch("value") == 3 * threads * runs * adds


@pytest.mark.parametrize("with_mutex", [True, False])
def test_caffe2s_own_scenario(with_mutex):
    """caffe2/python/operator_test/atomic_ops_test.py: a countdown is fetched by 100 concurrent
    steps and added to a checksum, so each of its values must have been fetched exactly once."""
    init = core.Net("init")
    mutexes = [[init.CreateMutex([])], [init.CreateMutex([])]] if with_mutex else [[], []]
    countdown = init.ConstantFill([], shape=[], value=20000, dtype=core.DataType.INT32)
    checksum = init.ConstantFill([], shape=[], value=0, dtype=core.DataType.INT32)
    minus_one = init.ConstantFill([], shape=[], value=-1, dtype=core.DataType.INT32)
    steps = []
    for k in range(100):
        net = core.Net(f"net_{k}")
        _, fetched = net.AtomicFetchAdd(
            [*mutexes[0], countdown, minus_one], [countdown, f"fetched_{k}"]
        )
        net.AtomicFetchAdd([*mutexes[1], checksum, fetched], [checksum, "not_used"])
        steps.append(core.execution_step(f"worker_{k}", net, num_iter=200))
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("init_step", init))
    plan.AddStep(core.execution_step("workers", steps, concurrent_substeps=True))
    workspace.RunPlan(plan)
    assert fetch(countdown) == 0
    assert fetch(checksum) == 20000 * 20001 // 2


# ---- atomic bool -------------------------------------------------------------------------------


def test_atomic_bool():
    run("CreateAtomicBool", [], ["flag"])
    feed(true=np.array([True]), false=np.bool_(False))

    def check():
        run("CheckAtomicBool", ["flag"], ["value"])
        value = fetch("value")
        assert (value.dtype, value.shape) == (np.bool_, (1,))
        return bool(value[0])

    assert not check()
    run("ConditionalSetAtomicBool", ["flag", "false"], [])
    assert not check()
    run("ConditionalSetAtomicBool", ["flag", "true"], [])
    assert check()
    run("ConditionalSetAtomicBool", ["flag", "false"], [])  # never clears
    assert check()
    run("CreateAtomicBool", [], ["flag"])
    assert not check()


@pytest.mark.parametrize(
    ("condition", "error", "words"),
    [
        (np.zeros(0, np.bool_), ValueError, "0 elements given"),
        (np.zeros(2, np.bool_), ValueError, "2 elements given"),
        (np.int32(1), TypeError, "int32 given, bool expected"),
    ],
)
def test_conditional_set_refuses(condition, error, words):
    run("CreateAtomicBool", [], ["flag"])
    feed(condition=condition)
    with pytest.raises(error, match=words):
        run("ConditionalSetAtomicBool", ["flag", "condition"], [])
    assert workspace.FetchBlob("flag") is False


def test_atomic_bool_operators_refuse_other_kinds():
    run("CreateCounter", [], ["counter"])
    feed(true=np.bool_(True))
    with pytest.raises(TypeError, match=r"input 0 \('counter'\).*a counter given"):
        run("ConditionalSetAtomicBool", ["counter", "true"], [])
    with pytest.raises(TypeError, match="an atomic bool expected"):
        run("CheckAtomicBool", ["counter"], ["value"])


# ---- barrier -----------------------------------------------------------------------------------


def test_barrier_in_place_leaves_everything():
    run("CreateMutex", [], ["mutex"])
    feed(a=np.arange(3), text="any kind")
    before = fetch("a")
    run("AsyncNetBarrier", ["a", "mutex", "text"], ["a", "mutex", "text"], cross_device=1)
    np.testing.assert_array_equal(fetch("a"), before)
    assert fetch("text") == "any kind"


def test_barrier_copies_to_new_names():
    feed(a=np.arange(6.0).reshape(2, 3), b=np.int8(4), empty=np.zeros((0, 2)))
    run("AsyncNetBarrier", ["a", "b", "empty"], ["c", "b", "d"])
    np.testing.assert_array_equal(fetch("c"), fetch("a"))
    assert fetch("c").dtype == np.float64
    assert fetch("d").shape == (0, 2)
    feed(a=np.zeros(2))
    assert fetch("c").shape == (2, 3)  # a copy, not an alias


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        (["a", "b"], ["a"], "2 inputs but 1 outputs"),
        (["a"], ["a", "b"], "1 inputs but 2 outputs"),
        (["a", "b"], ["b", "a"], "must be different"),
        ([], [], "1 or more inputs"),
    ],
)
def test_barrier_refuses_when_the_net_is_made(inputs, outputs, words):
    feed(a=np.zeros(1), b=np.zeros(1))
    with pytest.raises(ValueError, match=words):
        run("AsyncNetBarrier", inputs, outputs)


def test_barrier_cannot_copy_what_is_no_tensor():
    run("CreateMutex", [], ["mutex"])
    feed(a=np.zeros(1))
    with pytest.raises(TypeError, match=r"input 1 \('mutex'\).*a mutex given, a tensor expected"):
        run("AsyncNetBarrier", ["a", "mutex"], ["c", "d"])
    with pytest.raises(ValueError, match="empty"):
        fetch("c")  # checked before anything was changed


# ---- iterations --------------------------------------------------------------------------------


def test_iter_makes_its_blob():
    net = core.Net("net")
    net.Iter([], ["iter"])
    workspace.CreateNet(net)
    for expected in (1, 2, 3):
        workspace.RunNet(net)
        value = fetch("iter")
        assert (value.dtype, value.shape, value[0]) == (np.int64, (1,), expected)


@pytest.mark.parametrize("form", ["Iter", "Iter with its blob", "AtomicIter"])
def test_iter_counts_in_place(form):
    run("CreateMutex", [], ["mutex"])
    feed(iter=np.array([41], np.int64))

    def step():
        inputs = {"Iter": [], "Iter with its blob": ["iter"], "AtomicIter": ["mutex", "iter"]}[form]
        run(form.split()[0], inputs, ["iter"])

    step()
    assert fetch("iter").tolist() == [42]
    for value, error, words in [
        (np.array([-1], np.int64), ValueError, r"output 0 \('iter'\).*negative: -1"),
        (np.array([2**63 - 1], np.int64), OverflowError, "overflow int64"),
        (np.array([1], np.int32), TypeError, "int64 tensor of one element; it is int32"),
        (np.array([1, 2], np.int64), TypeError, "int64 with 2 elements"),
        (np.zeros(0, np.int64), TypeError, "int64 with 0 elements"),
        ("text", TypeError, "it is a Python object"),
    ]:
        feed(iter=value)
        with pytest.raises(error, match=words):
            step()
        np.testing.assert_array_equal(fetch("iter"), value)
    workspace.FeedBlob("iter", np.array([2**63 - 2], np.int64))
    step()
    assert fetch("iter")[0] == 2**63 - 1


def test_iter_is_in_place_only():
    run("CreateMutex", [], ["mutex"])
    feed(iter=np.array([0], np.int64))
    for type_, inputs in [("Iter", ["iter"]), ("AtomicIter", ["mutex", "iter"])]:
        with pytest.raises(ValueError, match=r"must be.*'iter'.*'other'"):
            run(type_, inputs, ["other"])
    with pytest.raises(TypeError, match="a mutex expected"):
        run("AtomicIter", ["iter", "iter"], ["iter"])


def test_concurrent_steps_lose_no_iteration():
    run("CreateMutex", [], ["mutex"])
    feed(iter=np.array([0], np.int64))
    steps = []
    for k in range(8):
        net = core.Net(f"net_{k}")
        if k % 2:
            net.AtomicIter(["mutex", "iter"], ["iter"])
        else:
            net.Iter(["iter"], ["iter"])
        steps.append(core.execution_step(f"step_{k}", net, num_iter=2000))
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("all", steps, concurrent_substeps=True))
    workspace.RunPlan(plan)
    assert fetch("iter").tolist() == [16000]
