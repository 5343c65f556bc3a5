"""The compiled part: one cffi extension, abi3 for CPython 3.11+ where that exists.

Everything else about the package is in pyproject.toml.
"""

import sysconfig

from setuptools import setup

# A free-threaded interpreter has no stable ABI, so it gets a wheel of its own.
free_threaded = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))

setup(
    cffi_modules=["csrc/ffi_build.py:ffibuilder"],
    options={} if free_threaded else {"bdist_wheel": {"py_limited_api": "cp311"}},
)
