"""What a user's first program does, with the installed package only: every layer once.

Also read by mypy in strict mode, which makes it the type check of the public API.
"""

import pathlib
import sys

import numpy as np

import caffe2op
from caffe2op import atomics, core, workspace


def check_atomics() -> None:
    memory = np.zeros(4, dtype=np.int64)
    view = atomics.AtomicArray(memory)
    before = view.fetch_add(0, 41)
    swapped, observed = view.compare_exchange(0, 41, 42)
    assert (before, swapped, observed, int(memory[0])) == (0, True, 41, 42)
    view.add_at(np.array([1, 1, 3]), 2)
    assert memory.tolist() == [42, 4, 0, 2]
    flag = atomics.AtomicBool()
    assert not flag.test_and_set()
    assert flag
    with atomics.Mutex() as _:
        pass


def check_net() -> None:
    workspace.ResetWorkspace()
    init = core.Net("init")
    mutex = init.CreateMutex([])
    total = init.ConstantFill([], shape=[], value=0, dtype=core.DataType.INT32)
    one = init.ConstantFill([], shape=[], value=1, dtype=core.DataType.INT32)
    count = core.Net("count")
    count.AtomicFetchAdd([mutex, total, one], [total, "before"])
    workers = core.execution_step(
        "workers",
        [core.execution_step(f"worker {k}", count, num_iter=100) for k in range(4)],
        concurrent_substeps=True,
    )
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("setup", init))
    plan.AddStep(workers)
    workspace.RunPlan(plan)
    assert int(workspace.FetchBlob(total)) == 400


if __name__ == "__main__":
    home = pathlib.Path(caffe2op.__file__).parent
    if home.is_relative_to(pathlib.Path(__file__).parents[1]):
        sys.exit(f"this should use the installed package, not {home}")
    check_atomics()
    check_net()
    print(f"caffe2op works on Python {sys.version.split()[0]}, NumPy {np.__version__}, from {home}")
