"""PyTorch's models: Hogwild training by processes, beside torch.multiprocessing, and branches of a
model side by side, beside the loop over them. One thread of torch in each worker.

Hogwild is the example's: the network of PyTorch's mnist_hogwild on digits, the processes of both
sides alive from the beginning, their rounds in turn. Both count what arrives: next to the weights a
vector of the same size gets 1 with every update, by the operation that updates the weights. With
two workers that take long for a batch, updates hardly meet; with smaller batches they do.

Our workers keep the memory that a step frees, for the next one (interop.keep_freed_memory). Those
of PyTorch do as in PyTorch's example; in the columns called "alike" they keep it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from caffe2op.asyncnet import AsyncNet
from paired import Bench, Claim, require

SPEED = "Torch: asynchronous training of mnist_hogwild's network, 2 processes, us per row"
LOST = "Torch: updates of a weight that were lost, of a million sent"
BRANCHES = "Torch: a mixture of four experts, batch 32, ms"
OURS, THEIRS = "caffe2op.interop", "torch.multiprocessing"


@pytest.fixture(params=[(64, False), (64, True), (8, False), (8, True)], ids=str)
def race(request: pytest.FixtureRequest, bench: Bench) -> Iterator[tuple[str, int, Any, Any]]:
    """What the column is called, rows of a round, and the two sides."""
    require("torch")
    require("sklearn.datasets")
    from caffe2op.examples.torch_hogwild import Work, sides

    batch, alike = request.param
    steps = bench.size(2400 // batch)
    name = f"batch {batch}" + (", alike" if alike else "")
    with sides(2, Work(batch, steps, alike)) as (theirs, ours):
        yield name, 2 * steps * batch, theirs, ours


def test_hogwild(bench: Bench, race: tuple[str, int, Any, Any]) -> None:
    column, rows, theirs, ours = race
    for side in (theirs, ours):
        side.run()  # the first batches are slow
    bench.row(
        SPEED,
        THEIRS,
        column,
        theirs.run,
        per=rows,
        unit="us",
        reference=ours.run,
        claim=Claim(f"torch model, 2 workers / {THEIRS}, {column}", round(1 / 1.05, 3)),
        rounds=max(3, bench.rounds // 3),
    )
    info = bench.benchmark.extra_info["rows"]
    mine = {**info[0], "row": OURS, "value": info[0]["reference"]}
    info.append({key: mine[key] for key in ("table", "row", "column", "unit", "value")})
    for side, row in ((theirs, THEIRS), (ours, OURS)):
        lost = {"row": row, "column": f"2 processes, {column}", "unit": "ppm"}
        info.append({"table": LOST, **lost, **lost_of(side)})


def lost_of(side: Any) -> dict[str, Any]:
    """Lost updates of a side, as a row; that ours loses none is a target."""
    found: dict[str, Any] = {"value": 1e6 * (side.sent - side.arrived()) / side.sent}
    if side.name == OURS:
        found["claim"] = Claim("torch model: updates lost, of a million", 0.0).decided(
            found["value"]
        )
    return found


def test_more_workers_than_processors(bench: Bench) -> None:
    """Where a worker is stopped in the middle of its update, others overwrite it, or it them."""
    require("torch")
    require("sklearn.datasets")
    from caffe2op.examples.torch_hogwild import Work, sides

    def run() -> list[dict[str, Any]]:
        with sides(4, Work(8, bench.size(300))) as both:
            for _ in range(4):
                for side in both:
                    side.run()
            column = {"column": "4 processes, batch 8", "unit": "ppm"}
            return [{"row": side.name, **column, **lost_of(side)} for side in both]

    bench.program(LOST, run)


def test_branches(bench: Bench) -> None:
    torch = require("torch")
    from caffe2op import workspace
    from caffe2op.examples.torch_branches import Mixture, as_net

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Mixture(32).eval()
    x = torch.rand(32, 1, 28, 28)
    workspace.FeedBlob("x", x)

    def loop() -> None:
        with torch.no_grad():
            model(x)

    with AsyncNet(as_net(model), outputs=["scores"]) as net:
        for _ in range(20):
            net.run()  # it measures its first runs
        bench.row(
            BRANCHES,
            "PyTorch, one expert after the other",
            "a batch",
            loop,
            unit="ms",
            reference=net.run,
            rounds=max(3, bench.rounds // 2),
        )
    info = bench.benchmark.extra_info["rows"]
    mine = {**info[0], "row": "caffe2op AsyncNet", "value": info[0]["reference"]}
    info.append({key: mine[key] for key in ("table", "row", "column", "unit", "value")})
