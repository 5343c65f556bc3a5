"""Execution steps: nets or substeps, how often they run, and whether at the same time.

    work = core.execution_step("work", [net], num_iter=200)
    both = core.execution_step("both", [work, other], concurrent_substeps=True)

| field                    | meaning                                                           |
|--------------------------|-------------------------------------------------------------------|
| num_iter                 | how often; 1 when nothing is said, 0 runs nothing                 |
| should_stop_blob         | run until this scalar bool is true, looked at after each net or   |
|                          | substep; not together with num_iter                               |
| only_once                | with should_stop_blob: one iteration, which the blob can cut short|
| concurrent_substeps      | the substeps run at the same time                                 |
| num_concurrent_instances | so many copies of the children run at the same time               |
| create_workspace         | blobs that the outer workspace does not have are the step's own,  |
|                          | and empty whenever it starts; with instances, each has its own    |
| run_every_ms             | run beside the sibling steps, every so often, until they end      |
| report_net               | a net to run beside the step, every report_interval milliseconds  |

A step that was added to another step or to a plan can no longer be changed. Every contradiction
is a ValueError that names the step.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from caffe2op.core.defs import ExecutionStepDef
from caffe2op.core.fields import check_fields
from caffe2op.core.names import BlobLike, BlobReference
from caffe2op.core.net import Net

MOST_LEVELS = 100  # of steps below steps: each is a call of C in a call of C
MOST_INSTANCES = 2**16
MOST_MS = 10**12  # thirty years; in nanoseconds it fits 64 bits


class ExecutionStep:
    """A step under construction: `nets` to begin with, which run `num_iter` times.

    TypeError for a name or a net that is none; every method that changes it raises ValueError, with
    nothing changed, where that would contradict another field, or the step is in use already."""

    def __init__(
        self, name: str, nets: Net | Iterable[Net] | None = None, num_iter: int | None = None
    ) -> None:
        if not isinstance(name, str) or not name:
            raise TypeError(f"a step's name must be a non-empty string, got {name!r}")
        self._step = ExecutionStepDef(name)
        self._nets: dict[str, Net] = {}
        self._substeps: list[ExecutionStep] = []
        self._used = False
        given: Any = nets if nets is not None else ()
        for net in given if isinstance(given, Iterable) else [given]:
            self.AddNet(net)
        if num_iter is not None:
            self.SetIter(num_iter)

    def Name(self) -> str:
        """Its name, which errors give."""
        return self._step.name

    def __str__(self) -> str:
        return self._step.name

    def Proto(self) -> ExecutionStepDef:
        """The definition itself, not a copy."""
        return self._step

    def HasNets(self) -> bool:
        """Whether it runs nets."""
        return bool(self._step.network)

    def HasSubsteps(self) -> bool:
        """Whether it runs other steps."""
        return bool(self._substeps)

    def Substeps(self) -> list[ExecutionStep]:
        """The steps that it runs, in order."""
        return list(self._substeps)

    def Nets(self) -> list[Net]:
        """Every net of this step and of the steps below it, each once."""
        found: dict[str, Net] = {}
        for net in self._nets.values():
            add_net(found, net, f"step {self.Name()!r}")
        for substep in self._substeps:
            for net in substep.Nets():
                add_net(found, net, f"step {self.Name()!r}")
        return list(found.values())

    # ---- children ------------------------------------------------------------------------------

    def AddNet(self, net: Net) -> None:
        """Another net to run in each iteration. ValueError when the step has substeps."""
        self._refuse_if_used()
        if not isinstance(net, Net):
            raise TypeError(f"step {self.Name()!r}: expected a core.Net, got {net!r}")
        if self._substeps:
            raise ValueError(
                f"step {self.Name()!r} has substeps, so it cannot run net "
                f"{net.Name()!r}: a step has nets or substeps, never both"
            )
        add_net(self._nets, net, f"step {self.Name()!r}")
        self._step.network.append(net.Name())

    def AddSubstep(self, substep: ExecutionStep) -> None:
        """Another substep to run in each iteration. ValueError when the step has nets."""
        self._refuse_if_used()
        if not isinstance(substep, ExecutionStep):
            raise TypeError(f"step {self.Name()!r}: expected a core.ExecutionStep, got {substep!r}")
        if self._step.network:
            raise ValueError(
                f"step {self.Name()!r} has nets, so it cannot run substep "
                f"{substep.Name()!r}: a step has nets or substeps, never both"
            )
        if substep is self:
            raise ValueError(f"step {self.Name()!r} cannot be a substep of itself")
        check_step(substep.Proto())
        substep._mark_used()
        self._substeps.append(substep)
        self._step.substep.append(substep.Proto())

    # ---- how it runs ---------------------------------------------------------------------------

    def SetIter(self, num_iter: int) -> None:
        """Run the children so many times; 0: never."""
        self._set(num_iter=num_iter)

    def SetShouldStopBlob(self, blob: BlobLike) -> None:
        """Run until this scalar bool is true, looked at after each child."""
        self._set(should_stop_blob=str(BlobReference(blob)))

    def SetOnlyOnce(self, only_once: bool) -> None:
        """One iteration, which the stop blob can cut short."""
        self._set(only_once=only_once)

    def SetConcurrentSubsteps(self, concurrent_substeps: bool) -> None:
        """Run the substeps at the same time."""
        self._set(concurrent_substeps=concurrent_substeps)

    def SetNumConcurrentInstances(self, num_concurrent_instances: int) -> None:
        """Run so many copies of the children at the same time."""
        self._set(num_concurrent_instances=num_concurrent_instances)

    def SetCreateWorkspace(self, create_workspace: bool) -> None:
        """Give the step blobs of its own, empty whenever it starts."""
        self._set(create_workspace=create_workspace)

    def RunEveryMillis(self, interval: int) -> None:
        """Run beside the sibling steps every `interval` milliseconds, until they end."""
        self._set(run_every_ms=interval)

    def SetReportNet(self, report_net: Net, report_interval: int) -> None:
        """Run `report_net` beside the step, every `report_interval` milliseconds."""
        self._refuse_if_used()
        if not isinstance(report_net, Net):
            raise TypeError(
                f"step {self.Name()!r}: report_net must be a core.Net, got {report_net!r}"
            )
        self._set(report_net=report_net.Name(), report_interval=report_interval)
        add_net(self._nets, report_net, f"step {self.Name()!r}")

    def _set(self, **new: Any) -> None:
        """Set fields, or none of them where that would contradict another. That only_once needs a
        should_stop_blob is left to check_step: the blob may be set after it."""
        self._refuse_if_used()
        old = {field: getattr(self._step, field) for field in new}
        for field, value in new.items():
            setattr(self._step, field, value)
        wrong = _wrong_values(self._step)
        if wrong:
            for field, value in old.items():
                setattr(self._step, field, value)
            raise ValueError(f"step {self.Name()!r}: {wrong}")

    def _refuse_if_used(self) -> None:
        if self._used:
            raise ValueError(
                f"step {self.Name()!r} was added to a step or plan already and can "
                "no longer be changed"
            )

    def _mark_used(self) -> None:
        """From now on the step cannot be changed: a step or a plan has it."""
        self._used = True
        for substep in self._substeps:
            substep._mark_used()


def add_net(nets: dict[str, Net], net: Net, where: str) -> None:
    """Put the net into the dict; ValueError when another net has its name."""
    if nets.setdefault(net.Name(), net).Proto() is not net.Proto():
        raise ValueError(f"{where}: two nets are called {net.Name()!r}; names must be unique")


def _is_count(value: object, least: int, most: int = 2**63 - 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _wrong_values(step: ExecutionStepDef) -> str | None:
    if step.num_iter is not None and not _is_count(step.num_iter, 0):
        return f"num_iter must be an int of 0 or more, got {step.num_iter!r}"
    if step.should_stop_blob and step.num_iter is not None:
        return (
            f"num_iter ({step.num_iter}) and should_stop_blob ({step.should_stop_blob}) "
            "exclude each other"
        )
    if not _is_count(step.num_concurrent_instances, 1, MOST_INSTANCES):
        return (
            f"num_concurrent_instances must be an int from 1 to {MOST_INSTANCES}, "
            f"got {step.num_concurrent_instances!r}"
        )
    if not _is_count(step.run_every_ms, 0, MOST_MS):
        return f"run_every_ms must be an int from 0 to {MOST_MS}, got {step.run_every_ms!r}"
    if step.report_net and not _is_count(step.report_interval, 1, MOST_MS):
        return (
            f"report_interval must be a number of milliseconds, from 1 to {MOST_MS}, "
            f"got {step.report_interval!r}"
        )
    for field in ("concurrent_substeps", "only_once", "create_workspace"):
        if getattr(step, field) not in (False, True):
            return f"{field} must be a bool, got {getattr(step, field)!r}"
    return None


def check_step(step: ExecutionStepDef, levels: int = 1) -> None:
    """ValueError for a step, or a step below it, that contradicts itself; TypeError for a field of
    another type."""
    if not isinstance(step, ExecutionStepDef):
        raise TypeError(f"expected an ExecutionStepDef, got {step!r}")
    check_fields(step, f"step {step.name!r}")
    if levels > MOST_LEVELS:
        raise ValueError(
            f"step {step.name!r}: more than {MOST_LEVELS} levels of steps, or a step "
            "that is below itself"
        )
    wrong = _wrong_values(step)
    if not wrong and step.substep and step.network:
        wrong = "a step has nets or substeps, never both"
    if not wrong and step.only_once and not step.should_stop_blob:
        wrong = "only_once needs a should_stop_blob"
    if not wrong and step.criteria_network:
        wrong = "criteria_network is not supported; use should_stop_blob"
    if wrong:
        raise ValueError(f"step {step.name!r}: {wrong}")
    for substep in step.substep:
        check_step(substep, levels + 1)


def execution_step(
    default_name: str,
    steps_or_nets: ExecutionStep | Net | Sequence[ExecutionStep | Net],
    num_iter: int | None = None,
    report_net: Net | None = None,
    report_interval: int | None = None,
    concurrent_substeps: bool | None = None,
    should_stop_blob: BlobLike | None = None,
    only_once: bool | None = None,
    num_concurrent_instances: int | None = None,
    create_workspace: bool = False,
    run_every_ms: int | None = None,
) -> ExecutionStep:
    """A step over one or several nets, or one or several steps.

    The rest are fields of the step: see caffe2op.core.ExecutionStep's setters of those names.
    report_net and report_interval go together. ValueError, naming the step, for fields that
    contradict each other, for nets and steps mixed, and for two nets of one name; TypeError for
    what is neither net nor step.
    """
    step = ExecutionStep(default_name)
    if should_stop_blob is not None:
        step.SetShouldStopBlob(should_stop_blob)
    if num_iter is not None:
        step.SetIter(num_iter)
    if only_once is not None:
        step.SetOnlyOnce(only_once)
    if concurrent_substeps is not None:
        step.SetConcurrentSubsteps(concurrent_substeps)
    if num_concurrent_instances is not None:
        step.SetNumConcurrentInstances(num_concurrent_instances)
    if run_every_ms is not None:
        step.RunEveryMillis(run_every_ms)
    step.SetCreateWorkspace(create_workspace)
    if (report_net is None) != (report_interval is None):
        raise ValueError(
            f"step {default_name!r}: report_net and report_interval go together, "
            f"got {report_net!r} and {report_interval!r}"
        )
    if report_net is not None and report_interval is not None:
        step.SetReportNet(report_net, report_interval)
    given: Any = steps_or_nets
    for child in given if isinstance(given, Iterable) else [given]:
        if isinstance(child, ExecutionStep):
            step.AddSubstep(child)
        else:
            step.AddNet(child)
    check_step(step.Proto())
    return step
