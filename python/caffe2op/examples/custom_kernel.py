"""A kernel of one's own as an operator: python -m caffe2op.examples.custom_kernel

The same function, smoothstep (t = clip(x, 0, 1), y = t^2 (3 - 2 t)), as an operator made from

    Numba      a cfunc: Python that Numba compiles
    cffi       a pointer into a shared library, here compiled from the C below
    ctypes     the same library
    SciPy      a LowLevelCallable around any of these
    Python     a Python function on NumPy views: it takes the GIL, the others never do

each in a few lines, and what an element costs, beside NumPy without any operator. Whatever of
these is not installed is left out.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe2op import core, workspace
from caffe2op.examples.command_line import interruptible, positive_int, whole_number

Array = npt.NDArray[np.float32]

# data[k] and sizes[k] are the inputs' and then the outputs'; user is for the kernel's own use.
SIGNATURE = "int32_t smoothstep(void **data, const int64_t *sizes, void *user)"
SOURCE = f"""
#include <stdint.h>
{SIGNATURE} {{
    const float *x = data[0];
    float *y = data[1];
    for (int64_t k = 0; k < sizes[0]; k++) {{
        const float above = x[k] > 0 ? x[k] : 0, t = above < 1 ? above : 1;
        y[k] = t * t * (3 - 2 * t);
    }}
    return 0; /* anything else fails the operator */
}}
"""
MOST_ELEMENTS = 10**8  # 400 MB each
LIKE_ITS_INPUT: dict[str, Any] = {"inputs": ["float32"], "outputs": [("float32", 0)]}


class NotHere(Exception):
    """What a way needs is not installed; says what."""


def smoothstep(x: Array) -> Array:
    """In NumPy."""
    t = np.clip(x, 0, 1)
    return t * t * (3 - 2 * t)


def by_numba(folder: Path) -> None:
    """Register Smoothstep_Numba."""
    try:
        from numba import carray, cfunc, types
    except ImportError:
        raise NotHere("numba") from None
    floats = types.CPointer(types.CPointer(types.float32))

    @cfunc(types.int32(floats, types.CPointer(types.int64), types.voidptr))
    def kernel(data: Any, sizes: Any, user: Any) -> Any:
        x, y = carray(data[0], sizes[0]), carray(data[1], sizes[1])
        for k in range(sizes[0]):
            t = min(max(x[k], np.float32(0)), np.float32(1))
            y[k] = t * t * (np.float32(3) - np.float32(2) * t)
        return 0

    core.register_operator("Smoothstep_Numba", kernel, **LIKE_ITS_INPUT, overwrite=True)


def library(folder: Path) -> str:
    """SOURCE as a shared library; NotHere without a C compiler."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if not compiler:
        raise NotHere("a C compiler")
    made = folder / "smoothstep.so"
    if not made.exists():
        (folder / "smoothstep.c").write_text(SOURCE)
        # Comparisons that need not raise floating point exceptions become vector instructions.
        flags = ["-shared", "-fPIC", "-O3", "-fno-trapping-math"]
        command = [*compiler.split(), *flags, "-o", str(made), str(folder / "smoothstep.c")]
        try:
            subprocess.run(command, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise NotHere(f"a C compiler that works: {error}") from None
    return str(made)


def by_cffi(folder: Path) -> None:
    """Register Smoothstep_cffi."""
    from cffi import FFI

    ffi = FFI()
    ffi.cdef(SIGNATURE + ";")
    kernel = ffi.addressof(ffi.dlopen(library(folder)), "smoothstep")
    core.register_operator("Smoothstep_cffi", kernel, **LIKE_ITS_INPUT, overwrite=True)


def ctypes_function(folder: Path) -> Any:
    """The function with its types, without which ctypes' pointers are refused."""
    kernel = ctypes.CDLL(library(folder)).smoothstep
    kernel.argtypes = [
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_int64),
        ctypes.c_void_p,
    ]
    kernel.restype = ctypes.c_int32
    return kernel


