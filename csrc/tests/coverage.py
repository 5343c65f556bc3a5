"""Which lines and branches of csrc its tests reach: `make -C csrc coverage`.

    coverage.py LEAST                               the C suite alone
    coverage.py LEAST PYTHON [pytest arguments]     and the Python tests; PYTHON is a command
    coverage.py LEAST --again                       what has been counted, once more

The C suite, on both seams to the system, and the Python tests run on code that gcc has made count;
gcov tells the counts, and here they are put together. A line of an inline function counts as run
when any file that includes it ran it. Written are a line for each source, and the lines that
nothing runs. The exit status is 1 when the share of lines is below LEAST (in percent), and, with
the Python tests, when a line that nothing runs is in no function that COVERAGE.md explains.
"""

import collections
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CSRC = Path(__file__).resolve().parents[1]
ROOT = CSRC.parent
WORK = CSRC / "build-coverage"
REASONS = CSRC / "tests" / "COVERAGE.md"

# The last -O wins, and the extension's own comes late; so a compiler of our own says it last.
# Counters are shared by threads, so that they have to be atomic themselves. What must be inlined
# would be counted once for each place that it is inlined into: here it need not be.
COMPILER = """#!/bin/sh
exec gcc -DTIME_BOX=250 -DC2_COVERAGE=1 -Dalways_inline=unused "$@" \\
    -O0 -g --coverage -fprofile-update=atomic
"""

# Measures time, and every operation takes several times as long here.
SLOW = "not short_runs_do_not_wait"


@dataclass
class Counts:
    """Of one source: how often each line ran, in which function, and each way of its branches."""

    lines: dict[int, int] = field(default_factory=dict)
    functions: dict[int, str] = field(default_factory=dict)
    branches: dict[int, list[int]] = field(default_factory=dict)

    def add(self, line: dict[str, Any]) -> None:
        """One of gcov's lines."""
        number: int = line["line_number"]
        self.lines[number] = self.lines.get(number, 0) + line["count"]
        self.functions.setdefault(number, line.get("function_name", ""))
        taken: list[int] = [way["count"] for way in line["branches"]]
        before = self.branches.get(number, [])
        if len(before) == len(taken):
            taken = [a + b for a, b in zip(before, taken, strict=True)]
        elif sum(map(bool, before)) > sum(map(bool, taken)):
            taken = before  # the same macro made other code elsewhere
        if taken:
            self.branches[number] = taken

    def missing(self) -> list[int]:
        return sorted(number for number, times in self.lines.items() if not times)

    def ways(self) -> tuple[int, int]:
        """All, and those that were taken."""
        every = [way for ways in self.branches.values() for way in ways]
        return len(every), sum(map(bool, every))


Sources = dict[str, Counts]


