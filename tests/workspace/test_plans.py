"""Plans that succeed: how often and in which order steps run, stop blobs, child workspaces."""

import threading

import numpy as np
import pytest
from small_plans import counting

from caffe2op import core, workspace

step = core.execution_step


def note(order: list, name: object) -> core.Net:
    """A net that writes down that it ran."""
    net = core.Net(f"note {name}")
    net.Python(lambda i, o: order.append(name))([], [])
    return net


def test_steps_and_nets_run_in_order() -> None:
    order: list = []
    a, b, c = (note(order, name) for name in "abc")
    plan = core.Plan("order")
    plan.AddStep(step("first", [a, b], num_iter=2))
    plan.AddStep(step("second", [step("inner", c), step("inner too", a)], num_iter=2))
    assert workspace.RunPlan(plan)
    assert "".join(order) == "abab" + "caca"
    assert workspace.RunPlan(plan.Proto())
    assert len(order) == 16
    assert workspace.RunPlan(core.Plan("empty"))


@pytest.mark.parametrize(("num_iter", "runs"), [(None, 1), (0, 0), (1, 1), (7, 7)])
def test_num_iter(num_iter, runs) -> None:
    assert workspace.RunPlan(step("s", counting(), num_iter=num_iter))
    assert workspace.FetchBlob("n") == runs


def test_empty_steps_do_nothing() -> None:
    assert workspace.RunPlan(core.ExecutionStep("empty", num_iter=10**15))


def until(limit: int, blob: str = "stop") -> core.Net:
    """A net that sets `stop` once n reaches the limit."""
    workspace.FeedBlob("limit", np.int64(limit))
    workspace.FeedBlob(blob, False)
    net = core.Net("until")
    net.GE(["n", "limit"], blob)
    return net


def test_should_stop_blob_is_looked_at_after_each_net() -> None:
    order: list = []
    count, stop = counting(), until(3)
    workspace.RunPlan(step("s", [count, stop, note(order, "after")], should_stop_blob="stop"))
    assert workspace.FetchBlob("n") == 3
    assert order == ["after"] * 2  # the last iteration ends at the net that set it
    assert workspace.FetchBlob("stop").tolist() is True


def test_should_stop_blob_over_substeps() -> None:
    order: list = []
    workspace.RunPlan(
        step(
            "s",
            [
                step("count", counting()),
                step("stop", until(4)),
                step("after", note(order, "after")),
            ],
            should_stop_blob="stop",
        )
    )
    assert workspace.FetchBlob("n") == 4
    assert order == ["after"] * 3


@pytest.mark.parametrize("limit", [1, 100])
def test_only_once_runs_one_iteration_that_can_be_cut_short(limit) -> None:
    order: list = []
    nets = [counting(), until(limit), note(order, "after")]
    workspace.RunPlan(step("s", nets, should_stop_blob="stop", only_once=True))
    assert workspace.FetchBlob("n") == 1
    assert order == [] if limit == 1 else ["after"]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.array([False, False]), r"bool \(2,\)"),
        (np.int64(0), r"int64 \(\)"),
        ("text", r"\(Python object\)"),
        (None, r"\(empty\)"),
    ],
)
def test_a_stop_blob_that_is_no_bool(value, what) -> None:
    workspace.FeedBlob("fine", False)
    workspace.CreateBlob("stop") if value is None else workspace.FeedBlob("stop", value)
    outer = step(
        "outer", step("inner", counting(), should_stop_blob="stop"), should_stop_blob="fine"
    )
    with pytest.raises(TypeError, match=rf"plan 'outer', step 'inner': .* bool, got stop {what}"):
        workspace.RunPlan(outer)


def test_concurrent_substeps_all_run() -> None:
    steps = [step(f"w{k}", counting(), num_iter=50) for k in range(20)]
    workspace.RunPlan(step("all", steps, concurrent_substeps=True, num_iter=3))
    assert workspace.FetchBlob("n") == 20 * 50 * 3