def by_ctypes(folder: Path) -> None:
    """Register Smoothstep_ctypes."""
    kernel = ctypes_function(folder)
    core.register_operator("Smoothstep_ctypes", kernel, **LIKE_ITS_INPUT, overwrite=True)


def by_scipy(folder: Path) -> None:
    """Register Smoothstep_SciPy."""
    try:
        from scipy import LowLevelCallable
    except ImportError:
        raise NotHere("scipy") from None
    kernel = LowLevelCallable(ctypes_function(folder))
    core.register_operator("Smoothstep_SciPy", kernel, **LIKE_ITS_INPUT, overwrite=True)


def by_python(folder: Path) -> None:
    """Register Smoothstep_Python."""

    def kernel(inputs: list[Any], outputs: list[Any]) -> None:
        outputs[0].feed(smoothstep(inputs[0].data))

    core.register_operator("Smoothstep_Python", kernel, **LIKE_ITS_INPUT, overwrite=True)


WAYS: dict[str, Callable[[Path], None]] = {
    "Numba": by_numba,
    "cffi": by_cffi,
    "ctypes": by_ctypes,
    "SciPy": by_scipy,
    "Python": by_python,
}


def prepare(way: str, x: Array, folder: Path) -> Callable[[], object]:
    """Register the operator, run it on x, check what it gives against NumPy; returns what runs it
    again. NotHere when something is missing."""
    WAYS[way](folder)
    name = f"{way} {len(x)}"
    workspace.FeedBlob(f"{name}/x", x)
    net = core.Net(name)
    net.AddExternalInput(f"{name}/x")
    getattr(net, f"Smoothstep_{way}")(f"{name}/x", f"{name}/y")
    workspace.CreateNet(net)
    workspace.RunNet(net)
    np.testing.assert_allclose(workspace.FetchBlob(f"{name}/y"), smoothstep(x), atol=1e-6)
    return lambda: workspace.RunNet(net)


def measure(runs: dict[str, Callable[[], object]], per: int, rounds: int) -> dict[str, float]:
    """Median ns per element of each, taken in turn."""
    times: dict[str, list[float]] = {label: [] for label in runs}
    repeats = max(1, 200_000 // per)
    for _ in range(rounds):
        for label, run in runs.items():
            began = time.perf_counter()
            for _ in range(repeats):
                run()
            times[label].append((time.perf_counter() - began) / (repeats * per))
    return {label: 1e9 * statistics.median(taken) for label, taken in times.items()}


@interruptible
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example with the arguments of the command line. Returns the exit status."""
    p = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.custom_kernel",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument(
        "--rounds",
        type=positive_int,
        default=31,
        help="how often each is timed, in turn (default: %(default)s)",
    )
    p.add_argument(
        "--sizes",
        type=whole_number(1, MOST_ELEMENTS),
        nargs="+",
        default=[1000, 1_000_000],
        metavar="N",
        help="elements of the arrays (default: 1000 1000000)",
    )
    args = p.parse_args(argv)
    figures: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for size in args.sizes:
            x = np.random.default_rng(0).uniform(-1, 2, size).astype(np.float32)
            runs: dict[str, Callable[[], object]] = {"NumPy alone": partial(smoothstep, x)}
            for way in WAYS:
                try:
                    runs[way] = prepare(way, x, Path(folder))
                except NotHere as missing:
                    if size == args.sizes[0]:
                        print(f"{way}: left out, it needs {missing}")
            figures[size] = measure(runs, size, args.rounds)
    print(f"{'ns per element':<16}" + "".join(f"{size:>12,}" for size in args.sizes))
    for label in figures[args.sizes[0]]:
        print(f"{label:<16}" + "".join(f"{figures[n][label]:>12.3f}" for n in args.sizes))
    return 0


if __name__ == "__main__":
    sys.exit(main())
