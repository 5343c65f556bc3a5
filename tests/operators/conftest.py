"""A shared library of C functions, as a user would bring one: by cffi and by ctypes."""

from __future__ import annotations

import ctypes
import subprocess
import sysconfig

import cffi
import pytest
from user_operators import CTYPES_KERNEL

SOURCE = """
    #include <stdint.h>
    #include <string.h>
    static int32_t bits(float x) {
        int32_t b;
        memcpy(&b, &x, 4);
        return b;
    }
    int32_t square(void **data, const int64_t *sizes, void *user) {
        const double *x = data[0];
        double *y = data[1];
        for (int64_t k = 0; k < sizes[0]; k++) y[k] = x[k] * x[k];
        return 0;
    }
    int32_t scale(void **data, const int64_t *sizes, void *user) {
        for (int64_t k = 0; k < sizes[1]; k++)
            ((double *)data[1])[k] = ((double *)data[0])[k] * *(const double *)user;
        return 0;
    }
    int32_t sizes_of(void **data, const int64_t *sizes, void *user) {
        for (int64_t k = 0; k < sizes[2]; k++) ((int64_t *)data[2])[k] = sizes[k];
        return user != 0;
    }
    int32_t count(void **data, const int64_t *sizes, void *user) {
        __atomic_fetch_add((int64_t *)data[0], 1, __ATOMIC_RELAXED);
        return 0;
    }
    int32_t add_ones(void **data, const int64_t *sizes, void *user) {
        for (int64_t k = 0; k < sizes[0]; k++) {
            _Atomic float *x = (_Atomic float *)data[0] + k;
            float seen = *x;
            while (!__atomic_compare_exchange_n((int32_t *)x, (int32_t *)&seen,
                                                bits(seen + 1), 0, 0, 0)) {}
        }
        return 0;
    }
    int32_t fail(void **data, const int64_t *sizes, void *user) { return 7; }
    int32_t two(void **data, const int64_t *sizes) { return 0; }
    double real(void **data, const int64_t *sizes, void *user) { return 0; }
"""


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """The path of a shared library with the functions of SOURCE."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "user.c").write_text(SOURCE)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    path = folder / "user.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, folder / "user.c"], check=True)
    return str(path)


@pytest.fixture(scope="session")
def by_cffi(library):
    """A function that gives a cffi pointer of a function of the library."""
    ffi = cffi.FFI()
    ffi.cdef(
        "int32_t square(void **, const int64_t *, void *);"
        "int32_t scale(void **, const int64_t *, void *);"
        "int32_t sizes_of(void **, const int64_t *, void *);"
        "int32_t count(void **, const int64_t *, void *);"
        "int32_t add_ones(void **, const int64_t *, void *);"
        "int32_t fail(void **, const int64_t *, void *);"
        "int32_t two(void **, const int64_t *);"
        "double real(void **, const int64_t *, void *);"
    )
    lib = ffi.dlopen(library)
    return lambda name: ffi.addressof(lib, name)


@pytest.fixture(scope="session")
def by_ctypes(library):
    """A function that gives a ctypes pointer of a function of the library."""
    lib = ctypes.CDLL(library)

    def get(name):
        function = getattr(lib, name)
        function.argtypes, function.restype = CTYPES_KERNEL._argtypes_, ctypes.c_int32
        return function

    return get
