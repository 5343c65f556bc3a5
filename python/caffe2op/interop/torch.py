"""PyTorch: a module's parameters as views of shared memory, atomic SGD, modules as operators.

Torch reads and writes the weights as plain memory, and each word whole. So a worker computes on
weights that others change meanwhile, as in Hogwild (F. Niu, B. Recht, C. Re and S. Wright, NIPS
2011); but its updates go through atomic adds, and none is lost. Only parameters are shared: a
module's buffers, the running means of BatchNorm say, stay each replica's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from caffe2op.interop.conversion import array_operator
from caffe2op.interop.parameters import Among, SharedParameters
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
    _check_names(own, store)
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


def _check_names(own: dict[str, nn.Parameter], store: SharedParameters) -> None:
    if own.keys() != store.keys():
        raise KeyError(
            f"module: only one of module and store has {sorted(own.keys() ^ store.keys())}"
        )


class AtomicSGD:
    """AtomicSGD(module, store, lr, momentum=0.0, among="all")

    Gradient descent on a store's parameters from one worker's gradients: `step()` takes those
    that `backward()` left in `module`, whose parameters `share` or `bind` made views of the
    store. Momentum is the worker's own, as with torch.multiprocessing. One worker's object is for
    one thread.

    among: towards whom no update is lost, as in `SharedParameters.add_flat`: "all", or "adds",
    which is faster, where every worker says so and nobody else writes.

    The gradients lie in one buffer, laid out as the store is, so that a step is a few operations
    on the whole of it, however many parameters there are. ValueError for an lr, momentum or among
    that is none, KeyError for a module whose parameters are not the store's.
    """

    def __init__(
        self,
        module: nn.Module,
        store: SharedParameters,
        lr: float,
        momentum: float = 0.0,
        among: Among = "all",
    ) -> None:
        if not lr > 0:
            raise ValueError(f"lr: {lr!r} given; accepted: a number above 0")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: {momentum!r} given; accepted: 0 to less than 1")
        if among not in ("all", "adds"):
            raise ValueError(f"among: {among!r} given; accepted: 'all' or 'adds'")
        self.lr = lr
        self.momentum = momentum
        self._store, self._among = store, among
        self._gradients = np.zeros(store.flat.shape, store.dtype)
        self._velocity = np.zeros_like(self._gradients) if momentum else None
        own = dict(module.named_parameters())
        _check_names(own, store)
        places = store.parts(self._gradients)
        self._parameters = [(p, torch.from_numpy(places[name])) for name, p in own.items()]

    def zero_grad(self) -> None:
        """Make all gradients zero."""
        self._gradients.fill(0)
        for parameter, place in self._parameters:
            if parameter.grad is not place:
                parameter.grad = place  # backward() adds to what is there

    def step(self) -> None:
        """Add -lr times the gradients (their running sum, with momentum) to the store, none lost.
        A parameter without a gradient counts as one whose gradient is zero."""
        for parameter, place in self._parameters:
            if parameter.grad is None:
                place.zero_()
            elif parameter.grad is not place:  # zero_grad was not this object's
                place.zero_().add_(parameter.grad.detach())  # which may be sparse
        change = self._gradients
        if self._velocity is not None:
            self._velocity *= self.momentum
            change = self._velocity
            change += self._gradients
        self._store.add_flat(change, -self.lr, self._among)


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
