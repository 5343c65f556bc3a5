"""counter.py and csrc/kernels_counter.c."""

from __future__ import annotations

import numpy as np
import pytest
from blobs import run

from caffe2op import core, workspace


def result(type_, dtype, **args):
    run(type_, ["counter"], ["out"], **args)
    out = workspace.FetchBlob("out")
    assert (out.dtype, out.shape) == (dtype, ())
    return out.item()


def test_a_countdown():
    run("CreateCounter", [], ["counter"], init_count=2)
    assert result("RetrieveCount", np.int64) == 2
    assert result("CheckCounterDone", np.bool_) is False
    assert [result("CountDown", np.bool_) for _ in range(4)] == [False, False, True, True]
    assert result("CheckCounterDone", np.bool_) is True
    assert result("RetrieveCount", np.int64) == -2  # goes negative
    assert result("CountUp", np.int64) == -2  # the count before
    assert result("ResetCounter", np.int64, init_count=5) == -1
    assert result("CountUp", np.int64) == 5
    assert workspace.FetchBlob("counter") == 6


def test_init_count_is_0_unless_given():
    run("CreateCounter", [], ["counter"])
    assert result("RetrieveCount", np.int64) == 0
    assert result("CheckCounterDone", np.bool_) is True
    result("CountUp", np.int64)
    assert run("ResetCounter", ["counter"], [])  # its output is optional
    assert result("RetrieveCount", np.int64) == 0


def test_the_largest_count():
    run("CreateCounter", [], ["counter"], init_count=2**63 - 1)
    assert result("RetrieveCount", np.int64) == 2**63 - 1


@pytest.mark.parametrize("type_", ["CreateCounter", "ResetCounter"])
@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (-1, ValueError, "'init_count' must be at least 0, got -1"),
        (1.5, TypeError, "'init_count'.* an int, got 1.5"),
        (2**63, ValueError, "'init_count'.* 64 bits"),
    ],
)
def test_init_count_is_checked_when_the_operator_is_made(type_, value, error, words):
    run("CreateCounter", [], ["counter"], init_count=3)
    blobs = (["counter"], []) if type_ == "ResetCounter" else ([], ["counter"])
    with pytest.raises(error, match=words):
        run(type_, *blobs, init_count=value)
    assert workspace.FetchBlob("counter") == 3


@pytest.mark.parametrize(
    "type_", ["ResetCounter", "CountUp", "CountDown", "CheckCounterDone", "RetrieveCount"]
)
def test_only_counters_count(type_):
    workspace.FeedBlob("number", np.int64(3))
    with pytest.raises(TypeError, match=r"input 0 \('number'\).*a tensor given, a counter"):
        run(type_, ["number"], ["out"])
    with pytest.raises(ValueError, match="must be different blobs"):
        run(type_, ["number"], ["number"])


def test_concurrent_steps_count_every_time():
    workers, times = 8, 2000
    run("CreateCounter", [], ["up"])
    run("CreateCounter", [], ["down"], init_count=workers * times)
    steps = []
    for k in range(workers):
        net = core.Net(f"net_{k}")
        net.CountUp(["up"], ["shared_output"])
        net.CountDown(["down"], [f"done_{k}"])
        steps.append(core.execution_step(f"step_{k}", net, num_iter=times))
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("all", steps, concurrent_substeps=True))
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("up") == workers * times
    assert workspace.FetchBlob("down") == 0
    assert not any(workspace.FetchBlob(f"done_{k}") for k in range(workers))


def test_a_counter_stops_a_step():
    run("CreateCounter", [], ["counter"], init_count=10)
    net = core.Net("net")
    net.CountDown(["counter"], ["done"])
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("loop", net, should_stop_blob="done"))
    workspace.RunPlan(plan)
    assert workspace.FetchBlob("counter") == -1  # 10 times false, then true