def test_concurrent_substeps_that_wait_for_each_other() -> None:
    barrier = threading.Barrier(5)  # more than there are processors

    def meet() -> core.Net:
        net = core.Net("meet")
        net.Python(lambda i, o: barrier.wait(20) and None)([], [])
        return net

    workspace.RunPlan(
        step("all", [step(f"w{k}", meet()) for k in range(5)], concurrent_substeps=True)
    )
    assert barrier.n_waiting == 0


def test_a_producer_and_consumers_through_a_queue() -> None:
    init = core.Net("init")
    init.CreateBlobsQueue([], "queue", capacity=2)
    init.ConstantFill([], "sum", shape=[1], value=0, dtype=core.DataType.INT64)
    init.ConstantFill([], "item", shape=[1], value=1, dtype=core.DataType.INT64)
    workspace.RunNetOnce(init)
    produce, close = core.Net("produce"), core.Net("close")
    produce.SafeEnqueueBlobs(["queue", "item"], ["item", "closed"])
    close.CloseBlobsQueue(["queue"], [])
    consumers = []
    for k in range(3):
        take, add = core.Net("take"), core.Net("add")
        take.SafeDequeueBlobs(["queue"], [f"got{k}", f"done{k}"])
        add.AtomicFetchAdd64(["sum", f"got{k}"], ["sum", f"before{k}"])
        consumers.append(step(f"consumer{k}", [take, add], should_stop_blob=f"done{k}"))
    producer = step("producer", [step("produce", produce, num_iter=100), step("close", close)])
    workspace.RunPlan(step("both", [*consumers, producer], concurrent_substeps=True))
    assert workspace.FetchBlob("sum") == 100


def test_instances() -> None:
    workspace.RunPlan(step("s", counting(), num_iter=2, num_concurrent_instances=5))
    assert workspace.FetchBlob("n") == 10
    order: list = []
    both = [step("a", note(order, "a")), step("b", note(order, "b"))]
    workspace.RunPlan(step("s", both, num_concurrent_instances=3))
    assert sorted(order) == list("aaabbb")


def own_counter() -> list[core.Net]:
    """Nets that count in blobs of their own and add what they counted to `total`."""
    make, count, add = core.Net("make"), core.Net("count"), core.Net("add")
    make.ConstantFill([], "mine", shape=[], value=0, dtype=core.DataType.INT64)
    for _ in range(3):
        count.AtomicFetchAdd64(["mine", "one"], ["mine", "mine before"])
    add.AtomicFetchAdd64(["total", "mine"], ["total", "total before"])
    workspace.FeedBlob("total", np.int64(0))
    workspace.FeedBlob("one", np.int64(1))
    return [make, count, add]


@pytest.mark.parametrize(
    "fields",
    [
        {"num_iter": 4},
        {"num_concurrent_instances": 4},
        {"num_iter": 2, "num_concurrent_instances": 2},
    ],
)
def test_a_child_workspace_keeps_its_blobs_to_itself(fields) -> None:
    workspace.RunPlan(step("s", own_counter(), create_workspace=True, **fields))
    assert workspace.FetchBlob("total") == 4 * 3
    assert workspace.Blobs() == ["one", "total"]


def test_concurrent_steps_with_a_child_workspace_each() -> None:
    nets = own_counter()
    steps = [step(f"w{k}", nets, create_workspace=True, num_iter=20) for k in range(8)]
    workspace.RunPlan(step("all", steps, concurrent_substeps=True))
    assert workspace.FetchBlob("total") == 8 * 20 * 3


def test_a_child_workspace_is_empty_whenever_its_step_starts() -> None:
    seen: list = []

    def look(inputs, outputs):
        try:
            seen.append(int(outputs[0].data))
        except ValueError:
            seen.append(None)
        outputs[0].feed(len(seen))

    net = core.Net("look")
    net.Python(look)([], "own")
    workspace.RunPlan(
        step("outer", step("inner", net, num_iter=2, create_workspace=True), num_iter=2)
    )
    assert seen == [None, 1, None, 3]
    assert not workspace.HasBlob("own")


