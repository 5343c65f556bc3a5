"""Two towers on handwritten digits, run as one net: python -m caffe2op.examples.asyncnet

One tower looks at the pixels, the other at their edges; each is a layer of random features. A
barrier joins them, and a read-out that is fitted once by least squares (ridge regression) names
the digit. Batches of the test digits go through the net with several runs in flight; then the
profile is printed, and a trace and pictures of the net are written. See --help.

Random features with a fitted read-out: A. Rahimi and B. Recht, "Random Features for Large-Scale
Kernel Machines", NIPS 2007.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# The towers are what runs at the same time here: threads within each product of two matrices
# would take the processors from each other. Read when NumPy is loaded.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import numpy.typing as npt

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet, AsyncNetBarrier
from caffe2op.examples.command_line import interruptible, positive_int, seed
from caffe2op.workspace import BlobView

Floats = npt.NDArray[np.float32]
Views = list[BlobView]

TOWERS = ("pixels", "edges")
DEVICES: dict[str, int | str] = {"cpu:0": "caller", "cpu:1": 1}


# ---- the net -------------------------------------------------------------------------------------


def multiply(inputs: Views, outputs: Views) -> None:
    """rows @ weights"""
    outputs[0].feed(inputs[0].data @ inputs[1].data)


def find_edges(inputs: Views, outputs: Views) -> None:
    """Differences of neighbouring pixels, to the right and down, of 8 x 8 images in rows."""
    images = inputs[0].data.reshape(-1, 8, 8)
    right = np.diff(images, axis=2).reshape(len(images), -1)
    down = np.diff(images, axis=1).reshape(len(images), -1)
    outputs[0].feed(np.concatenate([right, down], axis=1))


def classify(inputs: Views, outputs: Views) -> None:
    """The digit with the highest score, of both towers' features and a constant."""
    both = np.concatenate([view.data for view in inputs[:-1]], axis=1)
    scores = both @ inputs[-1].data[:-1] + inputs[-1].data[-1]
    outputs[0].feed(scores.argmax(axis=1))


def towers(name: str) -> core.Net:
    """The net from "images" to the features "pixels/features" and "edges/features"."""
    net = core.Net(name)
    images = net.AddExternalInput("images")
    for number, tower in enumerate(TOWERS):
        with core.NameScope(tower), core.DeviceScope(core.DeviceOption(0, number)):
            rows: Any = images
            if tower == "edges":
                rows = net.Python(find_edges)(rows, "found", name=f"{tower}/find")
            weights = core.ScopedBlobReference("weights")
            rows = net.Python(multiply)([rows, weights], "sums", name=f"{tower}/multiply")
            net.Relu(rows, "features", name=f"{tower}/relu")
    return net


def join(net: core.Net) -> None:
    """Add the read-out, from both towers' features to "digits"."""
    features = [core.BlobReference(f"{tower}/features") for tower in TOWERS]
    net.Python(classify)([*features, core.BlobReference("readout")], "digits", name="join/classify")


def feed_weights(hidden: int, seed: int) -> None:
    """Random weights for both towers."""
    rng = np.random.default_rng(seed)
    for tower, width in zip(TOWERS, (64, 112), strict=True):
        weights = rng.standard_normal((width, hidden)) / np.sqrt(width)
        workspace.FeedBlob(f"{tower}/weights", weights.astype(np.float32))


def fit(features: Floats, digits: npt.NDArray[np.int64], ridge: float = 1.0) -> Floats:
    """The read-out: least squares with a penalty, from the features and a constant to ten
    scores."""
    x = np.concatenate([features, np.ones((len(features), 1), np.float32)], axis=1)
    right = x.T @ np.eye(10, dtype=np.float32)[digits]
    return np.linalg.solve(x.T @ x + ridge * np.eye(x.shape[1], dtype=np.float32), right).astype(
        np.float32
    )


# ---- the program ---------------------------------------------------------------------------------


def load(seed: int) -> tuple[Floats, npt.NDArray[np.int64]]:
    """scikit-learn's 1,797 digits in random order: rows of 64 pixels from 0 to 1, and labels."""
    from sklearn.datasets import load_digits

    pixels, digits = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(pixels))
    return (pixels[order] / 16).astype(np.float32), digits[order].astype(np.int64)


@interruptible
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.asyncnet",
        description="Run two towers on handwritten digits (package scikit-learn) as one net.",
    )
    for name, default, text in (
        ("--hidden", 500, "features of each tower"),
        ("--batch", 64, "digits in one run of the net"),
        ("--inflight", 4, "runs at the same time"),
    ):
        parser.add_argument(
            name, type=positive_int, default=default, help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--seed", type=seed, default=0, help="of the split and the weights (default: %(default)s)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path(),
        help="folder for trace.json, net.svg and net.dot, which is made (default: %(default)s)",
    )
    options = parser.parse_args(arguments)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--out: {error}")
    try:
        images, digits = load(options.seed)
    except ImportError:
        print("the digits come with scikit-learn: pip install caffe2op[examples]", file=sys.stderr)
        return 2
    run(options, images, digits)
    return 0


def run(options: argparse.Namespace, images: Floats, digits: npt.NDArray[np.int64]) -> None:
    """Fit on the first two thirds, name the digits of the rest, and show how that went."""
    train = 2 * len(images) // 3
    feed_weights(options.hidden, options.seed)
    features = AsyncNet(towers("towers"), inputs=["images"]).submit({"images": images[:train]})
    both = [features.result()[f"{tower}/features"] for tower in TOWERS]
    workspace.FeedBlob("readout", fit(np.concatenate(both, axis=1), digits[:train]))

    definition = towers("digits")
    join(definition)
    with AsyncNet(
        definition, inputs=["images"], devices=DEVICES, barriers=[AsyncNetBarrier(TOWERS, "join")]
    ) as net:
        net.enable_profile()
        net.enable_trace()
        starts = range(train, len(images), options.batch)
        begin = time.perf_counter()
        results = net.map(
            ({"images": images[k : k + options.batch]} for k in starts), options.inflight
        )
        named = np.concatenate([result["digits"] for result in results])
        seconds = time.perf_counter() - begin
        right = float(np.mean(named == digits[train:]))
        print(
            f"{len(named)} digits in {len(starts)} runs, {options.inflight} in flight: "
            f"{1e3 * seconds:.1f} ms, {right:.1%} named rightly\n"
        )
        print(net.profile())
        try:
            net.trace().save(options.out / "trace.json")
            for name in ("net.svg", "net.dot"):
                net.draw().save(options.out / name)
        except OSError as error:
            raise SystemExit(f"--out: {error}") from None
        print(
            f"\nwritten to {options.out}: trace.json (for https://ui.perfetto.dev), net.svg, "
            "net.dot"
        )


if __name__ == "__main__":
    sys.exit(main())
