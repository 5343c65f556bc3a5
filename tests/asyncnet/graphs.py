"""Nets to test with: random graphs of deterministic operators, and nets whose pieces are slow."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import numpy as np

from caffe2op import core, workspace
from caffe2op.workspace.python_calls import BlobView

SOURCES = ("s0", "s1", "s2")


def feed_sources() -> None:
    for k, name in enumerate(SOURCES):
        workspace.FeedBlob(name, np.linspace(-1, 1 + k, 7, dtype=np.float32))


def halve(inputs: list[BlobView], outputs: list[BlobView]) -> None:
    outputs[0].feed(inputs[0].data * np.float32(0.5))


def random_net(seed: int, n: int, python: float = 0.1, type_: str = "") -> core.Net:
    """n operators; each reads blobs written before and writes a new blob, or one that others
    have written or read (so that the order of readers and writers matters), or in place."""
    rng = random.Random(seed)
    net = core.Net("random")
    net.Proto().type = type_
    net.AddExternalInput(*SOURCES)
    blobs = list(SOURCES)
    for k in range(n):
        x, y = rng.choice(blobs), rng.choice(blobs)
        written = blobs[len(SOURCES) :]
        kind = rng.random()
        target = rng.choice(written) if written and kind < 0.3 else f"b{k}"
        control = [rng.choice(blobs)] if rng.random() < 0.1 else []
        if rng.random() < python:
            net.Python(halve)([x], [target], control_input=control)
        elif written and 0.3 <= kind < 0.4:
            target = rng.choice(written)
            net.Sigmoid(target, target, control_input=control)
        else:
            kernel = rng.choice(("Add", "Sub", "Relu", "Sigmoid"))
            inputs = [x, y] if kernel in ("Add", "Sub") else [x]
            if target in inputs:
                target = f"b{k}"
            getattr(net, kernel)(inputs, target, control_input=control)
        if target not in blobs:
            blobs.append(target)
    return net


def written(net: core.Net) -> list[str]:
    return sorted({name for op in net.Proto().op for name in op.output})


def expected(net: core.Net) -> dict[str, np.ndarray]:
    """What the simple net gives, in a workspace of its own."""
    workspace.SwitchWorkspace("expected", create_if_missing=True)
    try:
        workspace.ResetWorkspace()
        feed_sources()
        proto = net.Proto()
        simple = core.NetDef(proto.name, proto.op, "simple", external_input=proto.external_input)
        workspace.RunNetOnce(simple)
        return {name: workspace.FetchBlob(name) for name in written(net)}
    finally:
        workspace.SwitchWorkspace("default")


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for what another thread is about to do."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.001)
