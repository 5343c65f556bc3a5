"""Training steps for a ModelHelper whose gradients are there: build_sgd, build_adagrad,
build_adam, as in Caffe2.

Each adds to `model.net` the iteration counter, the learning rate and one update for each parameter,
with blobs for what an optimizer keeps. `base_learning_rate` is positive to descend. Further
arguments are those of the LearningRate operator: policy, gamma, stepsize, ...

`update` is "atomic" (no update is lost when replicas share parameters), "locked" (nor then, and
faster; replicas in several processes need `mutex`, a blob in shared memory) or "racy": see
caffe2op.operators.optimizer.

Definitions only: nothing runs, and nothing waits. ValueError for a model without gradients, for a
`mutex` with another `update` than "locked", and for what an optimizer cannot do with rows.

What an optimizer keeps, its count of iterations and its moments, are blobs in the current name
scope: replicas that share parameters have their own, which are theirs to write.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from caffe2op.core.gradients import Gradient
from caffe2op.core.names import BlobLike, BlobReference, ScopedBlobReference
from caffe2op.core.scopes import CurrentNameScope
from caffe2op.model_helper import ModelHelper
from caffe2op.operators.gradient import GradientSlice

__all__ = ["build_adagrad", "build_adam", "build_sgd"]


def __dir__() -> list[str]:
    return sorted(__all__)


def build_sgd(
    model: ModelHelper,
    base_learning_rate: float,
    policy: str = "fixed",
    momentum: float = 0.0,
    nesterov: bool = False,
    update: str = "atomic",
    mutex: BlobLike | None = None,
    **learning_rate: Any,
) -> None:
    """Stochastic gradient descent, with momentum where it is not 0. ValueError for momentum on a
    parameter whose gradient is rows."""
    build = _Builder(model, update, mutex)
    # MomentumSGDUpdate subtracts its step, the others add it.
    sign = 1.0 if momentum else -1.0
    rate = build.rate(sign * base_learning_rate, policy, learning_rate)

    def dense(param: BlobReference, grad: BlobReference) -> None:
        if not momentum:
            build.add("SGD", [param, grad, rate], [param])
            return
        m = build.state(param, "momentum")
        build.add(
            "MomentumSGDUpdate",
            [grad, m, rate, param],
            [grad, m, param],
            momentum=momentum,
            nesterov=nesterov,
        )

    def rows(param: BlobReference, grad: GradientSlice) -> None:
        if momentum:
            raise ValueError(f"momentum for {str(param)!r}, of which batches read a few rows only")
        one = build.one()
        model.net.ScatterWeightedSum([param, one, grad.indices, grad.values, rate], [param])

    build.each(dense, rows)


def build_adagrad(
    model: ModelHelper,
    base_learning_rate: float,
    epsilon: float = 1e-5,
    decay: float = 1.0,
    policy: str = "fixed",
    update: str = "atomic",
    mutex: BlobLike | None = None,
    **learning_rate: Any,
) -> None:
    """Adagrad (J. Duchi, E. Hazan, Y. Singer, JMLR 2011), on rows alone where a gradient is
    rows."""
    build = _Builder(model, update, mutex)
    rate = build.rate(-base_learning_rate, policy, learning_rate)

    def dense(param: BlobReference, grad: BlobReference) -> None:
        h = build.state(param, "squares")
        build.add("Adagrad", [param, h, grad, rate], [param, h], epsilon=epsilon, decay=decay)

    def rows(param: BlobReference, grad: GradientSlice) -> None:
        h = build.state(param, "squares")
        inputs = [param, h, grad.indices, grad.values, rate]
        build.add("SparseAdagrad", inputs, [param, h], epsilon=epsilon)

    build.each(dense, rows)


def build_adam(
    model: ModelHelper,
    base_learning_rate: float,
    beta1: float = 0.9,
    beta2: float = 0.999,
    epsilon: float = 1e-8,
    policy: str = "fixed",
    update: str = "atomic",
    mutex: BlobLike | None = None,
    **learning_rate: Any,
) -> None:
    """Adam (D. Kingma, J. Ba, ICLR 2015), for dense gradients: ValueError for one that is rows."""
    build = _Builder(model, update, mutex)
    rate = build.rate(-base_learning_rate, policy, learning_rate)

    def dense(param: BlobReference, grad: BlobReference) -> None:
        m1, m2 = (build.state(param, name) for name in ("moment1", "moment2"))
        build.add(
            "Adam",
            [param, m1, m2, grad, rate, build.iteration],
            [param, m1, m2],
            beta1=beta1,
            beta2=beta2,
            epsilon=epsilon,
        )

    def rows(param: BlobReference, grad: GradientSlice) -> None:
        raise ValueError(f"Adam for {str(param)!r}, of which batches read a few rows only")

    build.each(dense, rows)


class _Builder:
    """What the optimizers have in common."""

    def __init__(self, model: ModelHelper, update: str, mutex: BlobLike | None) -> None:
        if not model.param_to_grad:
            raise ValueError(
                f"model {model.name!r} has no gradients: call AddGradientOperators first"
            )
        if mutex is not None and update != "locked":
            raise ValueError(f"a mutex goes with update='locked', got update={update!r}")
        self._model = model
        self._update = update
        self._mutex = [] if mutex is None else [mutex]
        self._init = model.param_init_net
        self.iteration = self._kept("optimizer_iteration")

    def _kept(self, name: str) -> BlobReference:
        """A blob that the optimizer keeps from run to run."""
        if name.startswith(CurrentNameScope()):
            return BlobReference(name, self._model.net)
        return ScopedBlobReference(name, self._model.net)

    def _ready(self, blob: BlobReference) -> BlobReference:
        if not self._model.net.BlobIsDefined(blob):
            self._model.net.AddExternalInput(blob)
        return blob

    def rate(self, base: float, policy: str, args: dict[str, Any]) -> BlobReference:
        net = self._model.net
        self._init.ConstantFill([], [self.iteration], shape=[1], value=0, dtype="int64")
        self._ready(self.iteration)
        rate = self._kept("learning_rate")
        result: BlobReference = net.LearningRate(
            [self.iteration], [rate], base_lr=base, policy=policy, **args
        )
        return result

    def state(self, param: BlobReference, name: str) -> BlobReference:
        """Zeros of the parameter's shape."""
        blob = self._kept(f"{param}_{name}")
        self._init.ConstantFill([param], [blob], value=0.0)
        return self._ready(blob)

    def one(self) -> BlobReference:
        blob = self._kept("optimizer_one")
        if not self._init.BlobIsDefined(blob):
            self._init.ConstantFill([], [blob], shape=[1], value=1.0)
        return self._ready(blob)

    def add(self, type_: str, inputs: list[Any], outputs: list[Any], **args: Any) -> None:
        add = getattr(self._model.net, type_)
        add([*inputs, *self._mutex], outputs, update=self._update, **args)

    def each(
        self,
        dense: Callable[[BlobReference, BlobReference], None],
        rows: Callable[[BlobReference, GradientSlice], None],
    ) -> None:
        gradients: dict[BlobReference, Gradient] = self._model.param_to_grad
        for param, gradient in gradients.items():
            if isinstance(gradient, GradientSlice):
                rows(param, gradient)
            else:
                dense(param, gradient)
        # After the steps: the first one is iteration 0.
        self._model.net.Iter([self.iteration], [self.iteration])
