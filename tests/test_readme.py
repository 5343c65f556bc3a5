"""README.md is true: each Python block runs as a program of its own and prints what is shown."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"

# A Python block, and the ```text block that may follow it directly: what it prints.
BLOCK = re.compile(r"^```python\n(.*?)^```\n(?:\n*```text\n(.*?)^```\n)?", re.S | re.M)
TEXT = README.read_text()
BLOCKS = [(m[1], m[2] or "", TEXT[: m.start()].count("\n") + 1) for m in BLOCK.finditer(TEXT)]


@pytest.mark.parametrize(
    ("code", "shown"), [b[:2] for b in BLOCKS], ids=[f"line{b[2]}" for b in BLOCKS]
)
def test_block_prints_what_the_readme_shows(code: str, shown: str, tmp_path: Path) -> None:
    program = tmp_path / "example.py"
    program.write_text(code)
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
        env=os.environ,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == shown


def test_every_python_block_was_found() -> None:
    assert len(BLOCKS) == TEXT.count("```python") > 0


def test_the_first_example_has_at_most_twelve_lines() -> None:
    assert len([line for line in BLOCKS[0][0].splitlines() if line.strip()]) <= 12


def test_the_two_commands_stand_as_they_are_run() -> None:
    for command in (
        'pip install ".[examples]" && python -m caffe2op.examples.hogwild',
        'pip install ".[test]" && pytest',
    ):
        assert f"\n{command}\n" in TEXT
