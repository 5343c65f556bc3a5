"""A mixture of PyTorch experts as one net: python -m caffe2op.examples.torch_branches

Four experts look at a batch of images, a gate weighs them, and a last function mixes what they
say. In torch that is a loop over the experts. As an AsyncNet the experts run side by side: torch
lets the GIL go while it computes. The results are the same, bit for bit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

try:
    import torch
    from torch import nn
except ImportError as missing:
    sys.exit(f"{missing}: this example needs what caffe2op[torch] installs")

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.examples.command_line import interruptible
from caffe2op.interop.torch import as_operator

EXPERTS = 4


def expert(width: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, width, 3, padding=1), nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10),
    )  # fmt: skip


def mix(weights: Any, *opinions: Any) -> Any:
    """Each row's opinions, weighed by the gate."""
    return (torch.stack(opinions, dim=2) * weights.unsqueeze(1)).sum(2)


class Mixture(nn.Module):
    """The model as torch runs it: one expert after the other."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.experts = nn.ModuleList(expert(width) for _ in range(EXPERTS))
        self.gate = nn.Sequential(nn.Flatten(), nn.Linear(28 * 28, EXPERTS), nn.Softmax(dim=1))

    def forward(self, x: Any) -> Any:
        return mix(self.gate(x), *(expert(x) for expert in self.experts))


def as_net(model: Mixture) -> core.Net:
    """The same model as operators: modules are Python operators of a net."""
    net = core.Net("mixture")
    x = net.AddExternalInput("x")
    weights = net.Python(as_operator(model.gate))(x, "weights", name="gate")
    opinions = [
        net.Python(as_operator(one))(x, f"opinion{k}", name=f"expert{k}")
        for k, one in enumerate(model.experts)
    ]
    net.Python(as_operator(mix))([weights, *opinions], "scores", name="mix")
    return net


def best_of(run: Callable[[], Any], repeats: int) -> float:
    """Milliseconds of the fastest run."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return 1e3 * min(times)


@interruptible
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.torch_branches",
        description="Run the branches of a PyTorch model side by side.",
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=int, default=32, help="channels of each expert")
    parser.add_argument("--repeats", type=int, default=20)
    options = parser.parse_args(arguments)
    for name in ("batch", "width", "repeats"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(options, name)}")

    torch.manual_seed(0)
    torch.set_num_threads(1)  # the experts are what runs in parallel
    model = Mixture(options.width).eval()
    x = torch.rand(options.batch, 1, 28, 28)
    with torch.no_grad():
        expected = model(x)
        loop = best_of(lambda: model(x), options.repeats)

    workspace.FeedBlob("x", x.numpy())
    with AsyncNet(as_net(model), outputs=["scores"]) as net:
        same = bool((torch.from_numpy(net.run()["scores"]) == expected).all())
        side_by_side = best_of(net.run, options.repeats)
        net.enable_profile()
        net.run()
        print(net.profile())
    print(f"\nloop over the experts   {loop:8.2f} ms")
    print(f"AsyncNet, {net.workers} workers     {side_by_side:8.2f} ms, the same scores: {same}")
    print(f"AsyncNet / loop         {side_by_side / loop:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
