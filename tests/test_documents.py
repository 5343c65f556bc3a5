"""What is written is true: each Python block of README.md and docs/ runs as a program of its own
and prints what is shown below it; files and programs that a document names are there."""

from __future__ import annotations

import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import caffe2op

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# A Python block, and the ```text block that may follow it directly: what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n*```text\n(.*?)^```\n)?", re.S | re.M)

# What a page may import that is in no extra but its own.
MISSING = re.compile(
    r"^ModuleNotFoundError: No module named '(numba|sklearn|scipy|torch|tensorflow|jax)", re.M
)


class Block(NamedTuple):
    place: str
    code: str
    shown: str


def blocks(path: Path) -> list[Block]:
    text = path.read_text()
    return [
        Block(f"{path.name}:{text[: m.start()].count(chr(10)) + 1}", m[1], m[2] or "")
        for m in BLOCK.finditer(text)
    ]


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]


@pytest.mark.parametrize("block", BLOCKS, ids=[block.place for block in BLOCKS])
def test_block_prints_what_is_shown(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(block.code)
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ,
    )
    if missing := MISSING.search(done.stderr):
        pytest.skip(f"needs {missing[1]}")
    assert done.returncode == 0, done.stderr
    assert done.stdout == block.shown


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_python_block_was_found(path: Path) -> None:
    assert len(blocks(path)) == path.read_text().count("```python")


def test_the_readmes_first_example_has_at_most_twelve_lines() -> None:
    first = blocks(DOCUMENTS[0])[0].code
    assert len([line for line in first.splitlines() if line.strip()]) <= 12


def test_the_readmes_two_commands_stand_as_they_are_run() -> None:
    text = DOCUMENTS[0].read_text()
    for command in (
        'pip install ".[examples]" && python -m caffe2op.examples.hogwild',
        'pip install ".[test]" && pytest',
    ):
        assert f"\n{command}\n" in text


# ---- names of files and modules ------------------------------------------------------------------

# Not CHANGELOG.md, which also tells of what is gone.
PAGES = [ROOT / f"{name}.md" for name in ("README", "ARCHITECTURE", "CONTRIBUTING", "SECURITY")]
PAGES += [path for folder in ("docs", "bench", "csrc") for path in (ROOT / folder).rglob("*.md")]
LINK = re.compile(r"\]\((?!https?:)([^)#]+)")
SPAN = re.compile(r"`([^`\n]+)`")
NAME = re.compile(r"(?:[\w.*-]+/)*[\w*-]+\.(?:c|h|py|pyi|md|toml|sh|txt|supp|pml)|(?:[\w.*-]+/)+")
FOREIGN = {"Python.h"}
TREE = [ROOT / folder for folder in (".ci", "bench", "csrc", "docs", "tests")]
FILES = [str(path) for folder in TREE for path in (folder, *folder.rglob("*"))]
FILES += [str(path) for path in ROOT.glob("*.*")]
PACKAGE = Path(caffe2op.__file__).parent  # wherever it was installed
FILES += [f"/python/caffe2op/{p.relative_to(PACKAGE)}" for p in (PACKAGE, *PACKAGE.rglob("*"))]


def is_there(name: str) -> bool:
    """Whether a path of the tree ends so; `*` stands for anything."""
    pattern = f"*/{name.rstrip('/')}"
    return name in FOREIGN or any(fnmatch.fnmatch(f.rstrip("/."), pattern) for f in FILES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_are_there(path: Path) -> None:
    text = path.read_text()
    assert [link for link in LINK.findall(text) if not (path.parent / link).exists()] == []
    names = {name for span in SPAN.findall(text) for name in span.split() if NAME.fullmatch(name)}
    assert [name for name in sorted(names) if not is_there(name)] == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_that_are_named_are_there(path: Path) -> None:
    programs = re.findall(r"python -m (caffe2op[\w.]+)", path.read_text())
    assert [p for p in programs if not is_there(f"python/{p.replace('.', '/')}.py")] == []
