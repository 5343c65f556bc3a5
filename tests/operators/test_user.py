"""user.py, native_function.py and csrc/kernel_user.c: operators of the user's own."""

from __future__ import annotations

import ctypes
import gc
import itertools
import subprocess
import sysconfig
import threading

import cffi
import numpy as np
import pytest

from caffe2op import core, workspace
from caffe2op.core import register_operator
from caffe2op.operators import schema

KERNEL = "int32_t(void **, const int64_t *, void *)"
CTYPES_KERNEL = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int64), ctypes.c_void_p
)
SOURCE = """
    #include <stdint.h>
    int32_t square(void **data, const int64_t *sizes, void *user) {
        const double *x = data[0];
        double *y = data[1];
        for (int64_t k = 0; k < sizes[0]; k++) y[k] = x[k] * x[k];
        return 0;
    }
    int32_t scale(void **data, const int64_t *sizes, void *user) {
        for (int64_t k = 0; k < sizes[1]; k++)
            ((double *)data[1])[k] = ((double *)data[0])[k] * *(const double *)user;
        return 0;
    }
    int32_t sizes_of(void **data, const int64_t *sizes, void *user) {
        for (int64_t k = 0; k < sizes[2]; k++) ((int64_t *)data[2])[k] = sizes[k];
        return user != 0;
    }
    int32_t count(void **data, const int64_t *sizes, void *user) {
        __atomic_fetch_add((int64_t *)data[0], 1, __ATOMIC_RELAXED);
        return 0;
    }
    int32_t fail(void **data, const int64_t *sizes, void *user) { return 7; }
    int32_t two(void **data, const int64_t *sizes) { return 0; }
    double real(void **data, const int64_t *sizes, void *user) { return 0; }
"""

names = (f"UserOp{k}" for k in itertools.count())


@pytest.fixture(autouse=True)
def _fresh():
    workspace.ResetWorkspace()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """The path of a shared library with the functions of SOURCE."""
    folder = tmp_path_factory.mktemp("library")
    (folder / "user.c").write_text(SOURCE)
    compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
    path = folder / "user.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, folder / "user.c"], check=True)
    return str(path)


@pytest.fixture(scope="module")
def by_cffi(library):
    """A function that gives a cffi pointer of a function of the library."""
    ffi = cffi.FFI()
    ffi.cdef("int32_t square(void **, const int64_t *, void *);"
             "int32_t scale(void **, const int64_t *, void *);"
             "int32_t sizes_of(void **, const int64_t *, void *);"
             "int32_t count(void **, const int64_t *, void *);"
             "int32_t fail(void **, const int64_t *, void *);"
             "int32_t two(void **, const int64_t *);"
             "double real(void **, const int64_t *, void *);")
    lib = ffi.dlopen(library)
    return lambda name: ffi.addressof(lib, name)


@pytest.fixture(scope="module")
def by_ctypes(library):
    """A function that gives a ctypes pointer of a function of the library."""
    lib = ctypes.CDLL(library)

    def get(name):
        function = getattr(lib, name)
        function.argtypes, function.restype = CTYPES_KERNEL._argtypes_, ctypes.c_int32
        return function

    return get


def run(type_, inputs, outputs):
    return workspace.RunOperatorOnce(core.CreateOperator(type_, inputs, outputs))


def feed(**blobs):
    for name, value in blobs.items():
        workspace.FeedBlob(name, value)


def fetch(name):
    return workspace.FetchBlob(name)


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


LIKE = {"inputs": ["float64"], "outputs": [("float64", 0)]}

# ---- C functions, from wherever they come -----------------------------------------------------


def test_cffi(by_cffi):
    check_square(registered(by_cffi("square"), **LIKE))


def test_cffi_callback():
    ffi = cffi.FFI()

    @ffi.callback(KERNEL.replace("int32_t(", "int32_t(*)("))
    def square(data, sizes, user):
        x, y = (np.frombuffer(ffi.buffer(ffi.cast("double *", p), 8 * sizes[0])) for p in data[0:2])
        y[:] = x * x
        return 0

    check_square(registered(square, **LIKE))


def test_ctypes(by_ctypes):
    check_square(registered(by_ctypes("square"), **LIKE))


def test_ctypes_callback():
    @CTYPES_KERNEL
    def square(data, sizes, user):
        n = sizes[0]
        x, y = (np.ctypeslib.as_array((ctypes.c_double * n).from_address(data[k])) for k in (0, 1))
        y[:] = x * x
        return 0

    check_square(registered(square, **LIKE))


def test_numba():
    numba = pytest.importorskip("numba")
    types = numba.types

    @numba.cfunc(types.int32(types.CPointer(types.voidptr), types.CPointer(types.int64),
                             types.voidptr))
    def square(data, sizes, user):
        x = numba.carray(_as_doubles(data[0]), sizes[0])
        y = numba.carray(_as_doubles(data[1]), sizes[1])
        for k in range(sizes[0]):
            y[k] = x[k] * x[k]
        return 0

    check_square(registered(square, **LIKE))


try:
    import numba as _numba
    from numba.core import cgutils as _cgutils
except ImportError:
    pass
