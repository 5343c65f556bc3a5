"""Every guarantee in ARCHITECTURE.md has a number of its own, and names tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
TEXT = (TREE / "ARCHITECTURE.md").read_text()
TABLE = TEXT.partition("<!-- guarantees:begin -->")[2].partition("<!-- guarantees:end -->")[0]
ROWS = re.findall(r"^\| (\d+) \| (.+) \| (.+) \|$", TABLE, re.M)


def is_run(file: Path, test: str) -> bool:
    """Whether the file defines the test, and, in C, runs it."""
    text = file.read_text()
    if file.suffix == ".py":
        return re.search(rf"^def {test}\(", text, re.M) is not None
    return f"TEST({test})" in text and f"RUN({test})" in text


def missing(name: str) -> str | None:
    """What is wrong with `file` or `file::test`."""
    where, _, test = name.partition("::")
    if not (TREE / where).is_file():
        return "there is no such file"
    if test and not is_run(TREE / where, test):
        return f"{where} has no test of that name"
    # A file of tests says too little; programs of the model and scripts are one check each.
    if not test and re.search(r"(^|/)test_[^/]*\.c$", where):
        return "which of its tests?"
    return None


def test_numbers_are_not_given_twice() -> None:
    numbers = [int(number) for number, _, _ in ROWS]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(ROWS) == TABLE.count("\n|") - 2  # but its head and the line below
    assert numbers


def test_what_checks_them_is_there() -> None:
    for number, _, checked_by in ROWS:
        names = re.findall(r"`([^`]+)`", checked_by)
        assert names, f"guarantee {number} names no test"
        for name in names:
            assert missing(name) is None, f"guarantee {number}, {name}: {missing(name)}"


def test_a_test_that_is_gone_is_missed() -> None:
    here = "tests/proof/test_guarantees.py"
    assert missing(f"{here}::test_a_test_that_is_gone_is_missed") is None
    assert missing(f"{here}::test_of_nothing")
    assert missing("csrc/tests/test_bulk.c::like_plain_loop")
    assert missing("csrc/tests/test_bulk.c")
    assert missing("csrc/tests/no_such_file.c")
