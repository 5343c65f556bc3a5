"""What the tests of the user's own operators share."""

from __future__ import annotations

import ctypes
import itertools

import numpy as np
from blobs import feed, fetch, run

from caffe2op import core, workspace
from caffe2op.core import register_operator

KERNEL = "int32_t(*)(void **, const int64_t *, void *)"  # as cffi writes it
CTYPES_KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p
)
LIKE = {"inputs": ["float64"], "outputs": [("float64", 0)]}
names = (f"UserOp{k}" for k in itertools.count())


def registered(function, inputs, outputs, **options):
    name = next(names)
    register_operator(name, function, inputs=inputs, outputs=outputs, **options)
    return name


def check_square(name):
    x = np.linspace(-3, 3, 12).reshape(3, 4)
    feed(x=x)
    net = core.Net("net")
    getattr(net, name)(["x"], ["y"])
    workspace.RunNetOnce(net)
    np.testing.assert_array_equal(fetch("y"), x * x)
    assert fetch("y").shape == (3, 4)


def check_scale(name, factor):
    feed(x=np.arange(4.0))
    run(name, ["x"], ["x"])  # in place
    np.testing.assert_array_equal(fetch("x"), np.arange(4.0) * factor)
