"""From a plan to a tree of c2_steps: one call into C runs all of it.

A step becomes one c2_step, and more where C needs them:

    num_concurrent_instances   a concurrent step over that many copies of the children
    report_net                 a step around it, with the report net as a step that runs every
                               report_interval milliseconds

`create_workspace`: blobs that the outer workspace does not have when the step is compiled are
the step's (with instances: each instance's) own; C empties them whenever the step starts.

Steps are compiled in their order, all of them before the first runs, so a blob that an earlier
step's net makes is there for a later one.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

from caffe2op._core import ffi, lib
from caffe2op._core.suggest import suggest
from caffe2op.core.defs import ExecutionStepDef, NetDef, PlanDef
from caffe2op.core.fields import check_fields
from caffe2op.core.steps import check_step
from caffe2op.workspace.blob import Blob
from caffe2op.workspace.compile import CompiledNet, compile_net
from caffe2op.workspace.executors import in_plan
from caffe2op.workspace.run import NetInfo, Runner
from caffe2op.workspace.scope import Scope


class CompiledPlan(NamedTuple):
    """What runs a plan. `lasting`: it may be kept and run again in place of a new one, since all
    that it holds is the scope's and this package's. A function of the user's is asked for anew
    for each plan, and may refer to anything; a step's own blobs are memory."""

    runner: Runner
    lasting: bool


def compile_plan(plan: PlanDef, scope: Scope) -> CompiledPlan:
    """Check the plan and build it on the blobs of the scope; new blobs are made there. ValueError
    or TypeError that names the plan, the step or net, and what is wrong."""
    compiler = _Compiler(plan)
    root = compiler.new_step()
    for step in plan.execution_step:
        check_step(step)
        child, _ = compiler.step(step, scope)
        compiler.add(root, child)
    runner = Runner(partial(lib.c2_step_run, root), compiler.infos, compiler.keep, compiler.explain)
    return CompiledPlan(runner, compiler.lasting)


def repeated(net: CompiledNet, num_iter: int) -> Runner:
    """What runs one net again and again."""
    step = _new_step()
    lib.c2_step_set(step, num_iter, ffi.NULL, 0, 0, 0, 0)
    _check_memory(lib.c2_step_add_net(step, net.info.c, ffi.NULL))
    return Runner(partial(lib.c2_step_run, step), [net.info], net)


def _check_memory(result: int) -> None:
    if result:
        raise MemoryError("no memory for an execution step")


def _new_step() -> Any:
    step = lib.c2_step_new()
    _check_memory(not step)
    return ffi.gc(step, lib.c2_step_free)


