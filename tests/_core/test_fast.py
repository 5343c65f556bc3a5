"""csrc/fast by itself: what the C types refuse, which Python's classes never give them."""

from __future__ import annotations

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op._core import fast
from caffe2op._core.dtypes import to_code as code
from caffe2op.asyncnet import AsyncNet


@pytest.mark.parametrize(
    ("array", "dtype", "error", "words"),
    [
        (np.zeros(3), 99, ValueError, "99 is no code"),
        (np.zeros(3), -1, ValueError, "-1 is no code"),
        ([1.0], code("float64"), TypeError, "bytes-like"),
        (np.zeros(6)[::2], code("float64"), ValueError, "contiguous"),
        (np.zeros(3), code("int8"), ValueError, "not an aligned array of at least one int8"),
        (np.zeros(0), code("float64"), ValueError, "at least one float64"),
        (np.frombuffer(bytearray(9), np.int64, 1, 1), code("int64"), ValueError, "not an aligned"),
    ],
)
def test_an_array_on_wrong_memory(array, dtype, error, words):
    with pytest.raises(error, match=words):
        fast.Array(array, dtype)


def test_arguments_of_the_constructors():
    with pytest.raises(TypeError, match="by position"):
        fast.Array(np.zeros(3), dtype_code=code("float64"))
    with pytest.raises(TypeError):
        fast.Array(np.zeros(3))
    with pytest.raises(TypeError, match="values, scale and threads"):
        fast.Array(np.zeros(3), code("float64"))._add_now(np.zeros(3))


@pytest.mark.parametrize(
    ("size", "dtype", "given"), [(2, "uint64", "2 elements of uint64"), (1, "int64", "1 elem")]
)
def test_a_mutex_on_other_arrays(size, dtype, given):
    owner = fast.Array(np.zeros(size, dtype), code(dtype))
    with pytest.raises(ValueError, match=f"{given}.*accepted: one uint64"):
        fast.Mutex(owner)
    with pytest.raises(TypeError):
        fast.Mutex(np.zeros(1, np.uint64))


def test_the_memory_of_what_was_refused_is_free_again():
    array = np.zeros(3)
    for dtype in (99, code("int8")):
        with pytest.raises(ValueError, match=r"dtype|buffer"):
            fast.Array(array, dtype)
    array.resize(5)  # NumPy would refuse it while somebody has its buffer


def test_arguments_of_a_run():
    workspace.FeedBlob("x", np.zeros(2, np.float32))
    net = core.Net("short")
    net.Copy("x", "y")
    made = AsyncNet(net)
    made.run()
    with pytest.raises(TypeError, match="at most 1 argument, 2 given"):
        made._run(False, True)
    with pytest.raises(TypeError):
        fast.NetRun(0)
    assert made.run()
