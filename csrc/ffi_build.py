"""Builds ``caffe2op._core._native``: the C core, and the C types of the fast path, in one cffi
extension. Lives outside the package, so that no wheel carries it.
"""

import sys
import sysconfig
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PLATFORM = "platform_linux.c" if sys.platform == "linux" else "platform_portable.c"

# Every source of the core, with the one platform file of this system.
SOURCES = [p.name for p in sorted(HERE.glob("*.c")) if not p.name.startswith("platform_")]
SOURCES.append(PLATFORM)

free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

ffibuilder = FFI()
ffibuilder.cdef((HERE / "include" / "c2_abi.h").read_text())
ffibuilder.cdef(
    """
    /* csrc/fast/python_call.h: from now on nets can have Python operators. */
    void c2_python_ready(void);
    int64_t c2_python_entered(void); /* how often the GIL was taken for them; for tests */
    /* Before the interpreter ends, and not with the GIL: no Python operator begins after this,
     * other than on the main thread. Waits, at most so long, for those that are beginning. */
    void c2_python_ends(int64_t patience_ns);
    void c2_python_forked(void); /* in a child */
    extern "Python" void c2_python_hello(void);
    extern "Python" int c2_python_poll(void);
    """
)
ffibuilder.set_source(
    "caffe2op._core._native",
    '#include "c2.h"\n#include "fast/fast.c"\n',
    sources=[str(Path("csrc") / name) for name in SOURCES],
    include_dirs=["csrc/include", "csrc"],
    depends=[str(p.relative_to(ROOT)) for p in sorted(HERE.rglob("*.[ch]"))],
    extra_compile_args=[
        "-std=c11",
        "-O3",
        "-fvisibility=hidden",
        "-Wall",
        "-Wextra",
        "-Wno-unused-parameter",
        "-Wno-cast-function-type",
    ],
    libraries=["pthread", "m", "dl"],
    # 3.11 is the first stable ABI with the buffer protocol and METH_FASTCALL.
    define_macros=[] if free_threaded else [("Py_LIMITED_API", "0x030b0000")],
    py_limited_api=not free_threaded,
)

if __name__ == "__main__":
    ffibuilder.compile(verbose=True)