else:

    @_numba.extending.intrinsic
    def _as_doubles(typing, pointer):
        """A void pointer as a double pointer."""
        def generate(context, builder, signature, args):
            return builder.bitcast(args[0], _cgutils.ir.DoubleType().as_pointer())

        return _numba.types.CPointer(_numba.types.float64)(_numba.types.voidptr), generate


def test_numba_with_another_signature():
    numba = pytest.importorskip("numba")

    @numba.cfunc("float64(float64)")
    def half(x):
        return x / 2

    with pytest.raises(TypeError, match=r"function: got .*from \(c_double\) to c_double; accepted"):
        registered(half, **LIKE)


@pytest.mark.parametrize("source", ["cffi", "ctypes"])
def test_scipy(source, by_cffi, by_ctypes):
    scipy = pytest.importorskip("scipy")
    get = by_cffi if source == "cffi" else by_ctypes
    check_square(registered(scipy.LowLevelCallable(get("square")), **LIKE))


def test_scipy_user_data(by_ctypes):
    scipy = pytest.importorskip("scipy")
    factor = ctypes.c_double(2.5)
    pointer = ctypes.cast(ctypes.pointer(factor), ctypes.c_void_p)
    low_level = scipy.LowLevelCallable(by_ctypes("scale"), pointer)
    check_scale(registered(low_level, **LIKE), 2.5)
    with pytest.raises(TypeError, match="user_data is given twice"):
        registered(low_level, **LIKE, user_data=pointer)


def capsule(function, signature):
    """A PyCapsule as C extensions make them, and as scipy's LowLevelCallable takes them."""
    new = ctypes.pythonapi.PyCapsule_New
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    new.restype = ctypes.py_object
    return new(ctypes.cast(function, ctypes.c_void_p), signature, None)


def test_capsule(by_ctypes):
    name = b"int32_t (void **, const int64_t *, void *)"  # borrowed by the capsule
    check_square(registered(capsule(by_ctypes("square"), name), **LIKE))
    other = b"double (double)"
    with pytest.raises(TypeError, match=r"signature 'double \(double\)'; accepted"):
        registered(capsule(by_ctypes("square"), other), **LIKE)


def check_scale(name, factor):
    feed(x=np.arange(4.0))
    run(name, ["x"], ["x"])  # in place
    np.testing.assert_array_equal(fetch("x"), np.arange(4.0) * factor)


def test_user_data(by_cffi):
    ffi = cffi.FFI()
    check_scale(registered(by_cffi("scale"), **LIKE, user_data=ffi.new("double *", 1.5)), 1.5)
    check_scale(registered(by_cffi("scale"), **LIKE,
                           user_data=ctypes.pointer(ctypes.c_double(-2))), -2)


def test_all_is_kept_alive(by_cffi):
    """The net needs the function, user_data and the schema's arrays, whoever else lets go."""
    ffi = cffi.FFI()

    def make():
        data = ffi.new("double *", 4)

        @ffi.callback(KERNEL.replace("int32_t(", "int32_t(*)("))
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
    with pytest.raises(TypeError, match=rf"output 0 \('y'\): {made.dtype} of shape .* made, "
                                        r"float32 of shape \(2,\) declared"):
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


def test_functions_of_other_kinds(by_cffi, by_ctypes, library):
    ffi = cffi.FFI()
    undeclared = ctypes.CDLL(library).square
    gil = ctypes.PYFUNCTYPE(ctypes.c_int32, *CTYPES_KERNEL._argtypes_)(lambda *args: 0)
    unsigned = ctypes.CFUNCTYPE(ctypes.c_uint32, *CTYPES_KERNEL._argtypes_)(lambda *args: 0)
    for function, words in [
        (5, "got 5; accepted: a Python function"),
        ("square", "got 'square'"),
        (by_cffi("two"), "of type int32_t"),
        (by_cffi("real"), "of type double"),
        (ffi.new("int *"), r"of type int \*"),
        (ffi.cast("int32_t(*)(void **, const int64_t *, void *)", 0), "a null pointer"),
        (undeclared, "argtypes and restype are not set"),
        (ctypes.CFUNCTYPE(ctypes.c_int32)(lambda: 0), r"from \(\) to c_int"),
        (unsigned, "to c_uint"),
        (CTYPES_KERNEL(), "a null pointer"),
        (gil, "with the GIL"),
    ]:
        with pytest.raises(TypeError, match=words) as caught:
            registered(function, **LIKE)
        assert "function" in str(caught.value)


def test_a_function_of_a_cffi_library_must_be_its_pointer():
    from caffe2op._core import lib

    with pytest.raises(TypeError, match=r"its pointer, which is ffi.addressof\(lib, 'c2_idle'\)"):
        registered(lib.c2_idle, **LIKE)


def test_user_data_of_other_kinds(by_cffi):
    for data in (5, "text", np.zeros(2), cffi.FFI().cast("int", 4)):
        with pytest.raises(TypeError, match="user_data: got"):
            registered(by_cffi("square"), **LIKE, user_data=data)
    with pytest.raises(TypeError, match="user_data is for a C function"):
        registered(print, [], [], user_data=cffi.FFI().new("int *"))


def test_threads_that_register_one_name_agree(by_cffi):
    name, start, results = next(names), threading.Barrier(8), []

    def work():
        start.wait()
        try:
            register_operator(name, by_cffi("square"), **LIKE)
            results.append(True)
        except ValueError:
            results.append(False)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    check_square(name)
