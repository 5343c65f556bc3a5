"""Workspaces: named blobs and nets, and which workspace is the current one.

| operation                      | from any thread | waits for                                |
|--------------------------------|-----------------|------------------------------------------|
| feed, fetch, has, blobs        | yes             | nothing                                  |
| create_net, run_plan, compile  | yes             | another compilation                      |
| run_net                        | yes             | what its operators wait for              |
| reset                          | yes             | a compilation; not for runs, which keep  |
|                                |                 | their nets and blobs until they end      |

One net may run on several threads at the same time. The current workspace is the process's, as in
Caffe2: switching it is seen by every thread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NoReturn, TypeVar

from caffe2op._core import locks
from caffe2op._core.pickling import not_pickled
from caffe2op._core.suggest import suggest
from caffe2op.core import net as net_definitions
from caffe2op.core.defs import ExecutionStepDef, NetDef, OperatorDef, PlanDef
from caffe2op.core.fields import check_fields
from caffe2op.core.names import BlobLike, BlobReference
from caffe2op.core.net import Net
from caffe2op.core.plan import Plan
from caffe2op.core.steps import ExecutionStep
from caffe2op.operators import schema
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.compile import RunnableNet, runnable
from caffe2op.workspace.kept_plans import KeptPlans, values_of
from caffe2op.workspace.plan import compile_plan, repeated
from caffe2op.workspace.scope import Scope

_lock = locks.lock()  # held while names are added, in any workspace

NetLike = Net | NetDef
T = TypeVar("T")


class MissingError(KeyError):
    """A name that the workspace does not have. A KeyError whose text is not quoted again."""

    def __str__(self) -> str:
        return str(self.args[0])


def blob_name(name: BlobLike) -> str:
    """A blob's name from the name or a reference; TypeError for anything else."""
    if isinstance(name, str | BlobReference) and str(name):
        return str(name)
    raise TypeError(f"a blob is named by a non-empty string or a BlobReference, got {name!r}")


def net_def(net: NetLike) -> NetDef:
    """The definition of a net; TypeError for anything that is none."""
    if isinstance(net, Net):
        return net.Proto()
    if isinstance(net, NetDef):
        return net
    raise TypeError(f"expected a core.Net or a NetDef, got {net!r}")


