"""Two ways to run the workers, each batch after batch until somebody raises the flag.

    asyncnet   an AsyncNet of one operator a worker, each on a device of its own. The operator is a
               While: its body is the net of one batch, its condition that the flag is down
    plan       a plan with one concurrent substep a worker, which runs the net of one batch until
               the blob that has the flag says stop

Either is one call into C from the first batch to the last, without the GIL, and the calling thread
is worker 0. What fails in a worker stops the others after the operator that they are in, and is
raised with the names of the worker and of its operator; so does Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.asyncnet.devices import Device

Runner = Callable[[], object]
"""Blocks until the flag is up."""


def asyncnet(batches: Sequence[core.Net], flag: str) -> Runner:
    """Workers as operators. `batches`: for each the net of one batch, which raises the flag when it
    is to; `flag`: the atomic bool."""
    graph = core.Net("hogwild")
    devices: dict[str, Device] = {}
    for k, batch in enumerate(batches):
        device = f"worker:{k}"
        devices[device] = 1 if k else "caller"
        down = core.Net(f"down_{k}")
        down.CheckAtomicBool(flag, f"raised_{k}")
        down.Not(f"raised_{k}", f"go_on_{k}")
        with core.DeviceScope(core.DeviceOption(node_name=device)):
            graph.While(f"go_on_{k}", [], loop_net=batch, cond_net=down, name=f"worker_{k}")

    def run() -> None:
        with AsyncNet(graph, devices=devices) as net:
            net.run()

    return run


def plan(batches: Sequence[core.Net], flag: str) -> Runner:
    """Workers as substeps; the rest as for `asyncnet`."""
    steps = []
    for k, batch in enumerate(batches):
        batch.CheckAtomicBool(flag, f"raised_{k}")
        steps.append(core.execution_step(f"worker_{k}", batch, should_stop_blob=f"raised_{k}"))
    whole = core.Plan("hogwild")
    whole.AddStep(core.execution_step("workers", steps, concurrent_substeps=True))
    return lambda: workspace.RunPlan(whole)


RUNNERS: dict[str, Callable[[Sequence[core.Net], str], Runner]] = {
    "asyncnet": asyncnet,
    "plan": plan,
}
