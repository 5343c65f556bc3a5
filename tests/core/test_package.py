"""The package: light to import, its parts found when they are asked for."""

import subprocess
import sys

import pytest

import caffe2op


def test_importing_the_package_imports_nothing_of_it() -> None:
    script = (
        "import sys, caffe2op; assert 'numpy' not in sys.modules; "
        "assert not [m for m in sys.modules if m.startswith('caffe2op.')]; "
        "caffe2op.workspace.FeedBlob; from caffe2op import core, workspace; core.Net"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_what_is_not_there() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'works'"):
        caffe2op.works  # noqa: B018


def test_a_first_use_imports_nothing() -> None:
    """While one thread imports, a child that another one forks waits for the import for ever."""
    script = """
import sys
import numpy as np
from caffe2op import asyncnet, atomics, core, workspace

before = set(sys.modules)
view = atomics.AtomicArray(np.zeros(4))
view.add_at([0, 1], [1.0, 2.0])
view.add(view.gather([0, 1, 2, 3]))
with atomics.SharedArray.create(2, np.uint64) as memory, memory.mutex(0):
    atomics.SharedArray.attach(memory.name).atomic().fetch_add(1, 1)
workspace.FeedBlob("x", np.ones(3, np.float32))
net = core.Net("net")
net.Sum(["x", "x"], "y")
workspace.RunPlan(core.execution_step("step", net, num_iter=2, num_concurrent_instances=2))
assert asyncnet.AsyncNet(net).submit().result()["y"][0] == 2
assert set(sys.modules) == before, set(sys.modules) - before
"""
    subprocess.run([sys.executable, "-c", script], check=True)
