"""Every guarantee in ARCHITECTURE.md has a number of its own, and names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
TEXT = (TREE / "ARCHITECTURE.md").read_text()
TABLE = TEXT.partition("<!-- guarantees:begin -->")[2].partition("<!-- guarantees:end -->")[0]
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", TABLE, re.M)


def test_numbers_are_not_given_twice() -> None:
    numbers = [int(number) for number, _, _ in ROWS]
    assert numbers == sorted(set(numbers))
    assert numbers


def test_what_checks_them_is_there() -> None:
    for number, _, checked_by in ROWS:
        names = re.findall(r"`([^`]+)`", checked_by)
        assert names, f"guarantee {number} names no test"
        for name in names:
            where = name.rstrip("/")
            found = list(TREE.glob(where)) or list(
                (TREE / "csrc" / "tests").rglob(Path(where).name)
            )
            assert found, f"guarantee {number}: there is no {name}"
