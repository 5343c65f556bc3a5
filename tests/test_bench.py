"""The benchmarks' report: what it keeps of a run, what it calls met and missed, where it writes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[1]


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "bench" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def curves() -> Iterator[ModuleType]:
    yield loaded("loss_curves")
    del sys.modules["loss_curves"]


@pytest.fixture(scope="module")
def report(curves: ModuleType) -> Iterator[ModuleType]:
    yield loaded("report")
    del sys.modules["report"]


def row(name: str, value: float, **more: Any) -> dict[str, Any]:
    return {
        "table": "One word, ns",
        "row": name,
        "column": "add",
        "unit": "ns",
        "value": value,
        **more,
    }


def claim(measured: float, limit: float = 1.15) -> dict[str, Any]:
    return {"name": "ours / the fastest peer", "limit": limit, "unit": "x", "measured": measured}


def run_of(rows: list[dict[str, Any]], python: str = "CPython 3.11.7") -> dict[str, Any]:
    machine = {
        "processor": "P", "cores": 2, "architecture": "A", "system": "S", "python": python,
        "versions": {"numpy": "2"}, "scale": 1.0,
    }  # fmt: skip
    benchmarks = [{"extra_info": {"rows": [r]}, "stats": {"data": [1.0] * 99}} for r in rows]
    return {"datetime": "2026-01-02T03:04:05", "machine_info": machine, "benchmarks": benchmarks}


def test_keeps_rows_without_raw_times(report: ModuleType) -> None:
    kept = report.keep(run_of([row("ours", 12.345678, best=11.0)]))
    assert "data" not in json.dumps(kept)
    assert kept["date"] == "2026-01-02"
    assert kept["rows"][0]["value"] == 12.35


def test_the_worst_row_decides_a_target(report: ModuleType) -> None:
    rows = [
        row("ours", 30.0),
        row("slow peer", 60.0, ratio=0.5, quotient="ours / this", claim=claim(0.5)),
        row("fast peer", 24.0, ratio=1.25, quotient="ours / this", claim=claim(1.25)),
    ]
    text = report.targets([report.keep(run_of(rows))])
    assert "| ours / the fastest peer | 1.15 | 1.25 (fast peer), **missed** |" in text
    assert "slow peer" not in text


def test_a_target_at_its_limit_is_met(report: ModuleType) -> None:
    text = report.targets([report.keep(run_of([row("peer", 1.0, claim=claim(1.15))]))])
    assert "| 1.15 | 1.15 |" in text


def test_a_target_that_one_version_did_not_measure_says_so(report: ModuleType) -> None:
    results = [
        report.keep(run_of([row("peer", 1.0, claim=claim(1.0))])),
        report.keep(run_of([row("peer", 1.0)], python="CPython 3.13.0")),
    ]
    assert "| 1.00 | not measured |" in report.targets(results)


def test_rows_that_lose_stay_in(report: ModuleType) -> None:
    rows = [row("ours", 30.0), row("peer", 20.0, ratio=1.5, quotient="ours / this")]
    for text in (
        report.short_report([report.keep(run_of(rows))]),
        report.full_report([report.keep(run_of(rows))]),
    ):
        assert "| peer | 20.0 (1.50) |" in text
        assert "in brackets ours / this" in text


def test_only_the_full_report_has_every_table(report: ModuleType) -> None:
    rows = [row("ours", 30.0), {**row("ours", 31.0), "table": "A table of its own"}]
    results = [report.keep(run_of(rows))]
    assert "A table of its own" in report.full_report(results)
    assert "A table of its own" not in report.short_report(results)
    assert "| ours | 30.0 |" in report.short_report(results)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.847, "0.85"), (24.13, "24.1"), (196.4, "196"), (24_049.0, "24,000"), (9_034.0, "9,030")],
)
def test_figures_have_three_digits(report: ModuleType, value: float, text: str) -> None:
    assert report.figure(value) == text


def test_writes_between_the_markers_only(report: ModuleType) -> None:
    text = f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n"
    new = report.replace(text, "new")
    assert new == f"before\n{report.BEGIN}\n\nnew\n\n{report.END}\nafter\n"
    assert report.replace(new, "new") == new
    with pytest.raises(ValueError, match="needs the markers"):
        report.replace("no markers", "new")


def line(name: str, points: list[list[float]]) -> dict[str, Any]:
    return {
        "table": "Loss", "row": name, "column": "flights", "unit": "ms", "target": 0.45,
        "points": points,
    }  # fmt: skip


def test_loss_curves_are_drawn_to_scale(curves: ModuleType) -> None:
    rows = [
        line("ours", [[1, 0.5], [10, 0.4]]),
        line("a & peer", [[10, 0.5], [100, 0.4]]),
        line("slow", [[10, 0.9], [1000, 0.4]]),
    ]
    root = ElementTree.fromstring(curves.svg([row("no curve", 1.0), *rows]))
    lines = root.findall("{*}polyline")
    assert [one[0].text for one in lines] == ["ours", "a & peer", "slow"]
    (ours, peer, slow) = (
        [tuple(map(float, point.split(","))) for point in one.attrib["points"].split()]
        for one in lines
    )
    shift = peer[0][0] - ours[0][0]  # ten times the time: as far right at any time
    assert shift == pytest.approx(peer[1][0] - ours[1][0], abs=0.2)
    assert shift == pytest.approx(ours[1][0] - ours[0][0], abs=0.2)
    assert ours[0][1] == peer[0][1] < ours[1][1] == peer[1][1] == slow[1][1]  # less is lower
    assert slow[0][1] == curves.TOP  # what is above the panel begins at its edge
    assert peer[0][0] < slow[0][0] < slow[1][0]
    with pytest.raises(ValueError, match="no curve"):
        curves.svg([row("ours", 1.0)])


def test_curves_are_no_table_and_make_the_picture(
    report: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole command, on a tree of its own: keeps, writes the files and the picture, checks."""
    for path in ("bench/README.md", "README.md"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(f"{report.BEGIN}\n{report.END}\n")
    run = tmp_path / "run.json"
    run.write_text(json.dumps(run_of([row("ours", 1.0), line("ours", [[1, 0.5], [2, 0.4]])])))
    picture = tmp_path / "curves.svg"
    monkeypatch.setattr(report, "HERE", tmp_path / "bench")
    monkeypatch.setattr(report, "RESULTS", tmp_path / "bench" / "results")
    monkeypatch.setattr(report, "PICTURE", picture)
    monkeypatch.setattr(sys, "argv", ["report.py", str(run)])
    monkeypatch.setattr(report, "ROOT", tmp_path)
    report.main()
    assert "| ours | 1.00 |" in (tmp_path / "bench" / "README.md").read_text()
    assert "Loss" not in (tmp_path / "bench" / "README.md").read_text()
    assert "polyline" in picture.read_text()
    monkeypatch.setattr(sys, "argv", ["report.py", "--check"])
    report.main()
    picture.write_text("drawn by hand")
    with pytest.raises(SystemExit, match=r"curves\.svg does not show"):
        report.main()


def test_the_readme_shows_the_kept_results() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "bench" / "report.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
