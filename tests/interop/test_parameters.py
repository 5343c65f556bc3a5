"""SharedParameters: the flat buffer, what goes wrong, and that nothing is lost."""

from __future__ import annotations

import gc
import multiprocessing
import pickle
import subprocess
import sys
from functools import partial

import numpy as np
import pytest

from caffe2op.interop import SharedParameters
from together import together


def values(dtype: type = np.float32) -> dict[str, np.ndarray]:
    return {"weight": np.arange(6, dtype=dtype).reshape(2, 3), "bias": np.array(7, dtype)}


@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_a_mapping_of_copies(dtype: type, processes: bool) -> None:
    given = values(dtype)
    with SharedParameters(given, processes) as store:
        assert list(store) == ["weight", "bias"]
        assert len(store) == 2
        assert store.dtype == dtype
        assert store.shapes == {"weight": (2, 3), "bias": ()}
        for name, array in given.items():
            assert store[name].shape == array.shape
            np.testing.assert_array_equal(store[name].array, array)
        given["weight"][:] = -1
        assert store["weight"].load((1, 2)) == 5


@pytest.mark.parametrize("processes", [False, True])
def test_each_begins_a_cache_line_of_one_buffer(processes: bool) -> None:
    with SharedParameters(values(), processes) as store:
        begins = [store[name].array.ctypes.data for name in store]
        assert all(begin % 64 == 0 for begin in begins)
        assert begins[1] - begins[0] == 64
        store.flat.store(0, 9.0)
        assert store["weight"].load(0) == 9.0
        assert store.flat.array.nbytes == 128


def test_add_is_a_step_of_all() -> None:
    store = SharedParameters(values())
    store.add({"weight": np.ones((2, 3), np.float32), "bias": np.float32(2)}, scale=-0.5)
    np.testing.assert_array_equal(
        store["weight"].array, values()["weight"] - np.float32(0.5), strict=True
    )
    assert store["bias"].load(()) == 6
    store.add({"bias": np.float32(1)})
    assert store["bias"].load(()) == 7


def test_add_takes_arrays_that_are_not_contiguous() -> None:
    store = SharedParameters(values())
    store.add({"weight": np.ones((3, 2), np.float32).T})
    np.testing.assert_array_equal(store["weight"].array, values()["weight"] + 1)


def test_copy_is_its_own_memory() -> None:
    store = SharedParameters(values())
    copied = store.copy()
    store["weight"].store(0, 100.0)
    for name, array in values().items():
        np.testing.assert_array_equal(copied[name], array, strict=True)


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        ({"weigth": np.ones((2, 3), np.float32)}, KeyError, "did you mean 'weight'"),
        ({"weight": np.ones((3, 2), np.float32)}, ValueError, r"shape \(3, 2\)"),
        ({"weight": np.ones((2, 3))}, TypeError, "float64; accepted: float32"),
    ],
)
def test_a_wrong_step_changes_nothing(
    wrong: dict[str, np.ndarray], error: type[Exception], says: str
) -> None:
    store = SharedParameters(values())
    with pytest.raises(error, match=says):
        store.add({"bias": np.float32(1), **wrong})
    for name, array in values().items():
        np.testing.assert_array_equal(store[name].array, array)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({}, ValueError),
        ({"x": np.zeros(0, np.float32)}, ValueError),
        ({"x": np.zeros(2, np.int64)}, TypeError),
        ({"x": np.zeros(2, np.float16)}, TypeError),
        ({"x": np.zeros(2, np.float32), "y": np.zeros(2)}, TypeError),
        ({"x": "text"}, TypeError),
    ],
)
def test_values_that_are_refused(wrong: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error, match="values"):
        SharedParameters(wrong)  # type: ignore[arg-type]


def test_memory_of_one_process_is_not_pickled() -> None:
    with pytest.raises(TypeError, match="processes=True"):
        pickle.dumps(SharedParameters(values()))


def test_the_views_keep_the_memory() -> None:
    view = SharedParameters(values())["weight"]
    gc.collect()
    assert view.load(5) == 5


def _push(store: SharedParameters, times: int) -> None:
    one = {"weight": np.ones((2, 3), np.float32), "bias": np.float32(1)}
    for _ in range(times):
        store.add(one)


def _check(store: SharedParameters, pushes: int) -> None:
    for name, array in values().items():
        np.testing.assert_array_equal(store[name].array, array + np.float32(pushes))


def test_threads_lose_nothing() -> None:
    store = SharedParameters(values())
    together(*[partial(_push, store, 2000)] * 4)
    _check(store, 8000)


def test_processes_lose_nothing() -> None:
    spawn = multiprocessing.get_context("spawn")
    with SharedParameters(values(), processes=True) as store:
        crew = [spawn.Process(target=_push, args=(store, 2000)) for _ in range(2)]
        for process in crew:
            process.start()
        for process in crew:
            process.join(60)
            assert process.exitcode == 0
        _check(store, 4000)


def test_importing_the_package_imports_no_other_library() -> None:
    program = (
        "import sys, caffe2op, caffe2op.interop, caffe2op.workspace, caffe2op.asyncnet\n"
        "print([m for m in ('torch', 'tensorflow', 'jax', 'sklearn', 'numba') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stderr
