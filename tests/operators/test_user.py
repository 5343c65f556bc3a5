"""user.py and csrc/kernel_user.c: operators of the user's own. How a C function comes in is
test_native_function.py's."""

from __future__ import annotations

import gc

import cffi
import numpy as np
import pytest
from blobs import feed, fetch, run
from user_operators import KERNEL, LIKE, check_square, names, registered

from caffe2op import core, workspace
from caffe2op.core import register_operator
from caffe2op.operators import schema
from together import together

# ---- what a C function sees --------------------------------------------------------------------


def test_dtypes_shapes_and_sizes(by_cffi):
    name = registered(by_cffi("sizes_of"), [None, "bool"], [("int64", (3,))])
    feed(x=np.zeros((2, 5), np.float32), y=np.zeros(0, np.bool_))
    run(name, ["x", "y"], ["sizes"])
    assert fetch("sizes").tolist() == [10, 0, 3]


def test_in_place_means_the_same_dtype_and_shape(by_cffi):
    fixed = registered(by_cffi("square"), ["float64"], [("float64", (3,))])
    feed(x=np.arange(3.0))
    run(fixed, ["x"], ["x"])
    assert fetch("x").tolist() == [0, 1, 4]
    for shape in [(4,), (1, 3), ()]:
        feed(x=np.ones(shape))
        with pytest.raises(ValueError, match=r"output 0 \('x'\) is in place of input 0 \('x'\)"):
            run(fixed, ["x"], ["x"])
        assert fetch("x").shape == shape
    other = registered(by_cffi("count"), ["int64"], [("int32", 0)])
    feed(x=np.int64(4))
    with pytest.raises(ValueError, match="another type"):
        run(other, ["x"], ["x"])
    assert fetch("x") == 4


def test_all_is_kept_alive(by_cffi):
    """The net needs the function, user_data and the schema's arrays, whoever else lets go."""
    ffi = cffi.FFI()

    def make():
        data = ffi.new("double *", 4)

        @ffi.callback(KERNEL)
        def scale(given, sizes, user):
            x, y = (ffi.cast("double *", p) for p in given[0:2])
            for k in range(sizes[0]):
                y[k] = x[k] * ffi.cast("double *", user)[0]
            return 0

        return registered(scale, **LIKE, user_data=data)

    name = make()
    feed(x=np.arange(100.0))
    net = core.Net("net")
    getattr(net, name)(["x"], ["y"])
    workspace.CreateNet(net)
    register_operator(name, by_cffi("fail"), **LIKE, overwrite=True)  # the old binding goes
    gc.collect()
    [ffi.new("double *", -1) for _ in range(1000)]
    workspace.RunNet(net)
    np.testing.assert_array_equal(fetch("y"), 4 * np.arange(100.0))
    with pytest.raises(RuntimeError, match="returned 7"):
        run(name, ["x"], ["y"])


def test_many_blobs(by_cffi):
    """More than the kernel has room for without an allocation."""
    n = 50
    name = registered(by_cffi("count"), ["int64"] * n, [("int64", 0)] * n)
    ins, outs = [f"in_{k}" for k in range(n)], [f"out_{k}" for k in range(n)]
    feed(**{blob: np.int64(k) for k, blob in enumerate(ins)})
    run(name, ins, outs)
    assert fetch("in_0") == 1
    assert all(fetch(blob).shape == () for blob in outs)


def test_no_blobs_at_all(by_cffi):
    with pytest.raises(RuntimeError, match="the user's function returned 7"):
        run(registered(by_cffi("fail"), [], []), [], [])


def test_a_failure_names_operator_and_code(by_cffi):
    name = registered(by_cffi("fail"), **LIKE)
    feed(x=np.zeros(2))
    with pytest.raises(RuntimeError, match=f"{name}.*the user's function returned 7"):
        run(name, ["x"], ["y"])


def test_inputs_are_checked_when_it_runs(by_cffi):
    name = registered(by_cffi("square"), **LIKE)
    feed(x=np.zeros(2, np.float32), text="a", y=np.int8(3))
    with pytest.raises(TypeError, match=r"input 0 \('x'\): float32 given, float64 expected"):
        run(name, ["x"], ["y"])
    with pytest.raises(TypeError, match="a Python object given, a tensor expected"):
        run(name, ["text"], ["y"])
    assert fetch("y") == 3
    with pytest.raises(ValueError, match=r"1 inputs? accepted, got 2"):
        run(name, ["x", "x"], ["y"])


def test_concurrent_steps_run_it_side_by_side(by_cffi):
    name = registered(by_cffi("count"), ["int64"], [])
    feed(x=np.int64(0))
    steps = []
    for k in range(4):
        net = core.Net(f"net_{k}")
        getattr(net, name)(["x"], [])
        steps.append(core.execution_step(f"step_{k}", net, num_iter=2500))
    plan = core.Plan("plan")
    plan.AddStep(core.execution_step("all", steps, concurrent_substeps=True))
    workspace.RunPlan(plan)
    assert fetch("x") == 10000


