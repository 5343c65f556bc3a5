"""What AtomicArray takes as memory, what it refuses, and how long the memory lives."""

import array
import ctypes
import mmap
from collections.abc import Iterator
from multiprocessing import shared_memory
from typing import Any

import numpy as np
import pytest
from twin import DTYPES

from caffe2op.atomics import AtomicArray, AtomicBool, Mutex


@pytest.fixture
def block() -> Iterator[shared_memory.SharedMemory]:
    memory = shared_memory.SharedMemory(create=True, size=64)
    yield memory
    memory.close()
    memory.unlink()


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_from_an_array_and_from_bytes(dtype: str) -> None:
    ones = np.ones((2, 2), dtype)
    assert AtomicArray(ones).dtype == AtomicArray(ones, dtype).dtype == np.dtype(dtype)
    raw = bytearray(ones.tobytes())
    a = AtomicArray(raw, dtype)
    assert a.shape == (4,)
    a.store(3, 0)
    assert raw[-1 - (ones.itemsize - 1) :] == bytes(ones.itemsize)


@pytest.mark.parametrize(
    ("make", "dtype", "wanted"),
    [
        (lambda: bytearray(8), None, "uint8"),
        (lambda: memoryview(bytearray(8)), "int32", "int32"),
        (lambda: memoryview(bytearray(8)).cast("h"), None, "int16"),
        (lambda: memoryview(bytearray(8)).cast("B", (2, 4)), None, "uint8"),
        (lambda: array.array("q", [1, 2]), None, "int64"),
        (lambda: array.array("d", [1, 2]), "float64", "float64"),
        (lambda: (ctypes.c_int32 * 3)(), None, "int32"),
        (lambda: (ctypes.c_ubyte * 8)(), "int64", "int64"),
        (lambda: mmap.mmap(-1, 64), "float32", "float32"),
        (lambda: np.zeros(2, np.longlong), None, "int64"),
        (lambda: np.zeros((2, 1, 3), np.float32), np.float32, "float32"),
        (lambda: np.zeros((4, 4))[1:2], None, "float64"),
    ],
)
def test_buffers_that_are_taken(make: Any, dtype: Any, wanted: str) -> None:
    buffer = make()
    a = AtomicArray(buffer, dtype)
    assert a.dtype == np.dtype(wanted)
    a.store(-1, 1)
    assert np.frombuffer(a.array, wanted)[-1] == 1
    assert np.shares_memory(a.array, np.asarray(buffer))


def read_only() -> np.ndarray:
    frozen = np.zeros(3)
    frozen.flags.writeable = False
    return frozen


def released() -> memoryview:
    view = memoryview(bytearray(8))
    view.release()
    return view


def closed() -> mmap.mmap:
    memory = mmap.mmap(-1, 64)
    memory.close()
    return memory


class Structure(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int), ("b", ctypes.c_double))


@pytest.mark.parametrize(
    ("make", "dtype", "error", "message"),
    [
        (read_only, None, ValueError, "read-only"),
        (lambda: b"12345678", None, ValueError, "read-only"),
        (lambda: memoryview(b"12345678"), "int64", ValueError, "read-only"),
        (released, None, ValueError, "gone"),
        (closed, None, ValueError, "gone"),
        (lambda: bytearray(17)[1:], "int64", ValueError, None),
        (lambda: memoryview(bytearray(17))[1:], "int64", ValueError, "misaligned"),
        (lambda: np.zeros(17, np.uint8)[1:].view(np.int64), None, ValueError, "misaligned"),
        (lambda: np.zeros(8)[::2], None, ValueError, "not C-contiguous"),
        (lambda: np.zeros(8)[::-1], None, ValueError, "not C-contiguous"),
        (lambda: np.zeros((3, 4)).T, None, ValueError, "not C-contiguous"),
        (lambda: np.broadcast_to(np.zeros(1), (3,)).copy()[::2], None, ValueError, "contiguous"),
        (lambda: memoryview(bytearray(8))[::2], None, ValueError, "not C-contiguous"),
        (lambda: np.zeros(3, ">i4"), None, TypeError, "byte-swapped"),
        (lambda: np.zeros(3, object), None, TypeError, "object"),
        (lambda: np.zeros(3, complex), None, TypeError, "complex128"),
        (lambda: np.zeros(3, np.float16), None, TypeError, "float16"),
        (lambda: np.zeros(3, np.longdouble), None, TypeError, "float128|longdouble"),
        (lambda: np.zeros(3, [("a", "i4")]), None, TypeError, "'a'"),
        (lambda: np.zeros(3, "M8[s]"), None, TypeError, "datetime64"),
        (lambda: np.zeros(3, "S4"), None, TypeError, "S4"),
        (lambda: np.ma.zeros(3), None, TypeError, "mask"),
        (lambda: np.zeros(0), None, ValueError, "empty"),
        (lambda: np.zeros((2, 0)), None, ValueError, "empty"),
        (lambda: bytearray(), None, ValueError, "empty"),
        (lambda: bytearray(9), "int64", ValueError, "9 bytes are not a whole number of int64"),
        (lambda: np.zeros(3, np.int64), "int32", TypeError, "int64, but dtype says int32"),
        (lambda: np.zeros(8, np.uint8), "int64", TypeError, "uint8, but dtype says int64"),
        (lambda: array.array("f", [1]), "int32", TypeError, "float32, but dtype says int32"),
        (lambda: Structure(), None, TypeError, "not accepted"),
        (lambda: (ctypes.c_char * 3)(), None, TypeError, "not accepted"),
        (lambda: [1, 2, 3], None, TypeError, "a list has no buffer"),
        (lambda: None, None, TypeError, "a NoneType has no buffer"),
        (lambda: 3, None, TypeError, "an? int has no buffer"),
    ],
)
def test_buffers_that_are_refused(
    make: Any, dtype: Any, error: type[Exception], message: str | None
) -> None:
    buffer = make()
    if message is None:  # a copy: aligned again
        AtomicArray(buffer, dtype)
        return
    with pytest.raises(error, match=f"^buffer: .*({message})"):
        AtomicArray(buffer, dtype)


