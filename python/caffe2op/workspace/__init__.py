"""Where nets run: named blobs, nets and plans, under the function names that Caffe2's users know.

The functions act on the process's current workspace. Running blocks and releases the GIL; a
Python operator takes it for its call. Each run keeps the blobs and nets that it needs, so
ResetWorkspace, FeedBlob and FetchBlob may be called by other threads meanwhile.

Errors: what is wrong with a definition is a ValueError or TypeError when the net is created or
the plan is given, before anything is changed; a name that is not there is a KeyError; what goes
wrong in an operator is raised with the net, operator and blob named (IndexError, TypeError,
ValueError, OverflowError, MemoryError; RuntimeError when it reported failure), and what a Python
operator raises is raised as it is, with a note. Ctrl-C ends a run of the main thread.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from caffe2op.core.defs import DeviceOption, OperatorDef, PlanDef
from caffe2op.core.names import BlobLike, BlobReference
from caffe2op.core.plan import Plan
from caffe2op.core.steps import ExecutionStep
from caffe2op.operators import schema
from caffe2op.workspace.compile import check_device
from caffe2op.workspace.profile import Profile
from caffe2op.workspace.python_calls import BlobView
from caffe2op.workspace.trace import Trace
from caffe2op.workspace.workspaces import MissingError, NetLike, blob_name, current

__all__ = [
    "BlobView",
    "Blobs",
    "CreateBlob",
    "CreateNet",
    "CurrentWorkspace",
    "FeedBlob",
    "FetchBlob",
    "FetchBlobs",
    "HasBlob",
    "MissingError",
    "NetProfile",
    "NetTrace",
    "RegisteredOperators",
    "ResetWorkspace",
    "RunNet",
    "RunNetOnce",
    "RunOperatorOnce",
    "RunOperatorsOnce",
    "RunPlan",
    "ShareBlob",
    "SwitchWorkspace",
]


def __dir__() -> list[str]:
    return sorted(__all__)


# ---- workspaces -------------------------------------------------------------------------------


def CurrentWorkspace() -> str:
    """The name of the current workspace; "default" at first."""
    return current.workspace.name


def SwitchWorkspace(name: str, create_if_missing: bool = False) -> None:
    """Make `name` the current workspace, for all threads. KeyError when there is none and
    create_if_missing is false."""
    current.workspace = current.named(name, create_if_missing)


def ResetWorkspace() -> bool:
    """Forget every blob and net of the current workspace. Runs that go on keep theirs."""
    current.workspace.reset()
    return True


def RegisteredOperators() -> list[str]:
    """Every operator type, those of register_operator among them, sorted."""
    return schema.registered()


# ---- blobs ------------------------------------------------------------------------------------


def CreateBlob(name: BlobLike) -> bool:
    """Add an empty blob, unless it is there already. TypeError for a name that is none."""
    current.workspace.create_blob(name)
    return True


def FeedBlob(name: BlobLike, value: Any, device_option: DeviceOption | None = None) -> bool:
    """Make the blob a copy of `value`: a NumPy array of up to 8 dimensions, another library's that
    has DLPack (a tensor of PyTorch, say), a number (0-D), or a list of numbers. Anything else, a
    string say, is kept as the Python object it is.

    A blob that ShareBlob made stays the caller's memory: an array of its dtype and shape is
    written into it. TypeError for a dtype that blobs do not hold (object, complex, float16,
    strings) and for a tensor that DLPack does not give (of another device, with gradients);
    ValueError for too many dimensions, for one that does not fit shared memory, and for a device
    that is not the CPU.
    """
    if device_option is not None:
        check_device(f"blob {blob_name(name)!r}", device_option)
    current.workspace.put(name, lambda blob: blob.feed(value))
    return True


def ShareBlob(name: BlobLike, array: Any) -> bool:
    """Make the blob the caller's memory itself, not a copy: a writable, aligned, C-contiguous
    NumPy array, or another object with such a buffer. Operators then read and write it in place.

    The memory is kept alive. An operator that would give the blob another shape or dtype raises a
    ValueError. TypeError or ValueError for memory that is not accepted.
    """
    current.workspace.put(name, lambda blob: blob.share(array))
    return True


def FetchBlob(name: BlobLike) -> Any:
    """A copy of the blob: a NumPy array (0-D for a scalar of that shape), or the Python object
    that was fed. An atomic bool gives a bool, a counter its count, a mutex or a queue a string that
    says what it is. KeyError when there is no such blob, ValueError when it is empty."""
    return current.workspace.blob(name).fetch()


def FetchBlobs(names: Iterable[BlobLike]) -> list[Any]:
    """FetchBlob of each, one after the other: not all at one moment."""
    return [FetchBlob(name) for name in _several(names)]


def _several(names: Iterable[BlobLike]) -> list[BlobLike]:
    if isinstance(names, str | BlobReference) or not isinstance(names, Iterable):
        raise TypeError(f"blobs are given by a list of names or references, got {names!r}")
    return list(names)


def HasBlob(name: BlobLike) -> bool:
    """Whether the current workspace has the blob, empty or not."""
    return current.workspace.has(name)


def Blobs() -> list[str]:
    """The names of all blobs, sorted."""
    return current.workspace.blobs()


# ---- nets, operators, plans ---------------------------------------------------------------------


def CreateNet(net: NetLike, overwrite: bool = False, input_blobs: Iterable[BlobLike] = ()) -> str:
    """Check a net and build it in the current workspace, to be run by its name, which is
    returned. Its outputs become blobs, empty until it runs; `input_blobs` too, before the checks.

    ValueError when a net of that name is there and `overwrite` is false, and for whatever the net
    contradicts: a schema, an input without a source, an external output that is never produced, an
    unknown type, operator or argument.
    """
    for name in [blob_name(b) for b in _several(input_blobs)]:
        CreateBlob(name)
    return current.workspace.create_net(net, overwrite).compiled.info.name


def RunNet(name: str | NetLike, num_iter: int = 1, allow_fail: bool = False) -> bool:
    """Run a created net, by its name or itself, `num_iter` times in one call into C.

    Returns True. When an operator reports failure: False with `allow_fail`, else a RuntimeError.
    What an operator raises is raised. May be called from several threads at the same time, for
    one net too: its operators then run side by side on the same blobs.
    """
    return current.workspace.run_net(name, num_iter, allow_fail)


def NetProfile(net: str | NetLike) -> Profile:
    """What the runs of a created net of type "prof_dag" took: count, mean and deviation of each
    operator and of each type, the critical path; str() is a table. RuntimeError for nets of other
    types, and during a run; KeyError for one that was not created."""
    return current.workspace.net(net).observed.profile()


def NetTrace(net: str | NetLike) -> Trace:
    """The last events of a created net that has the argument enable_tracing=1, as Chrome-trace
    JSON, which `save(path)` writes. RuntimeError for nets without it, and during a run; KeyError
    for one that was not created."""
    return current.workspace.net(net).observed.trace()


def RunNetOnce(net: NetLike) -> bool:
    """Check, build and run a net without keeping it; its output blobs stay. Raises what CreateNet
    and RunNet do; returns True."""
    return current.workspace.run_once(net)


def RunOperatorOnce(operator: OperatorDef) -> bool:
    """Check and run one operator. Raises what RunNetOnce does, TypeError for what is none."""
    return current.workspace.run_operators([operator])


def RunOperatorsOnce(operators: Iterable[OperatorDef]) -> bool:
    """RunOperatorOnce of each: one is checked when those before it have run."""
    return current.workspace.run_operators(operators)


def RunPlan(plan: Plan | PlanDef | ExecutionStep) -> bool:
    """Check a plan (or the plan of one step) and run it, in one call into C.

    Every step and net is checked before the first runs. What was compiled is kept for as long as
    the plan and the workspace are, and used again if nothing in the plan's definitions has changed
    since; changes count at the next call. Plans with operators of the user's own, or with steps
    that make workspaces, are compiled each time. The first failure in time, of whatever
    step, is raised; concurrent steps stop after the operator that they are in, and are waited for.
    """
    return current.workspace.run_plan(plan)
