"""Nothing of Python's runs when an object of the package goes.

It could go at any moment, in a collection of garbage for one, and a signal's handler runs where
the interpreter comes to Python code next: what it raises there, KeyboardInterrupt for one, is
printed as ignored and lost. So nets, blobs, plans and arrays end in C.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet
from caffe2op.atomics import AtomicArray, AtomicBool, Mutex
from caffe2op.operators import user
from caffe2op.operators.native_function import native_function
from caffe2op.operators.schema import Binding
from caffe2op.workspace.workspaces import Workspace


def a_net() -> core.Net:
    net = core.Net("net")
    net.ConstantFill([], "x", shape=[3], value=1.0)
    net.Sum(["x", "x"], "y")
    return net


def async_net(**more: Any) -> AsyncNet:
    made = AsyncNet(a_net(), **more)
    made.run()
    made.run(timeout=60)
    assert set(made.submit(timeout=60).result()) == {"y"}
    return made


def functions(**more: Any) -> AsyncNet:
    made = AsyncNet.from_functions({"f": lambda: 1, "g": lambda f: f}, [("f", "g")], **more)
    made.run()
    made.submit().result()
    return made


def objects() -> Workspace:
    own = Workspace("own")
    own.create_blob("object").feed({"any": "thing"})
    own.create_blob("array").feed(np.ones(3))
    own.create_blob("shared").share(np.ones(3))
    return own


def plan() -> core.Plan:
    made = core.Plan("plan")
    made.AddStep(core.ExecutionStep("step", a_net()))
    workspace.RunPlan(made)
    return made


def atomics() -> list[Any]:
    return [AtomicArray(np.zeros(3)), AtomicArray(np.zeros(3)).cell(0), AtomicBool(), Mutex()]


def c_function() -> Binding:
    """What a net holds for an operator that is one."""
    kernel = ctypes.CFUNCTYPE(
        ctypes.c_int32,
        ctypes.POINTER(ctypes.c_void_p),
        ctypes.POINTER(ctypes.c_int64),
        ctypes.c_void_p,
    )
    native = native_function(kernel(lambda data, sizes, own: 0))
    assert native is not None
    return user._native_binding(native, [], [])


MAKE: dict[str, Callable[[], Any]] = {
    "AsyncNet": async_net,
    "AsyncNet with threads of its own": lambda: async_net(workers=2),
    "AsyncNet that observes": lambda: async_net(mode="dynamic").enable_profile(),
    "functions": functions,
    "functions with threads of their own": lambda: functions(workers=2),
    "blobs": objects,
    "a plan": plan,
    "atomics": atomics,
    "a C function": c_function,
}


@pytest.fixture(scope="module", autouse=True)
def collector() -> Iterator[None]:
    """It only runs where it is called, looks at nothing that was there before, and calls nobody:
    Hypothesis has a Python function called at each collection."""
    gc.collect()
    gc.freeze()
    gc.disable()
    callbacks, gc.callbacks[:] = gc.callbacks[:], []
    yield
    gc.callbacks[:] = callbacks
    gc.enable()
    gc.unfreeze()


@pytest.mark.parametrize("kind", MAKE)
def test_nothing_of_python_runs(kind: str) -> None:
    MAKE[kind]()  # what is made once for all
    gc.collect()
    calls: list[str] = []

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            calls.append(f"{frame.f_code.co_filename}:{frame.f_lineno} {frame.f_code.co_qualname}")

    made = MAKE[kind]()
    sys.setprofile(note)
    try:
        del made
        gc.collect()
    finally:
        sys.setprofile(None)
    assert not calls