@pytest.mark.parametrize("dtype", ["float16", "complex64", object, ">i4", "no such", "S3"])
def test_dtypes_that_are_refused(dtype: Any) -> None:
    with pytest.raises(TypeError, match=r"^dtype: .* accepted: bool, int8"):
        AtomicArray(bytearray(16), dtype)


def test_subclasses_of_ndarray_are_seen_plain() -> None:
    matrix = np.zeros((2, 2)).view(type("Odd", (np.ndarray,), {}))
    assert type(AtomicArray(matrix).array) is np.ndarray


def test_memory_cannot_be_resized_while_it_is_seen() -> None:
    raw = bytearray(8)
    numbers = array.array("i", [1, 2])
    mapped = mmap.mmap(-1, 64)
    views = [AtomicArray(raw), AtomicArray(numbers), AtomicArray(mapped)]
    for change in (lambda: raw.append(1), lambda: numbers.append(1), mapped.close):
        with pytest.raises(BufferError):
            change()
    del views
    raw.append(1)
    numbers.append(1)
    mapped.close()


@pytest.mark.parametrize(
    "see",
    [
        AtomicArray,
        lambda memory: AtomicArray(memory[1:3]),
        lambda memory: AtomicArray(memory.reshape(2, 2)),
        lambda memory: AtomicArray(memoryview(memory)),
        lambda memory: AtomicArray(memory).cell(3),
        lambda memory: Mutex(memory[:1]),
        lambda memory: AtomicBool(memory[:1].view(np.bool_)[:1]),
    ],
)
@pytest.mark.parametrize("refcheck", [True, False])
def test_an_array_cannot_be_resized_while_it_is_seen(see: Any, refcheck: bool) -> None:
    memory = np.zeros(4)
    view = see(memory)
    # refcheck=False would free the memory under any view that is only a view.
    with pytest.raises(ValueError, match="resize"):
        memory.resize(1000, refcheck=refcheck)
    assert memory.shape == (4,)
    del view
    memory.resize(1000, refcheck=False)


def test_memory_lives_as_long_as_its_view() -> None:
    a = AtomicArray(np.full(100_000, 7))
    filler = [np.zeros(100_000) for _ in range(3)]
    assert a.load(99_999) == 7
    assert len(filler) == 3


@pytest.mark.thread_unsafe  # it closes its block
def test_a_released_view_of_released_memory(block: shared_memory.SharedMemory) -> None:
    a = AtomicArray(block.buf, np.int64)
    assert a.shape == (8,)
    a.fetch_add(0, 5)
    with pytest.raises(BufferError):
        block.close()
    del a
    block.close()


def test_two_views_share_one_memory(block: shared_memory.SharedMemory) -> None:
    a, b = AtomicArray(block.buf, np.int32), AtomicArray(block.buf, np.int32)
    a.store(1, 9)
    assert b.load(1) == 9
    del a, b