class Workspace:
    """Blobs and nets by name. Users know workspaces by their names, and by the functions of
    `caffe2op.workspace`, which act on the current one. Methods may be called from any thread."""

    def __reduce__(self) -> NoReturn:
        raise not_pickled(self, "feed what FetchBlob gives to a workspace of the other process")

    def __init__(self, name: str) -> None:
        self.name = name
        self._blobs: dict[str, Blob] = {}
        self.nets: dict[str, RunnableNet] = {}
        self._plans = KeptPlans()

    # ---- blobs -----------------------------------------------------------------------------

    def blobs(self) -> list[str]:
        """The names of all blobs, sorted."""
        return sorted(self._blobs)

    def has(self, name: BlobLike) -> bool:
        """Whether the blob is there, empty or not."""
        return blob_name(name) in self._blobs

    def blob(self, name: BlobLike) -> Blob:
        """The blob; MissingError (a KeyError) when there is none."""
        found = self._blobs.get(blob_name(name))
        if found is None:
            raise MissingError(
                f"workspace {self.name!r} has no blob {blob_name(name)!r}"
                f"{suggest(str(name), self._blobs)}"
            )
        return found

    def create_blob(self, name: BlobLike) -> Blob:
        """The blob, a new empty one when there is none."""
        name = blob_name(name)
        with _lock:
            found = self._blobs.get(name)
            if found is None:
                found = self._blobs[name] = Blob(name)
            return found

    def put(self, name: BlobLike, fill: Callable[[Blob], None]) -> None:
        """Fill the blob; one that is not there yet is added only when `fill` succeeded."""
        name = blob_name(name)
        found = self._blobs.get(name)
        if found is not None:
            fill(found)
            return
        fresh = Blob(name)
        fill(fresh)
        with _lock:
            found = self._blobs.setdefault(name, fresh)
        if found is not fresh:  # another thread was faster
            fill(found)

    def reset(self) -> None:
        """Forget every blob and net. Runs that go on keep theirs."""
        with _lock:
            self._blobs = {}
            self.nets = {}
            self._plans = KeptPlans()

    # ---- nets and plans ----------------------------------------------------------------------

    def compiled(self, build: Callable[[Scope], T]) -> T:
        """What `build` makes; its new blobs are added when it succeeded."""
        with _lock:
            scope = Scope(self._blobs)
            result = build(scope)
            scope.commit()
            return result

    def create_net(self, net: NetLike, overwrite: bool = False) -> RunnableNet:
        """Check and build the net, to be run by its name."""
        proto = net_def(net)
        if not isinstance(proto.name, str) or not proto.name:
            raise ValueError(f"a net's name must be a non-empty string, got {proto.name!r}")
        with _lock:
            if proto.name in self.nets and not overwrite:
                raise ValueError(
                    f"workspace {self.name!r} has a net {proto.name!r} already; "
                    "overwrite=True replaces it"
                )
            compiled = self.compiled(lambda scope: runnable(proto, scope))
            self.nets[proto.name] = compiled
            return compiled

    def net(self, name: str | NetLike) -> RunnableNet:
        """The net of that name; MissingError when it was not created."""
        key = name if isinstance(name, str) else net_def(name).name
        found = self.nets.get(key)
        if found is None:
            raise MissingError(
                f"workspace {self.name!r} has no net {key!r}"
                f"{suggest(key, self.nets)}; CreateNet makes one"
            )
        return found

    def run_net(self, name: str | NetLike, num_iter: int, allow_fail: bool) -> bool:
        """Run a created net."""
        net = self.nets.get(name) if isinstance(name, str) else None  # the way of microseconds
        if net is None:
            net = self.net(name)
        if num_iter == 1:
            return net.run(allow_fail)
        if not isinstance(num_iter, int) or num_iter < 0:
            raise ValueError(
                f"net {net.compiled.info.name!r}: num_iter must be an int of 0 or "
                f"more, got {num_iter!r}"
            )
        if not net.simple:
            return all(net.run(allow_fail) for _ in range(num_iter))
        return repeated(net.compiled, num_iter)(allow_fail)

    def run_once(self, net: NetLike) -> bool:
        """Build the net, run it, forget it."""
        proto = net_def(net)
        return self.compiled(lambda scope: runnable(proto, scope)).run(False)

    def run_operators(self, ops: Iterable[OperatorDef]) -> bool:
        """Run operators one after the other."""
        if not isinstance(ops, Iterable):
            raise TypeError(f"expected operators, got {ops!r}")
        for op in ops:
            if not isinstance(op, OperatorDef):
                raise TypeError(f"expected what core.CreateOperator returns, got {op!r}")
            check_fields(op, schema.describe(op))
            self.run_once(NetDef(op.type or "operator", [op]))
        return True

    def run_plan(self, plan: Plan | PlanDef | ExecutionStep) -> bool:
        """Check and build a plan, or the plan of one step, unless it was and is still the same;
        and run it."""
        definition, proto = _plan_def(plan)
        plans = self._plans  # before the blobs: after a reset in between, both are forgotten
        values = values_of(proto)
        runner = None if values is None else plans.take(definition, values)
        if runner is not None:
            lasting = True
        else:
            runner, lasting = self.compiled(lambda scope: compile_plan(proto, scope))
        try:
            return runner(False)
        finally:
            if lasting and values is not None:
                plans.put(definition, values, runner)


def _plan_def(
    plan: Plan | PlanDef | ExecutionStep,
) -> tuple[PlanDef | ExecutionStepDef, PlanDef]:
    """The definition that the caller has, and the plan that it is or is the step of."""
    if isinstance(plan, ExecutionStep):
        step = plan.Proto()
        return step, PlanDef(plan.Name(), [net.Proto() for net in plan.Nets()], [step])
    proto = plan.Proto() if isinstance(plan, Plan) else plan
    if isinstance(proto, PlanDef):
        return proto, proto
    raise TypeError(f"expected a core.Plan, a PlanDef or a core.ExecutionStep, got {plan!r}")


class _Current:
    """The process's workspaces by name, and the current one."""

    def __init__(self) -> None:
        self.workspace = Workspace("default")
        self._all = {"default": self.workspace}

    def named(self, name: str, create_if_missing: bool = False) -> Workspace:
        """The workspace of that name. TypeError for what is no name; MissingError (a KeyError)
        when there is none and create_if_missing is false."""
        if not isinstance(name, str) or not name:
            raise TypeError(f"a workspace's name must be a non-empty string, got {name!r}")
        found = self._all.get(name)
        if found is None and not create_if_missing:
            raise MissingError(
                f"no workspace {name!r}{suggest(name, self._all)}; "
                "SwitchWorkspace(name, create_if_missing=True) makes one"
            )
        return found or self._all.setdefault(name, Workspace(name))


current = _Current()
net_definitions.find_created = lambda net: current.workspace.net(net)
