"""native_function.py: C functions from cffi, ctypes, Numba and scipy, and what is refused."""

from __future__ import annotations

import ctypes

import cffi
import numpy as np
import pytest
from user_operators import CTYPES_KERNEL, KERNEL, LIKE, check_scale, check_square, registered

# ---- C functions, from wherever they come -----------------------------------------------------


def test_cffi(by_cffi):
    check_square(registered(by_cffi("square"), **LIKE))


def test_cffi_callback():
    ffi = cffi.FFI()

    @ffi.callback(KERNEL)
    def square(data, sizes, user):
        x, y = (np.frombuffer(ffi.buffer(ffi.cast("double *", p), 8 * sizes[0])) for p in data[0:2])
        y[:] = x * x
        return 0

    check_square(registered(square, **LIKE))


def test_ctypes(by_ctypes):
    check_square(registered(by_ctypes("square"), **LIKE))


def test_ctypes_callback():
    @CTYPES_KERNEL
    def square(data, sizes, user):
        n = sizes[0]
        x, y = (np.ctypeslib.as_array((ctypes.c_double * n).from_address(data[k])) for k in (0, 1))
        y[:] = x * x
        return 0

    check_square(registered(square, **LIKE))


def test_numba():
    numba = pytest.importorskip("numba")
    types = numba.types

    @numba.cfunc(
        types.int32(types.CPointer(types.voidptr), types.CPointer(types.int64), types.voidptr)
    )
    def square(data, sizes, user):
        x = numba.carray(_as_doubles(data[0]), sizes[0])
        y = numba.carray(_as_doubles(data[1]), sizes[1])
        for k in range(sizes[0]):
            y[k] = x[k] * x[k]
        return 0

    check_square(registered(square, **LIKE))


try:
    import numba as _numba
    from numba.core import cgutils as _cgutils
except ImportError:
    pass
else:

    @_numba.extending.intrinsic
    def _as_doubles(typing, pointer):
        """A void pointer as a double pointer."""

        def generate(context, builder, signature, args):
            return builder.bitcast(args[0], _cgutils.ir.DoubleType().as_pointer())

        return _numba.types.CPointer(_numba.types.float64)(_numba.types.voidptr), generate


def test_numba_with_another_signature():
    numba = pytest.importorskip("numba")

    @numba.cfunc("float64(float64)")
    def half(x):
        return x / 2

    with pytest.raises(TypeError, match=r"function: got .*from \(c_double\) to c_double; accepted"):
        registered(half, **LIKE)


@pytest.mark.parametrize("source", ["cffi", "ctypes"])
def test_scipy(source, by_cffi, by_ctypes):
    scipy = pytest.importorskip("scipy")
    get = by_cffi if source == "cffi" else by_ctypes
    check_square(registered(scipy.LowLevelCallable(get("square")), **LIKE))


def test_scipy_user_data(by_ctypes):
    scipy = pytest.importorskip("scipy")
    factor = ctypes.c_double(2.5)
    pointer = ctypes.cast(ctypes.pointer(factor), ctypes.c_void_p)
    low_level = scipy.LowLevelCallable(by_ctypes("scale"), pointer)
    check_scale(registered(low_level, **LIKE), 2.5)
    with pytest.raises(TypeError, match="user_data is given twice"):
        registered(low_level, **LIKE, user_data=pointer)


def capsule(function, signature):
    """A PyCapsule as C extensions make them, and as scipy's LowLevelCallable takes them."""
    new = ctypes.pythonapi.PyCapsule_New
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    new.restype = ctypes.py_object
    return new(ctypes.cast(function, ctypes.c_void_p), signature, None)


def test_capsule(by_ctypes):
    name = b"int32_t (void **, const int64_t *, void *)"  # borrowed by the capsule
    check_square(registered(capsule(by_ctypes("square"), name), **LIKE))
    other = b"double (double)"
    with pytest.raises(TypeError, match=r"signature 'double \(double\)'; accepted"):
        registered(capsule(by_ctypes("square"), other), **LIKE)


def test_user_data(by_cffi):
    ffi = cffi.FFI()
    check_scale(registered(by_cffi("scale"), **LIKE, user_data=ffi.new("double *", 1.5)), 1.5)
    check_scale(
        registered(by_cffi("scale"), **LIKE, user_data=ctypes.pointer(ctypes.c_double(-2))), -2
    )


def test_functions_of_other_kinds(by_cffi, by_ctypes, library):
    ffi = cffi.FFI()
    undeclared = ctypes.CDLL(library).square
    gil = ctypes.PYFUNCTYPE(ctypes.c_int32, *CTYPES_KERNEL._argtypes_)(lambda *args: 0)
    unsigned = ctypes.CFUNCTYPE(ctypes.c_uint32, *CTYPES_KERNEL._argtypes_)(lambda *args: 0)
    for function, words in [
        (5, "got 5; accepted: a Python function"),
        ("square", "got 'square'"),
        (by_cffi("two"), "of type int32_t"),
        (by_cffi("real"), "of type double"),
        (ffi.new("int *"), r"of type int \*"),
        (ffi.cast("int32_t(*)(void **, const int64_t *, void *)", 0), "a null pointer"),
        (undeclared, "argtypes and restype are not set"),
        (ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: 0), r"from \(\) to c_int"),
        (unsigned, "to c_uint"),
        (CTYPES_KERNEL(), "a null pointer"),
        (gil, "with the GIL"),
    ]:
        with pytest.raises(TypeError, match=words) as caught:
            registered(function, **LIKE)
        assert "function" in str(caught.value)


def test_a_function_of_a_cffi_library_must_be_its_pointer():
    from caffe2op._core import lib

    with pytest.raises(TypeError, match=r"its pointer, which is ffi.addressof\(lib, 'c2_idle'\)"):
        registered(lib.c2_idle, **LIKE)


def test_user_data_of_other_kinds(by_cffi):
    for data in (5, "text", np.zeros(2), cffi.FFI().cast("int", 4)):
        with pytest.raises(TypeError, match="user_data: got"):
            registered(by_cffi("square"), **LIKE, user_data=data)
    with pytest.raises(TypeError, match="user_data is for a C function"):
        registered(print, [], [], user_data=cffi.FFI().new("int *"))
