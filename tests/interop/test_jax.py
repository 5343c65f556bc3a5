"""interop.jax: a pytree by way of shared memory, functions as operators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

jax = pytest.importorskip("jax")

from caffe2op import core, workspace  # noqa: E402
from caffe2op.interop.jax import as_operator, push, share, tree  # noqa: E402


def parameters() -> dict[str, Any]:
    return {"layer": [jax.numpy.ones((2, 3)), jax.numpy.zeros(3)], "scale": jax.numpy.ones(())}


def test_a_tree_goes_in_and_comes_out() -> None:
    store = share(parameters())
    assert list(store) == ["['layer'][0]", "['layer'][1]", "['scale']"]
    out = tree(store, parameters())
    assert jax.tree_util.tree_structure(out) == jax.tree_util.tree_structure(parameters())
    for a, b in zip(
        jax.tree_util.tree_leaves(out), jax.tree_util.tree_leaves(parameters()), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_a_step_of_gradient_descent() -> None:
    store = share(parameters())

    def loss(p: Any) -> Any:
        return ((jax.numpy.ones(2) @ p["layer"][0] + p["layer"][1]) * p["scale"]).sum()

    gradients = jax.grad(loss)(tree(store, parameters()))
    push(store, gradients, -0.5)
    expected = jax.tree_util.tree_map(lambda p, g: p - 0.5 * g, parameters(), gradients)
    for a, b in zip(
        jax.tree_util.tree_leaves(tree(store, parameters())),
        jax.tree_util.tree_leaves(expected),
        strict=True,
    ):
        np.testing.assert_allclose(a, b)


def test_another_structure_is_refused() -> None:
    with pytest.raises(KeyError, match="other"):
        tree(share(parameters()), {"other": jax.numpy.ones(1)})


def test_functions_are_operators() -> None:
    net = core.Net("jax")
    net.Python(as_operator(jax.jit(lambda x: (2 * x, x.sum()))))("jax_x", ["twice", "total"])
    workspace.FeedBlob("jax_x", np.arange(3, dtype=np.float32))
    workspace.RunNetOnce(net)
    np.testing.assert_array_equal(workspace.FetchBlob("twice"), [0, 2, 4])
    assert workspace.FetchBlob("total") == 3
