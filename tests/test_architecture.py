"""ARCHITECTURE.md is true: every source has its place in the tables, and imports go one way."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import caffe2op

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = Path(caffe2op.__file__).parent
TABLES = (ROOT / "ARCHITECTURE.md").read_text().partition("## Where things live")[2]
NAMED = re.findall(r"`([^`]+)`", TABLES.partition("\n## ")[0])

# Each imports from those before it only. What stands in one entry does not know each other.
LAYERS = [
    {"_core"},
    {"atomics"},
    {"operators"},
    {"core"},
    {"workspace", "model_helper"},
    {"asyncnet", "linear_model", "interop", "brew", "optimizer"},
    {"examples"},
]


# The same of the core: by headers, and a source counts where its header does.
C_LAYERS = [
    ["atomic", "cpu", "platform*", "posix"],
    ["dtype", "scalar", "random", "wait", "mutex", "queue", "reclaim", "pool"],
    ["blob", "kernel", "stripes"],
    ["run", "team"],
    ["chunks", "indices", "bulk", "scatter*", "dense*", "wide", "gemm"],
    ["net", "batch", "graph", "schedule", "static_run", "dynamic_run", "async*", "choice", "costs",
     "machine", "watch", "plan", "kernel_python"],
    ["operator", "kernel_*", "kernels_*", "broadcast", "rows", "softmax", "linear", "train*",
     "update*"],
]  # fmt: skip


def layer_of(stem: str) -> int:
    """In C_LAYERS; whole names count before patterns."""
    for match in (str.__eq__, fnmatch.fnmatch):
        for k, names in enumerate(C_LAYERS):
            if any(match(stem, name) for name in names):
                return k
    raise AssertionError(f"csrc/{stem}.* has no layer")


def test_includes_of_the_core_go_one_way() -> None:
    for path in (ROOT / "csrc").glob("*.[ch]"):
        included = re.findall(r'#include "(\w+)\.h"', path.read_text())
        late = [s for s in included if s != "c2" and layer_of(s) > layer_of(path.stem)]
        assert not late, f"{path.name} includes {late}"


def test_every_source_of_the_core_is_named() -> None:
    sources = [path.name for path in (ROOT / "csrc").glob("*.[ch]")]
    assert sources
    assert [s for s in sources if not any(fnmatch.fnmatch(s, name) for name in NAMED)] == []


def test_every_part_of_the_package_is_named() -> None:
    parts = [
        path.name + "/" * path.is_dir()
        for path in PACKAGE.iterdir()
        if not path.name.startswith("__") and path.name != "py.typed"
    ]
    assert [part for part in parts if part not in NAMED] == []


def imported(tree: ast.AST) -> Iterator[str]:
    """The parts of the package that a module imports when it runs: not those for hints only."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("caffe2op."))
        yield from imported(node)


@pytest.mark.parametrize("k", range(len(LAYERS)))
def test_imports_go_one_way(k: int) -> None:
    before = set[str]().union(*LAYERS[:k])
    for part in LAYERS[k]:
        files = [PACKAGE / f"{part}.py", *(PACKAGE / part).rglob("*.py")]
        for file in (file for file in files if file.exists()):
            late = set(imported(ast.parse(file.read_text()))) - before - {part}
            assert not late, f"{file.relative_to(PACKAGE)} imports {sorted(late)}"


def test_every_part_has_a_layer() -> None:
    parts = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert {p for p in parts if not p.startswith("__")} == set[str]().union(*LAYERS)
