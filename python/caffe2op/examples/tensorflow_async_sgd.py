"""Asynchronous SGD with TensorFlow: python -m caffe2op.examples.tensorflow_async_sgd

Several threads train one Keras model on scikit-learn's handwritten digits. Each has a replica of
its own, pulls the shared weights before a batch and pushes its gradients after it. The pushes are
atomic adds: none waits for another, and none is lost. To show that, the store has one more
variable, as large as all weights together, to which each push adds 1 by a gradient of -1 / rate.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from threading import Event, Thread
from typing import Any

import numpy as np

try:
    import tensorflow as tf
    from sklearn.datasets import load_digits
except ImportError as missing:
    sys.exit(f"{missing}: this example needs what caffe2op[tensorflow] installs")

from caffe2op.examples.command_line import interruptible
from caffe2op.interop.tensorflow import pull, push, share

RATE, BATCH = 0.1, 64


def network() -> Any:
    """Two layers of 64 and one of 10, on 64 pixels."""
    return tf.keras.Sequential(
        [
            tf.keras.Input((64,)),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(64, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )


def digits() -> tuple[Any, Any, Any, Any]:
    """Pixels and labels to train with, pixels and labels to test with."""
    pixels, labels = load_digits(return_X_y=True)
    x, y = (pixels / 16).astype(np.float32), labels.astype(np.int64)
    return x[:1500], y[:1500], x[1500:], y[1500:]


def variables_of(model: Any) -> list[Any]:
    """The weights, and what counts their updates."""
    weights = list(model.trainable_variables)
    return [*weights, tf.Variable(tf.zeros(sum(int(tf.size(w)) for w in weights)), name="count")]


def train(store: Any, stop: Event, steps: int, seed: int) -> None:
    """One worker: `steps` batches of its own choice, on a replica of its own."""
    rng = np.random.default_rng(seed)
    model = network()
    variables = variables_of(model)
    count = np.full(variables[-1].shape, -1 / RATE, np.float32)
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    x, y, _, _ = digits()

    @tf.function
    def gradients(rows: Any, labels: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(labels, model(rows))
        return tape.gradient(loss, model.trainable_variables)

    for _ in range(steps):
        if stop.is_set():
            return
        rows = rng.integers(0, len(x), BATCH)
        pull(store, variables)
        push(store, [*gradients(tf.constant(x[rows]), tf.constant(y[rows])), count], -RATE)


def accuracy(model: Any) -> float:
    _, _, x, y = digits()
    return float((np.asarray(model(x)).argmax(1) == y).mean())


@interruptible
def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m caffe2op.examples.tensorflow_async_sgd",
        description="Train a Keras model by several threads on shared weights.",
    )
    parser.add_argument("--workers", type=int, default=2, help="threads")
    parser.add_argument("--steps", type=int, default=400, help="batches of 64 for each worker")
    options = parser.parse_args(arguments)
    for name in ("workers", "steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be 1 or more, got {getattr(options, name)}")

    tf.keras.utils.set_random_seed(0)
    model = network()
    variables = variables_of(model)
    store, stop = share(variables), Event()
    before = accuracy(model)
    crew = [
        Thread(target=train, args=(store, stop, options.steps, seed))
        for seed in range(options.workers)
    ]
    begin = time.perf_counter()
    try:
        for worker in crew:
            worker.start()
        for worker in crew:
            worker.join()
    finally:  # Ctrl-C: after the steps that they are in
        stop.set()
    seconds = time.perf_counter() - begin
    pull(store, variables)
    count = variables[-1].numpy()
    sent, arrived = options.workers * options.steps * count.size, int(count.sum(dtype=float))
    rows = options.workers * options.steps * BATCH / seconds
    print(f"{options.workers} workers, {options.steps} steps each: {rows:,.0f} rows/s")
    print(f"accuracy {before:.1%} before, {accuracy(model):.1%} after")
    print(f"{arrived:,} of {sent:,} updates of weights arrived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