def run_the_c_suite() -> Path:
    """Build and run it, on both seams, in folders below WORK. Returns the compiler that counts."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    compiler = WORK / "gcc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    for platform in ("linux", "portable"):
        settings = [f"PLATFORM={platform}", f"BUILD={WORK / platform}", f"CC={compiler}"]
        make = ["make", "-s", f"-j{os.cpu_count()}", "-C", str(CSRC), "check", *settings]
        subprocess.run(make, check=True)
    return compiler


def run_the_python_tests(compiler: Path, python: str, arguments: list[str]) -> None:
    package = WORK / "python"
    shutil.copytree(ROOT / "python", package, ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    build = [python, "setup.py", "-q", "build_ext", f"--build-lib={package}"]
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environment = clean | {"CC": str(compiler), "LDSHARED": f"{compiler} -shared"}
    subprocess.run([*build, f"--build-temp={WORK}/objects"], cwd=ROOT, check=True, env=environment)
    test = [python, "-m", "pytest", "-k", SLOW, *arguments]
    done = subprocess.run(test, cwd=ROOT, check=False, env=clean | {"PYTHONPATH": str(package)})
    if done.returncode > 1:
        raise SystemExit(f"pytest ended with status {done.returncode}")
    if done.returncode:
        print("tests failed on this slow build, as seen above; what they ran counts all the same")


def counted(*folders: Path) -> Sources:
    """What the .gcda files below these folders say, added up."""
    sources: Sources = collections.defaultdict(Counts)
    for file in (file for folder in folders for file in sorted(folder.rglob("*.gcda"))):
        gcov = ["gcov", "--json-format", "--stdout", "--branch-probabilities", str(file)]
        text = subprocess.run(gcov, check=True, capture_output=True, cwd=WORK).stdout
        for document in map(json.loads, text.splitlines()):
            for source in document["files"]:
                path = Path(document["current_working_directory"], source["file"]).resolve()
                if CSRC not in path.parents or "tests" in path.parts or WORK in path.parents:
                    continue
                for line in source["lines"]:
                    sources[str(path.relative_to(CSRC))].add(line)
    return sources


def ranges(numbers: list[int]) -> str:
    """ "3, 7-9" """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def explained() -> dict[str, set[str]]:
    """The functions that COVERAGE.md names, by source: | `source` | `function`, ... | why |"""
    functions: dict[str, set[str]] = collections.defaultdict(set)
    for row in re.findall(r"^\| `(\S+)` \| (.+?) \| .+ \|$", REASONS.read_text(), re.M):
        functions[row[0]] |= set(re.findall(r"`(\w+)`", row[1]))
    return functions


def unexplained(sources: Sources) -> Iterator[str]:
    reasons = explained()
    for name, counts in sorted(sources.items()):
        by_function: dict[str, list[int]] = collections.defaultdict(list)
        for number in counts.missing():
            by_function[counts.functions[number]].append(number)
        for function, numbers in by_function.items():
            if function not in reasons[name]:
                yield f"{name}:{ranges(numbers)}, in {function}"


def share(part: int, of: int) -> str:
    return f"{part / of:9.1%}" if of else f"{'-':>9}"


def table(core: Sources, both: Sources | None) -> float:
    """Prints it. Returns the share of lines that run."""
    shown = both or core
    every, run, ways, taken, run_c, taken_c = 0, 0, 0, 0, 0, 0
    wide = max(map(len, shown), default=0) + 1
    again = f"{'run in C':>9}{'taken':>9}" if both else ""
    print(f"{'':{wide}}{'lines':>7}{'run':>9}{'branches':>10}{'taken':>9}{again}  not run")
    for name, counts in sorted(shown.items()):
        lines, missing, (n, m) = len(counts.lines), counts.missing(), counts.ways()
        row = f"{name:{wide}}{lines:7}{share(lines - len(missing), lines)}{n:10}{share(m, n)}"
        if both:
            own = core[name]
            ran, (n_c, m_c) = len(own.lines) - len(own.missing()), own.ways()
            row += share(ran, lines) + share(m_c, n_c)
            run_c, taken_c = run_c + ran, taken_c + m_c
        print(f"{row}  {ranges(missing)}".rstrip())
        every, run, ways, taken = every + lines, run + lines - len(missing), ways + n, taken + m
    if not every:
        raise SystemExit("nothing was counted")
    last = share(run_c, every) + share(taken_c, ways) if both else ""
    print(f"{'all':{wide}}{every:7}{share(run, every)}{ways:10}{share(taken, ways)}{last}")
    return run / every


def main(least: float, arguments: list[str]) -> int:
    if arguments != ["--again"]:
        compiler = run_the_c_suite()
        if arguments:
            run_the_python_tests(compiler, arguments[0], arguments[1:])
    folders = [WORK / "linux", WORK / "portable"]
    with_python = (WORK / "objects").exists()
    core = counted(*folders)
    both = counted(*folders, WORK / "objects") if with_python else None
    part = table(core, both)
    without_reason = list(unexplained(both)) if both else []
    for place in without_reason:
        print(f"not run, and not explained in {REASONS.name}: {place}")
    if 100 * part < least:
        print(f"{part:.1%} of the lines run, at least {least:g} % are asked for")
    return 1 if without_reason or 100 * part < least else 0


if __name__ == "__main__":
    raise SystemExit(main(float(sys.argv[1]), sys.argv[2:]))
