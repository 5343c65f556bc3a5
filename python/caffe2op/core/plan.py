"""Plan: steps that run one after the other, and the nets that they name."""

from __future__ import annotations

from collections.abc import Iterable

from caffe2op.core.defs import PlanDef
from caffe2op.core.net import Net
from caffe2op.core.steps import ExecutionStep, add_net, check_step


class Plan:
    """A plan under construction, from its name or its only step. Nets have unique names."""

    def __init__(self, name_or_step: str | ExecutionStep) -> None:
        self._nets: dict[str, Net] = {}
        self._steps: list[ExecutionStep] = []
        if isinstance(name_or_step, ExecutionStep):
            self._plan = PlanDef(name_or_step.Name())
            self.AddStep(name_or_step)
        elif isinstance(name_or_step, str):
            self._plan = PlanDef(name_or_step)
        else:
            raise TypeError(
                f"a plan is made from its name or an ExecutionStep, got {name_or_step!r}"
            )

    def Name(self) -> str:
        """Its name, which errors give."""
        return self._plan.name

    def __str__(self) -> str:
        return self._plan.name

    def Proto(self) -> PlanDef:
        """The definition itself, not a copy."""
        return self._plan

    def Nets(self) -> list[Net]:
        """The nets that its steps may name, in the order in which they came."""
        return list(self._nets.values())

    def Steps(self) -> list[ExecutionStep]:
        """Its steps, in the order in which they run."""
        return list(self._steps)

    def AddNets(self, nets: Iterable[Net]) -> None:
        """Add nets that steps may name. ValueError, and none is added, when two would have one
        name."""
        all_nets = dict(self._nets)
        for net in nets:
            if not isinstance(net, Net):
                raise TypeError(f"plan {self.Name()!r}: expected a core.Net, got {net!r}")
            add_net(all_nets, net, f"plan {self.Name()!r}")
        self._nets = all_nets
        self._plan.network = [net.Proto() for net in all_nets.values()]

    def AddNet(self, net: Net) -> None:
        """Add one net that steps may name. Errors as those of AddNets."""
        self.AddNets([net])

    def AddStep(self, step: ExecutionStep) -> None:
        """Add a step after those there are, with its nets. The step can no longer be changed.
        TypeError for what is no step, ValueError for one that contradicts itself or has a net
        whose name another one has; nothing is added then."""
        if not isinstance(step, ExecutionStep):
            raise TypeError(f"plan {self.Name()!r}: expected a core.ExecutionStep, got {step!r}")
        check_step(step.Proto())
        self.AddNets(step.Nets())
        step._mark_used()
        self._steps.append(step)
        self._plan.execution_step.append(step.Proto())
