"""What Caffe2's atomic operators were made for: a hundred workers on two shared sums."""

import pytest

from caffe2op import core, workspace

WORKERS, ITERATIONS = 100, 200
TOTAL = WORKERS * ITERATIONS


@pytest.mark.parametrize("locked", [True, False])
@pytest.mark.parametrize("dtype", ["INT32", "INT64"])
def test_no_add_is_lost_and_each_fetched_value_is_unique(locked, dtype) -> None:
    add = "AtomicFetchAdd" if dtype == "INT32" else "AtomicFetchAdd64"
    kind = core.DataType[dtype]
    init = core.Net("init")
    left = init.ConstantFill([], "left", shape=[1], value=TOTAL, dtype=kind)
    checksum = init.ConstantFill([], "checksum", shape=[1], value=0, dtype=kind)
    minus_one = init.ConstantFill([], "minus one", shape=[1], value=-1, dtype=kind)
    locks = [[init.CreateMutex([])], [init.CreateMutex([])]] if locked else [[], []]
    workers = []
    for k in range(WORKERS):
        net = core.Net(f"worker {k}")
        # Each worker takes a number off the count and adds that very number to the sum.
        _, taken = getattr(net, add)([*locks[0], left, minus_one], [left, f"taken {k}"])
        getattr(net, add)([*locks[1], checksum, taken], [checksum, f"unused {k}"])
        workers.append(core.execution_step(f"worker {k}", net, num_iter=ITERATIONS))
    plan = core.Plan("atomics")
    plan.AddStep(core.execution_step("init", init))
    plan.AddStep(core.execution_step("workers", workers, concurrent_substeps=True))
    workspace.RunPlan(plan)
    assert workspace.FetchBlob(left) == 0
    assert workspace.FetchBlob(checksum) == TOTAL * (TOTAL + 1) // 2