def test_a_child_workspace_sees_its_parents_blobs() -> None:
    outer_net, inner_net = core.Net("outer"), core.Net("inner")
    outer_net.ConstantFill([], "x", shape=[1], value=2.0)
    inner_net.Add(["x", "x"], "x")
    inner_net.Copy("x", "own")
    workspace.RunPlan(
        step("outer", [step("make", outer_net), step("use", inner_net, create_workspace=True)])
    )
    assert workspace.FetchBlob("x") == 4
    assert workspace.Blobs() == ["x"]


def test_steps_that_run_every_so_often_end_with_their_siblings() -> None:
    ticked = threading.Event()
    ticks, wait = core.Net("ticks"), core.Net("wait")
    ticks.Python(lambda i, o: ticked.set())([], [])
    wait.Python(lambda i, o: ticked.wait(20))([], [])  # False, failure, if no tick comes
    workspace.RunPlan(step("both", [step("ticks", ticks, run_every_ms=1), step("wait", wait)]))


def test_a_report_net_runs_beside_its_step() -> None:
    reported = threading.Event()
    report, wait = core.Net("report"), core.Net("wait")
    report.Python(lambda i, o: reported.set())([], [])
    wait.Python(lambda i, o: reported.wait(20))([], [])
    workspace.RunPlan(step("s", wait, report_net=report, report_interval=1))


# ---- nets of every type -------------------------------------------------------------------------


@pytest.mark.parametrize("type_", ["simple", "dag", "async_scheduling", "parallel"])
def test_nets_of_every_type_run_in_a_plan(type_: str) -> None:
    net = core.Net("wide")
    net.Proto().type = type_
    net.Proto().num_workers = 3
    for k in range(20):
        net.AtomicFetchAdd64([f"sum{k % 4}", "one"], [f"sum{k % 4}", f"before{k}"])
    workspace.FeedBlob("one", np.int64(1))
    for k in range(4):
        workspace.FeedBlob(f"sum{k}", np.int64(0))
    plan = core.Plan("plan")
    plan.AddStep(
        core.execution_step(
            "both",
            [core.execution_step(f"step{k}", net, num_iter=50) for k in range(2)],
            concurrent_substeps=True,
        )
    )
    workspace.RunPlan(plan)
    assert [workspace.FetchBlob(f"sum{k}") for k in range(4)] == [2 * 50 * 5] * 4


@pytest.mark.parametrize("type_", ["simple", "dag"])
def test_what_an_operator_mutates_is_ordered(type_: str) -> None:
    """A flag, a counter and a queue are changed by operators that do not name them as outputs."""
    made = core.Net("made")
    made.CreateAtomicBool([], "flag")
    made.CreateCounter([], "counter", init_count=0)
    made.CreateBlobsQueue([], "queue", capacity=2, num_blobs=1)
    workspace.RunNetOnce(made)
    workspace.FeedBlob("yes", np.bool_(True))
    workspace.FeedBlob("x", np.float32(7))
    net = core.Net("net")
    net.Proto().type = type_
    net.Proto().num_workers = 2
    net.ConditionalSetAtomicBool(["flag", "yes"], [])
    net.CheckAtomicBool(["flag"], "seen")
    for k in range(3):
        net.CountUp("counter", f"before{k}")
    net.EnqueueBlobs(["queue", "x"], ["x"])
    net.DequeueBlobs(["queue"], "y")
    workspace.CreateNet(net)
    for k in range(30):
        workspace.RunNet(net)
        assert [workspace.FetchBlob(f"before{i}") for i in range(3)] == [
            3 * k + i for i in range(3)
        ]
        assert workspace.FetchBlob("seen").tolist() == [True]
        assert workspace.FetchBlob("y") == 7