class _Compiler:
    """What the steps of one plan share while they are compiled."""

    def __init__(self, plan: PlanDef) -> None:
        self._where = f"plan {plan.name!r}"
        check_fields(plan, self._where)
        self._defs: dict[str, NetDef] = {}
        for net in plan.network:
            if not isinstance(net.name, str) or not net.name:
                raise ValueError(
                    f"{self._where}: a net's name must be a non-empty string, got {net.name!r}"
                )
            if self._defs.setdefault(net.name, net) is not net:
                raise ValueError(
                    f"{self._where}: two nets are called {net.name!r}; names must be unique"
                )
        self._nets: dict[tuple[Scope, str], CompiledNet] = {}
        self.infos: list[NetInfo] = []
        self.lasting = True
        self._stop_blobs: list[tuple[str, Blob]] = []
        self.keep: list[Any] = [self._stop_blobs]

    def new_step(self) -> Any:
        """A c2_step that lives as long as the plan."""
        step = _new_step()
        self.keep.append(step)
        return step

    def add(self, step: Any, substep: Any) -> None:
        _check_memory(lib.c2_step_add_substep(step, substep))

    def net(self, name: str, scope: Scope, step: ExecutionStepDef) -> CompiledNet:
        """The net, built once for each scope."""
        found = self._nets.get((scope, name))
        if found is None:
            if name not in self._defs:
                raise ValueError(
                    f"{self._where}, step {step.name!r}: the plan has no net "
                    f"{name!r}{suggest(name, self._defs)}"
                )
            found = self._nets[scope, name] = compile_net(self._defs[name], scope)
            self.infos.append(found.info)
            self.lasting = self.lasting and not found.foreign
            self.keep.append(found)
        return found

    def step(self, step: ExecutionStepDef, outer: Scope) -> tuple[Any, bool]:
        """The c2_step, and whether anything in it may wait for a sibling."""
        c = self.new_step()
        self.lasting = self.lasting and not step.create_workspace
        instances = step.num_concurrent_instances
        if instances > 1:
            scope, locals_, waits = self._instances(c, step, outer, instances)
        else:
            scope = Scope(outer=outer) if step.create_workspace else outer
            waits = self._children(c, step, scope)
            locals_ = self._locals(step, scope)
        for blob in locals_:
            _check_memory(lib.c2_step_add_local(c, blob.c))
        self.keep.append(locals_)
        concurrent = step.concurrent_substeps or instances > 1
        every_ms = 0 if step.report_net else step.run_every_ms
        lib.c2_step_set(
            c,
            self._iterations(step),
            self._stop_blob(step, scope),
            step.only_once,
            concurrent,
            waits,
            every_ms,
        )
        if step.report_net:
            c = self._with_report(c, step, scope)
        return c, waits or bool(step.should_stop_blob)

    def _add_net(self, c: Any, name: str, scope: Scope, step: ExecutionStepDef) -> bool:
        """Let the c2_step run the net, in the way of its type; whether it may wait."""
        net = self.net(name, scope, step)
        how, keep = in_plan(net.info.c, self._defs[name])
        self.keep += keep
        _check_memory(lib.c2_step_add_net(c, net.info.c, how))
        return net.waits

    def _children(self, c: Any, step: ExecutionStepDef, scope: Scope) -> bool:
        waits = False
        for substep in step.substep:
            child, child_waits = self.step(substep, scope)
            self.add(c, child)
            waits = waits or child_waits
        for name in step.network:
            waits = self._add_net(c, name, scope, step) or waits
        return waits

    def _instances(
        self, c: Any, step: ExecutionStepDef, outer: Scope, instances: int
    ) -> tuple[Scope, list[Blob], bool]:
        locals_: list[Blob] = []
        waits = False
        for _ in range(instances):
            scope = Scope(outer=outer) if step.create_workspace else outer
            one = self.new_step()
            waits = self._children(one, step, scope) or waits
            lib.c2_step_set(one, 1, ffi.NULL, 0, step.concurrent_substeps, waits, 0)
            self.add(c, one)
            locals_ += self._locals(step, scope)
        return outer, locals_, waits

    def _locals(self, step: ExecutionStepDef, scope: Scope) -> list[Blob]:
        return scope.commit() if step.create_workspace else []

    def _with_report(self, c: Any, step: ExecutionStepDef, scope: Scope) -> Any:
        report, around = self.new_step(), self.new_step()
        self._add_net(report, step.report_net, scope, step)
        lib.c2_step_set(report, 1, ffi.NULL, 0, 0, 0, step.report_interval)
        self.add(around, report)
        self.add(around, c)
        lib.c2_step_set(around, 1, ffi.NULL, 0, 0, 0, step.run_every_ms)
        return around

    def _iterations(self, step: ExecutionStepDef) -> int:
        if not step.substep and not step.network:
            if step.should_stop_blob:
                raise ValueError(
                    f"{self._where}, step {step.name!r}: it has nothing to run until "
                    f"should_stop_blob {step.should_stop_blob!r} is true"
                )
            return 0  # nothing to repeat
        if step.num_iter is not None:
            return step.num_iter
        return -1 if step.should_stop_blob else 1

    def _stop_blob(self, step: ExecutionStepDef, scope: Scope) -> Any:
        if not step.should_stop_blob:
            return ffi.NULL
        try:
            blob = scope[step.should_stop_blob]
        except KeyError:
            known = set(scope.names())
            raise ValueError(
                f"{self._where}, step {step.name!r}: should_stop_blob "
                f"{step.should_stop_blob!r} is not in the workspace and no net of "
                f"the step produces it{suggest(step.should_stop_blob, known)}"
            ) from None
        self._stop_blobs.append((step.name, blob))
        return blob.c

    def explain(self, message: str) -> str:
        """C does not say which step: a stop blob that holds no bool is looked for."""
        for step, blob in self._stop_blobs:
            if not blob.holds_a_bool():
                return f"{self._where}, step {step!r}: {message}, got {blob.describe()}"
        return f"{self._where}: {message}"
