"""Which lines and branches of csrc its tests reach: `make -C csrc coverage`.

The C suite, on both seams to the system, and the Python tests run on code that gcc has made count;
gcov tells the counts, and here they are put together. A line of an inline function counts as run
when any file that includes it ran it. Written are a line for each source, and the lines that
nothing runs; the exit status is 1 when the share of lines is below what is asked for.

    coverage.py LEAST PYTHON [pytest arguments]     LEAST in percent; Python as a command
    coverage.py LEAST                               only put together what has been counted
"""

import collections
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

CSRC = Path(__file__).resolve().parents[1]
ROOT = CSRC.parent
WORK = CSRC / "build-coverage"

# The last -O wins, and the extension's own comes late; so a compiler of our own says it last.
# Counters are shared by threads, so that they have to be atomic themselves.
COMPILER = '#!/bin/sh\nexec gcc -DTIME_BOX=250 "$@" -O0 -g --coverage -fprofile-update=atomic\n'

Lines = dict[str, dict[int, int]]
Branches = dict[tuple[str, int], list[int]]


def run_the_tests(python: str, arguments: list[str]) -> None:
    """Build and run everything that counts, in folders below WORK."""
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir()
    compiler = WORK / "gcc"
    compiler.write_text(COMPILER)
    compiler.chmod(0o755)
    for platform in ("linux", "portable"):
        settings = [f"PLATFORM={platform}", f"BUILD={WORK / platform}", f"CC={compiler}"]
        subprocess.run(["make", "-s", "-C", str(CSRC), "check", *settings], check=True)
    package = WORK / "python"
    shutil.copytree(ROOT / "python", package, ignore=shutil.ignore_patterns("*.so", "*.pyc"))
    build = [python, "setup.py", "-q", "build_ext", f"--build-lib={package}"]
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    environment = clean | {"CC": str(compiler), "LDSHARED": f"{compiler} -shared"}
    subprocess.run([*build, f"--build-temp={WORK}/objects"], cwd=ROOT, check=True, env=environment)
    test = [python, "-m", "pytest", *arguments]
    subprocess.run(test, cwd=ROOT, check=True, env=clean | {"PYTHONPATH": str(package)})


def count(lines: Lines, branches: Branches) -> None:
    """Add up what every .gcda file below WORK says."""
    for counted in WORK.rglob("*.gcda"):
        gcov = ["gcov", "--json-format", "--stdout", "--branch-probabilities", counted]
        text = subprocess.run(gcov, check=True, capture_output=True, cwd=WORK).stdout
        for document in map(json.loads, text.splitlines()):
            for file in document["files"]:
                path = Path(document["current_working_directory"], file["file"]).resolve()
                if CSRC not in path.parents or "tests" in path.parts or WORK in path.parents:
                    continue
                name = str(path.relative_to(CSRC))
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[name][number] = lines[name].get(number, 0) + line["count"]
                    taken = [branch["count"] for branch in line["branches"]]
                    before = branches.get((name, number), [])
                    if len(before) == len(taken):
                        taken = [a + b for a, b in zip(before, taken, strict=True)]
                    elif sum(map(bool, before)) > sum(map(bool, taken)):
                        taken = before  # the same macro made other code elsewhere
                    if taken:
                        branches[name, number] = taken


def ranges(numbers: list[int]) -> str:
    """ "3, 7-9" """
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in spans)


def main(least: float) -> int:
    lines: Lines = collections.defaultdict(dict)
    branches: Branches = {}
    count(lines, branches)
    every, run, ways, taken = 0, 0, 0, 0
    print(f"{'':28}{'lines':>7}{'run':>8}{'branches':>10}{'taken':>8}  not run")
    for name in sorted(lines):
        missing = sorted(n for n, times in lines[name].items() if not times)
        own = [way for (file, _), found in branches.items() if file == name for way in found]
        all_lines, all_ways = len(lines[name]), max(len(own), 1)
        print(
            f"{name:28}{all_lines:7}{1 - len(missing) / all_lines:8.1%}{len(own):10}"
            f"{sum(map(bool, own)) / all_ways:8.1%}  {ranges(missing)}".rstrip()
        )
        every, run = every + all_lines, run + all_lines - len(missing)
        ways, taken = ways + len(own), taken + sum(map(bool, own))
    if not every:
        raise SystemExit("nothing was counted: give a Python that has the test requirements")
    share = run / every
    print(f"{'all':28}{every:7}{share:8.1%}{ways:10}{taken / max(ways, 1):8.1%}")
    return 0 if 100 * share >= least else 1


if __name__ == "__main__":
    if len(sys.argv) > 2:
        run_the_tests(sys.argv[2], sys.argv[3:])
    raise SystemExit(main(float(sys.argv[1])))