# ---- Python functions ----------------------------------------------------------------------------


def test_a_decorated_function():
    name = next(names)

    @register_operator(name, inputs=["float32", None], outputs=[("float32", 0), ("int64", ())])
    def shifted(inputs, outputs):
        """Adds 1."""
        outputs[0].feed(inputs[0].data + 1)
        outputs[1].feed(np.int64(inputs[1].data.size))

    assert shifted.__name__ == "shifted"  # itself, to be called by Python too
    assert schema.lookup(name).doc == "Adds 1."
    assert name in workspace.RegisteredOperators()
    feed(x=np.zeros(3, np.float32), y=np.zeros((2, 2), np.int8))
    run(name, ["x", "y"], ["x", "n"])
    assert fetch("x").tolist() == [1, 1, 1]
    assert fetch("n") == 4


@pytest.mark.parametrize("made", [np.zeros(2, np.float64), np.zeros(3, np.float32)])
def test_what_a_python_function_makes_is_checked(made):
    def wrong(inputs, outputs):
        outputs[0].feed(made)

    name = registered(wrong, ["float32"], [("float32", 0)])
    feed(x=np.zeros(2, np.float32))
    with pytest.raises(
        TypeError,
        match=rf"output 0 \('y'\): {made.dtype} of shape .* made, "
        r"float32 of shape \(2,\) declared",
    ):
        run(name, ["x"], ["y"])
    feed(x=np.zeros(2, np.int32))
    with pytest.raises(TypeError, match=r"input 0 \('x'\): int32 given, float32 expected"):
        run(name, ["x"], ["y"])


def test_a_python_function_may_fail_or_raise():
    def fails(inputs, outputs):
        return False

    def raises(inputs, outputs):
        raise KeyError("mine")

    with pytest.raises(RuntimeError, match="reported failure"):
        run(registered(fails, [], []), [], [])
    with pytest.raises(KeyError, match="mine"):
        run(registered(raises, [], []), [], [])


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "two words", "1st", "_hidden", 5, None])
def test_names_are_identifiers(name):
    with pytest.raises(ValueError, match="name must be an identifier"):
        register_operator(name, print, inputs=[], outputs=[])


def test_a_name_is_taken_once(by_cffi):
    name = registered(by_cffi("square"), **LIKE)
    with pytest.raises(ValueError, match=f"'{name}' is registered already.*overwrite=True"):
        register_operator(name, by_cffi("scale"), **LIKE)
    check_square(name)
    for overwrite in (False, True):
        with pytest.raises(ValueError, match="'AtomicFetchAdd' is"):
            register_operator("AtomicFetchAdd", by_cffi("scale"), **LIKE, overwrite=overwrite)


@pytest.mark.parametrize(
    ("inputs", "outputs", "error", "words"),
    [
        ("float32", [], TypeError, "inputs: got 'float32'; accepted: a list"),
        (["float31"], [], (TypeError, ValueError), r"inputs\[0\]"),
        (["float32", np.complex64], [], (TypeError, ValueError), r"inputs\[1\].*complex64"),
        ([], None, TypeError, "outputs: got None"),
        ([], ["float32"], TypeError, r"outputs\[0\]: got 'float32'; accepted: \(dtype, shape\)"),
        ([], [(None, ())], ValueError, r"outputs\[0\]: dtype None"),
        (["int8"], [("int8", 1)], ValueError, r"outputs\[0\]: like input 1, but there are 1"),
        (["int8"], [("int8", -1)], ValueError, r"outputs\[0\]: like input -1"),
        ([], [("int8", (2, -1))], TypeError, r"outputs\[0\]: shape \(2, -1\)"),
        ([], [("int8", (2.0,))], TypeError, r"outputs\[0\]: shape \(2\.0,\)"),
        ([], [("int8", True)], TypeError, r"outputs\[0\]: shape True"),
        ([], [("int8", (1,) * 9)], ValueError, r"outputs\[0\]: 9 dimensions"),
    ],
)
def test_inputs_and_outputs_are_checked(by_cffi, inputs, outputs, error, words):
    name = next(names)
    with pytest.raises(error, match=words):
        register_operator(name, by_cffi("square"), inputs=inputs, outputs=outputs)
    assert not schema.is_registered(name)


def test_threads_that_register_one_name_agree(by_cffi):
    name, results = next(names), []

    def work():
        try:
            register_operator(name, by_cffi("square"), **LIKE)
            results.append(True)
        except ValueError:
            results.append(False)

    together(*[work] * 8)
    assert sorted(results) == [False] * 7 + [True]
    check_square(name)
