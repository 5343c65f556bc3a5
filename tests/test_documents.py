"""README.md and the pages of docs/ are true: each Python block runs as a program of its own and
prints what is shown below it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

# A Python block, and the ```text block that may follow it directly: what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n*```text\n(.*?)^```\n)?", re.S | re.M)

# What a page may import that is in no extra but its own.
MISSING = re.compile(r"^ModuleNotFoundError: No module named '(numba|sklearn|scipy|torch)", re.M)


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
