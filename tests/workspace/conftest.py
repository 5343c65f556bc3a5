"""What the tests of plans look at: which were compiled."""

from __future__ import annotations

from typing import Any

import pytest

from caffe2op.core.defs import PlanDef
from caffe2op.workspace import workspaces


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the plans that were compiled."""
    names: list[str] = []
    compile_plan = workspaces.compile_plan

    def noted(plan: PlanDef, scope: Any) -> Any:
        names.append(plan.name)
        return compile_plan(plan, scope)

    monkeypatch.setattr(workspaces, "compile_plan", noted)
    return names
