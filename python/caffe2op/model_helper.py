"""ModelHelper: a net with its parameters, and the net that initialises them, as in Caffe2.

    model = ModelHelper("mlp", seed=1)
    h = brew.relu(model, brew.fc(model, "x", "fc1", 64, 32))
    _, loss = model.net.SoftmaxWithLoss([brew.fc(model, h, "fc2", 32, 10), "label"], 2)
    model.AddGradientOperators([loss])
    optimizer.build_sgd(model, 0.1)

`caffe2op.brew` adds layers, `caffe2op.optimizer` the steps of training. Run `param_init_net` once,
then `net` for each batch. Definitions only, as core.Net: nothing runs, nothing waits.
"""

from __future__ import annotations

from collections.abc import Iterable

from caffe2op.core.gradients import Gradient, GradientMap
from caffe2op.core.names import BlobLike, BlobReference, ScopedBlobReference
from caffe2op.core.net import Net

__all__ = ["ModelHelper"]


def __dir__() -> list[str]:
    return sorted(__all__)


class ModelHelper:
    """A model under construction. `seed`: parameters are initialised from it, each from a stream
    of its own; without it every initialisation gives others.

    `params_of`: another model, built by the same calls. This one is its replica: its parameters
    are that model's, one after the other as they are asked for, and nothing is initialised."""

    def __init__(
        self,
        name: str = "model",
        seed: int | None = None,
        params_of: ModelHelper | None = None,
    ) -> None:
        self.name = name
        self.net = Net(name)
        self.param_init_net = Net(f"{name}_init")
        self.params: list[BlobReference] = []
        self.param_to_grad: dict[BlobReference, Gradient] = {}
        """After AddGradientOperators."""
        self._seed = seed
        self._first = params_of

    def create_param(
        self, name: str, shape: Iterable[int], filler: str = "XavierFill", **args: object
    ) -> BlobReference:
        """A parameter, in the current name scope, that `param_init_net` fills by the operator of
        type `filler`. ValueError for a name that is one already: to share a parameter, hand its
        reference on (add_param)."""
        blob = ScopedBlobReference(name, self.net)
        if self._first is not None:
            return self.add_param(self._shared(blob, self._first.params))
        if blob in self.params:
            raise ValueError(f"model {self.name!r} has a parameter {str(blob)!r} already")
        if self._seed is not None and filler in ("XavierFill", "UniformFill", "GaussianFill"):
            args = {"seed": (self._seed * 1_000_003 + len(self.params)) % 2**63, **args}
        getattr(self.param_init_net, filler)([], [blob], shape=[int(n) for n in shape], **args)
        return self.add_param(blob)

    def _shared(self, blob: BlobReference, params: list[BlobReference]) -> BlobReference:
        turn = len(self.params)
        if turn < len(params) and params[turn].GetUnscopedName() == blob.GetUnscopedName():
            return params[turn]
        there = str(params[turn]) if turn < len(params) else "none"
        raise ValueError(
            f"model {self.name!r} is a replica, but parameter {turn} is {str(blob)!r}, and "
            f"{there!r} in the first"
        )

    def add_param(self, blob: BlobLike) -> BlobReference:
        """A blob that is there already, another model's parameter say, as one of this model's.
        Returns its reference. What is one already stays one."""
        ref = ScopedBlobReference(blob, self.net) if isinstance(blob, str) else blob
        if ref not in self.params:
            self.params.append(ref)
        if not self.net.BlobIsDefined(ref):
            self.net.AddExternalInput(ref)
        return ref

    def AddGradientOperators(self, losses: Iterable[BlobLike]) -> GradientMap:
        """Net.AddGradientOperators, to the parameters only: external inputs that are none, the
        data, count as constants. Fills `param_to_grad`. ValueError when no parameter has a
        gradient."""
        data = [blob for blob in self.net.external_inputs if blob not in self.params]
        gradients = self.net.AddGradientOperators(losses, stop=data)
        self.param_to_grad = {p: gradients[str(p)] for p in self.params if p in gradients}
        if not self.param_to_grad:
            raise ValueError(
                f"model {self.name!r}: the losses depend on none of its {len(self.params)} "
                "parameters"
            )
        return gradients
