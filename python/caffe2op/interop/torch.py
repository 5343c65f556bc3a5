"""PyTorch: a module's parameters as views of shared memory, atomic SGD, modules as operators.

Torch reads and writes the weights as plain memory, and each word whole. So a worker computes on
weights that others change meanwhile, as in Hogwild (F. Niu, B. Recht, C. Re and S. Wright, NIPS
2011); but its updates go through atomic adds, and none is lost. Only parameters are shared: a
module's buffers, the running means of BatchNorm say, stay each replica's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from caffe2op.interop.conversion import array_operator
from caffe2op.interop.parameters import SharedParameters
from caffe2op.operators.schema import PythonFunction

__all__ = ["AtomicSGD", "as_operator", "bind", "share"]


def __dir__() -> list[str]:
    return sorted(__all__)


M = TypeVar("M", bound=nn.Module)


def share(module: nn.Module, processes: bool = False) -> SharedParameters:
    """Move the parameters of a module into one buffer, by their names in the module; they become
    views of it. For other workers: `bind(copy.deepcopy(module), store)` in a thread,
    `bind(Model(), store)` in a process that got the store.

    TypeError for parameters that are not dense, of the CPU, and float32 or float64, all alike.
    """
    for name, parameter in module.named_parameters():
        if parameter.device.type != "cpu" or parameter.layout is not torch.strided:
            raise TypeError(
                f"module: {name!r} is a {parameter.layout} tensor on {parameter.device}; accepted: "
                "dense tensors of the CPU"
            )
    store = SharedParameters(
        {name: p.detach().numpy() for name, p in module.named_parameters()}, processes
    )
    bind(module, store)
    return store


def bind(module: M, store: SharedParameters) -> M:
    """Make the parameters of a module views of a store that was made from one like it, and return
    the module. KeyError, TypeError or ValueError where they differ: nothing is changed then."""
    views = {name: torch.from_numpy(view.array) for name, view in store.items()}
    own = dict(module.named_parameters())
    if own.keys() != views.keys():
        raise KeyError(
            f"module: only one of module and store has {sorted(own.keys() ^ views.keys())}"
        )
    for name, parameter in own.items():
        if parameter.shape != views[name].shape:
            raise ValueError(
                f"module: {name!r} has shape {tuple(parameter.shape)}; accepted: "
                f"{tuple(views[name].shape)}, as in the store"
            )
        if parameter.dtype != views[name].dtype:
            raise TypeError(
                f"module: {name!r} is {parameter.dtype}; accepted: {views[name].dtype}, as in the "
                "store"
            )
    for name, parameter in own.items():
        parameter.data = views[name]
    return module


class AtomicSGD:
    """AtomicSGD(module, store, lr, momentum=0.0)

    Gradient descent on a store's parameters from one worker's gradients: `step()` takes those
    that `backward()` left in `module`, whose parameters `share` or `bind` made views of the
    store. Momentum is the worker's own, as with torch.multiprocessing. One worker's object is for
    one thread.
    """

    def __init__(
        self, module: nn.Module, store: SharedParameters, lr: float, momentum: float = 0.0
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr: {lr!r} given; accepted: a number above 0")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: {momentum!r} given; accepted: 0 to less than 1")
        self.lr = lr
        self.momentum = momentum
        self._parameters = [(store[name], p) for name, p in module.named_parameters()]
        self._velocities: list[torch.Tensor | None] = [None] * len(self._parameters)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for _, parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Add -lr times the gradients (their running sum, with momentum) to the store: each
        element atomically, none lost. Parameters without a gradient are left alone."""
        for k, (view, parameter) in enumerate(self._parameters):
            change = parameter.grad
            if change is None:
                continue
            if self.momentum:
                before = self._velocities[k]
                change = (
                    change.clone() if before is None else before.mul_(self.momentum).add_(change)
                )
                self._velocities[k] = change
            view.add(change.contiguous().numpy(), -self.lr)


def as_operator(function: Callable[..., Any]) -> PythonFunction:
    """A module, or a function of tensors, as the function of a Python operator:
    `net.Python(as_operator(module))(["x"], ["y"])`, or for `core.register_operator`.

    Inputs are tensors on the blobs' own memory, in the order of the inputs; what it returns, a
    tensor or several, is copied into the outputs. No gradients are kept. ValueError when it
    returns another number of tensors than there are outputs. While torch computes, the GIL is
    free, so branches of a net run side by side; `torch.set_num_threads(1)` keeps them from taking
    each other's processors.
    """

    def on_tensors(*arrays: Any) -> Any:
        with torch.no_grad():
            return function(*(torch.from_numpy(array) for array in arrays))

    return array_operator(on_tensors, lambda tensor: tensor.detach().contiguous().numpy())
