"""Each test has the default workspace to itself, empty."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from caffe2op import workspace
from caffe2op.core.defs import PlanDef
from caffe2op.workspace import store


@pytest.fixture(autouse=True)
def fresh_workspace() -> Iterator[None]:
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()
    yield
    workspace.SwitchWorkspace("default")
    workspace.ResetWorkspace()


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the plans that were compiled."""
    names: list[str] = []
    compile_plan = store.compile_plan

    def noted(plan: PlanDef, scope: Any) -> Any:
        names.append(plan.name)
        return compile_plan(plan, scope)

    monkeypatch.setattr(store, "compile_plan", noted)
    return names
