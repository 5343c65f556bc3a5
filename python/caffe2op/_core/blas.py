"""The matrix products of FC and MatMul: found in a library that a wheel carries, and handed to C
as function pointers (csrc/gemm.h), so that a net multiplies without the GIL.

Two places are looked at, when the first net that multiplies is built:

1. the package scipy-openblas64, the extra "nets". It is OpenBLAS as NumPy's and SciPy's wheels
   have it, but a copy of our own: that it works with one thread concerns nobody else. This is why
   it comes first.
2. NumPy's own OpenBLAS, which its wheels keep in numpy.libs. Nothing has to be installed for it,
   but its number of threads is one for the whole process: from then on `numpy.dot` has one too.

One thread, because the workers of a net are the parallelism: with more, OpenBLAS lets one product
at a time use them, and two workers would wait for each other.

SciPy's cython_blas pointers were the third choice. They are documented and work with any BLAS, but
belong to SciPy's copy, whose threads they cannot set, and have 32-bit sizes.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Iterator
from pathlib import Path

from . import locks
from ._native import ffi, lib

INSTALL = "pip install 'caffe2op[nets]'"

# How the wheels name CBLAS with 64-bit sizes: "scipy_cblas_sgemm64_"; before NumPy 2, without
# the "scipy_".
_PREFIXES = ("scipy_", "")

_loaded: list[ctypes.CDLL] = []  # one, once there is one; it is never unloaded
_lock = locks.lock()


def load() -> None:
    """Give C its matrix products, once; ImportError where no BLAS is found. Any thread."""
    if _loaded:
        return
    with _lock:
        if _loaded:
            return
        for path in _libraries():
            library = _take(path)
            if library is not None:
                _loaded.append(library)
                return
    raise ImportError(
        "FC and MatMul need a BLAS, and there is none: neither the package scipy-openblas64 nor "
        f"an OpenBLAS inside NumPy's wheel was found. {INSTALL}"
    )


def path() -> str:
    """The file of the library that is used; "" before `load`."""
    return _loaded[0]._name if _loaded else ""


def _libraries() -> Iterator[Path]:
    own = importlib.util.find_spec("scipy_openblas64")
    for folder in (own.submodule_search_locations or ()) if own else ():
        yield from sorted(Path(folder, "lib").glob("libscipy_openblas64_.*"))
    numpy = importlib.util.find_spec("numpy")
    for folder in (numpy.submodule_search_locations or ()) if numpy else ():
        for place in (Path(folder).parent / "numpy.libs", Path(folder) / ".dylibs"):
            yield from sorted(place.glob("lib*openblas64_*"))


def _take(path: Path) -> ctypes.CDLL | None:
    """The library, its functions registered; None where it cannot be loaded or lacks them."""
    try:
        library = ctypes.CDLL(str(path))
    except OSError:
        return None
    for prefix in _PREFIXES:
        try:
            single, double = (library[f"{prefix}cblas_{t}gemm64_"] for t in "sd")
            threads = library[f"{prefix}openblas_set_num_threads64_"]
        except AttributeError:
            continue
        threads.argtypes, threads.restype = [ctypes.c_int], None
        threads(1)
        lib.c2_set_gemm(
            ffi.cast("c2_sgemm", ctypes.cast(single, ctypes.c_void_p).value),
            ffi.cast("c2_dgemm", ctypes.cast(double, ctypes.c_void_p).value),
        )
        return library
    return None
