"""interop.tensorflow: a model's variables by way of shared memory, models as operators."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    tf = pytest.importorskip("tensorflow")

from caffe2op import core, workspace
from caffe2op.interop.tensorflow import as_operator, pull, push, share


def variables() -> list[Any]:
    return [tf.Variable(tf.ones((3, 2)), name="table"), tf.Variable(tf.zeros(2), name="bias")]


def test_variables_go_in_and_come_out() -> None:
    given = variables()
    store = share(given)
    assert len(store) == 2
    store.add({name: np.ones(store.shapes[name], np.float32) for name in store})
    pull(store, given)
    np.testing.assert_array_equal(given[0], np.full((3, 2), 2.0))
    np.testing.assert_array_equal(given[1], np.ones(2))


def test_a_step_with_rows_that_come_twice() -> None:
    given = variables()
    store = share(given)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(tf.gather(given[0], [0, 2, 2]) + given[1])
    gradients = tape.gradient(loss, given)
    assert isinstance(gradients[0], tf.IndexedSlices)
    push(store, gradients, -0.5)
    pull(store, given)
    np.testing.assert_array_equal(given[0], [[0.5, 0.5], [1, 1], [0, 0]])
    np.testing.assert_array_equal(given[1], [-1.5, -1.5])


def test_no_gradient_leaves_a_variable_alone() -> None:
    given = variables()
    store = share(given)
    push(store, [None, tf.ones(2)], 1.0)
    np.testing.assert_array_equal(store.copy()["0/" + given[0].name], np.ones((3, 2)))


def test_another_number_is_refused() -> None:
    given = variables()
    store = share(given)
    with pytest.raises(ValueError, match="1 given; accepted: 2"):
        push(store, [tf.ones((3, 2))], 1.0)
    with pytest.raises(ValueError, match="1 given; accepted: 2"):
        pull(store, given[:1])


def test_functions_are_operators() -> None:
    net = core.Net("tf")
    net.Python(as_operator(lambda x: (x + 1, tf.reduce_sum(x))))("tf_x", ["more", "total"])
    workspace.FeedBlob("tf_x", np.arange(3, dtype=np.float32))
    workspace.RunNetOnce(net)
    np.testing.assert_array_equal(workspace.FetchBlob("more"), [1, 2, 3])
    assert workspace.FetchBlob("total") == 3
