"""Linear models on sparse rows, trained by several threads at once, nothing lost.

`SharedSGDClassifier` and `SharedSGDRegressor` are scikit-learn estimators and need it, the extra
`sklearn`; it is imported when one of them is first asked for. `Trainer` needs NumPy only.

Training blocks, without the GIL but for its preparations, and Ctrl-C ends it. ValueError for a
setting that is not accepted, and, of the estimators, for weights that are not finite any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from caffe2op.linear_model.training import LostError, Rows, Settings, Trainer

if TYPE_CHECKING:
    from caffe2op.linear_model.estimators import SharedSGDClassifier, SharedSGDRegressor

__all__ = [
    "LostError",
    "Rows",
    "Settings",
    "SharedSGDClassifier",
    "SharedSGDRegressor",
    "Trainer",
]


def __getattr__(name: str) -> Any:
    if name not in ("SharedSGDClassifier", "SharedSGDRegressor"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from caffe2op.linear_model import estimators
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] not in ("sklearn", "scipy", "joblib"):
            raise
        raise ImportError(f"{name} needs scikit-learn: pip install 'caffe2op[sklearn]'") from error
    return getattr(estimators, name)


def __dir__() -> list[str]:
    return sorted(__all__)
