"""Keeps a run of the benchmarks, and writes the tables of the README files from what is kept.

    python -m pytest bench --benchmark-json=run.json
    python bench/report.py run.json     # keeps it in bench/results/, writes the tables
    python bench/report.py              # writes the tables from bench/results/ again
    python bench/report.py --check      # fails where the files differ from that

One result is kept per Python version; a new run of that version replaces it. The README gets the
targets and some tables of the Python that measured most, bench/README.md every table of every
version; curves are drawn (loss_curves.py). Nothing is chosen: every row of the run is there, those
that lose too.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import loss_curves

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
PICTURE = ROOT / "docs" / "pictures" / "linear-loss.svg"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
Row = dict[str, Any]  # what paired.Bench.row() records
Result = dict[str, Any]  # date, machine, rows
IN_README = (  # tables there too
    "One word, ns", "Locks, ns per pass", "Scatter-add of int64", "Empty operators",
    "Linear: time",
)  # fmt: skip


def figure(value: float) -> str:
    """Three digits, thousands with commas: 0.85, 24.1, 196, 24,000."""
    if value >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    digits = 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{digits}f}"


def keep(run: dict[str, Any]) -> Result:
    """The run without its raw times: where, when, and the rows."""
    rows = [row for b in run["benchmarks"] for row in b["extra_info"]["rows"]]
    for row in rows:
        for key in ("value", "best", "reference", "ratio"):
            if key in row:
                row[key] = float(f"{row[key]:.4g}")
        if "claim" in row:
            row["claim"]["measured"] = float(f"{row['claim']['measured']:.4g}")
    return {"date": run["datetime"][:10], "machine": run["machine_info"], "rows": rows}


def file_name(result: Result) -> str:
    implementation, version = result["machine"]["python"].lower().split()
    return f"{implementation}-{'.'.join(version.split('.')[:2])}.json"


def markdown(header: list[str], body: list[list[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (header, rule, *body))


def unique(items: Any) -> list[Any]:
    return list(dict.fromkeys(items))


def by_claim(rows: list[Row]) -> dict[str, list[Row]]:
    """The rows that decide each target."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        if "claim" in row:
            found.setdefault(row["claim"]["name"], []).append(row)
    return found


def verdict(rows: list[Row]) -> str:
    """What the worst of a target's rows measured, which of them it was, and whether that missed."""
    if not rows:
        return "not measured"
    worst = max(rows, key=lambda row: row["claim"]["measured"])
    claim = worst["claim"]
    which = [worst[key] for key in ("row", "column") if len(unique(r[key] for r in rows)) > 1]
    missed = "" if claim["measured"] <= claim["limit"] else ", **missed**"
    return figure(claim["measured"]) + (f" ({', '.join(which)})" if which else "") + missed


def targets(results: list[Result]) -> str:
    """Every target, and what each Python version measured for it."""
    decided = [by_claim(result["rows"]) for result in results]
    limits = {name: rows[0]["claim"] for found in decided for name, rows in found.items()}
    body = []
    for name, claim in limits.items():
        limit = f"{claim['limit']:g}" + ("" if claim["unit"] == "x" else f" {claim['unit']}")
        body.append([name, limit, *(verdict(found.get(name, [])) for found in decided)])
    return markdown(["target", "at most", *(r["machine"]["python"] for r in results)], body)


def cell(row: Row | None) -> str:
    if row is None:
        return ""
    ratio = f" ({row['ratio']:.2f})" if "ratio" in row else ""
    return figure(row["value"]) + ratio


def table(title: str, rows: list[Row]) -> str:
    found = {(row["row"], row["column"]): row for row in rows}
    columns = unique(row["column"] for row in rows)
    quotients = unique(row["quotient"] for row in rows if "quotient" in row)
    header = f"**{title}**" + (f"; in brackets {' or '.join(quotients)}" if quotients else "")
    body = [
        [name, *(cell(found.get((name, column))) for column in columns)]
        for name in unique(row["row"] for row in rows)
    ]
    return f"{header}\n\n" + markdown(["", *columns], body)


def where(result: Result) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cores']} cores of {machine['processor']} ({machine['architecture']}, "
        f"{machine['system']}), {machine['python']}, {versions}; {result['date']}."
    )


def tables(result: Result, only: tuple[str, ...] = ("",)) -> list[str]:
    """The tables whose titles begin with one of these."""
    rows = [row for row in result["rows"] if "points" not in row]  # those are drawn
    titles = [title for title in unique(row["table"] for row in rows) if title.startswith(only)]
    return [table(title, [row for row in rows if row["table"] == title]) for title in titles]


def short_report(results: list[Result]) -> str:
    """For README.md: the targets, and a few tables of the Python that measured most."""
    fullest = max(results, key=lambda result: len(result["rows"]))
    return "\n\n".join(
        [
            f"On {where(fullest)}",
            "A figure is a median. A quotient is the median over rounds in which the two ran in "
            "turn, which holds where the machine drifts; below 1, this package is faster. More "
            "tables, and how they are made: [bench/README.md](bench/README.md).",
            targets(results),
            *tables(fullest, IN_README),
        ]
    )


def full_report(results: list[Result]) -> str:
    """For bench/README.md: everything."""
    parts = [targets(results)]
    for result in results:
        parts += [f"## {result['machine']['python']}", f"On {where(result)}", *tables(result)]
    return "\n\n".join(parts)


def replace(text: str, generated: str) -> str:
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        raise ValueError(f"the file needs the markers {BEGIN} and {END}, each once")
    head, rest = text.split(BEGIN)
    _, tail = rest.split(END)
    return f"{head}{BEGIN}\n\n{generated}\n\n{END}{tail}"


def version(result: Result) -> tuple[int, ...]:
    return tuple(int(part) for part in result["machine"]["python"].split()[1].split(".")[:2])


def load(folder: Path) -> list[Result]:
    """The kept results, oldest Python first."""
    return sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=version)


def with_curves(results: list[Result]) -> list[Row]:
    """The curves of the newest Python that has any."""
    found = [loss_curves.drawn(result["rows"]) for result in results]
    return next((rows for rows in reversed(found) if rows), [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", nargs="?", type=Path, help="a JSON file of pytest-benchmark")
    parser.add_argument("--check", action="store_true", help="change nothing; fail if it would")
    options = parser.parse_args()
    if options.run:
        result = keep(json.loads(options.run.read_text()))
        if result["machine"]["scale"] < 1:
            sys.exit(f"{options.run} is of a quick run (--scale), which says nothing of speed")
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / file_name(result)
        path.write_text(json.dumps(result, indent=1) + "\n")
        print(f"kept {path.relative_to(ROOT)}")
    results = load(RESULTS)
    if not results:
        sys.exit(f"{RESULTS} holds no result yet")
    wanted = [
        (path, replace(path.read_text(), text))
        for path, text in (
            (ROOT / "README.md", short_report(results)),
            (HERE / "README.md", full_report(results)),
        )
    ]
    if curves := with_curves(results):
        wanted.append((PICTURE, loss_curves.svg(curves)))
    for path, after in wanted:
        before = path.read_text() if path.exists() else ""
        if before == after:
            continue
        if options.check:
            sys.exit(f"{path} does not show bench/results/: run `python bench/report.py`")
        path.write_text(after)
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
