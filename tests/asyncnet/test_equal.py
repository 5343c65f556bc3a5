"""Any run equals the simple run: the contract, over ways to run, workers and random graphs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2op import core, workspace
from caffe2op._core import lib
from caffe2op.asyncnet import AsyncNet
from caffe2op.asyncnet.instance import MODES
from caffe2op.workspace.dependencies import edges, graph

from .graphs import SOURCES, expected, feed_sources, random_net, written

EVERY = list(itertools.product(MODES, (1, 2, 3)))
DAG_TYPES = ("dag", "async_dag", "async_polling", "async_scheduling", "parallel", "prof_dag")


def check_runs(net: core.Net, mode: str, workers: int, runs: int = 3) -> None:
    right = expected(net)
    workspace.ResetWorkspace()
    feed_sources()
    made = AsyncNet(net, workers=workers, mode=mode, outputs=written(net))
    for _ in range(runs):
        made.run()
        same(dict(made.outputs), right)
    for result in made.map([{}] * runs, inflight=3):
        same(result, right)
    made.close()


def same(given_: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> None:
    assert given_.keys() == right.keys()
    for name, value in right.items():
        np.testing.assert_array_equal(given_[name], value, err_msg=name)


@pytest.mark.parametrize(("mode", "workers"), EVERY)
@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 120))
def test_random_graph_equals_simple(mode: str, workers: int, seed: int, n: int) -> None:
    check_runs(random_net(seed, n), mode, workers)


@pytest.mark.parametrize(("mode", "workers"), EVERY)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 80), python=st.sampled_from([0.5, 0.9, 1.0]))
def test_mostly_python_equals_simple(
    mode: str, workers: int, seed: int, n: int, python: float
) -> None:
    check_runs(random_net(seed, n, python), mode, workers)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("python", [0.0, 0.3])
def test_two_thousand_operators(mode: str, python: float) -> None:
    check_runs(random_net(7, 2000, python), mode, 2, runs=2)


@pytest.mark.parametrize("type_", DAG_TYPES)
def test_dag_types_of_the_workspace(type_: str) -> None:
    net = random_net(3, 200, type_=type_)
    right = expected(net)
    workspace.ResetWorkspace()
    feed_sources()
    workspace.CreateNet(net)
    for _ in range(6):
        workspace.RunNet(net)
        same({name: workspace.FetchBlob(name) for name in right}, right)
    assert workspace.RunNet(net, num_iter=5)
    same({name: workspace.FetchBlob(name) for name in right}, right)


def test_dag_net_in_a_plan() -> None:
    net = random_net(4, 100, type_="dag")
    right = expected(net)
    workspace.ResetWorkspace()
    feed_sources()
    workspace.RunPlan(core.execution_step("step", net, num_iter=3))
    same({name: workspace.FetchBlob(name) for name in right}, right)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(0, 60))
def test_as_many_edges_in_c_as_in_python(seed: int, n: int) -> None:
    net = random_net(seed, n).Proto()
    assert lib.c2_graph_edges(graph(net)) == len(edges(net))
    if n >= 3:
        more = [(0, n - 1), (1, n - 1), (0, 2)]
        assert lib.c2_graph_edges(graph(net, more)) == len(edges(net, more))


def test_edges_by_the_rules() -> None:
    net = core.Net("rules")
    net.AddExternalInput(*SOURCES)
    net.Relu("s0", "a")  # 0
    net.Relu("a", "b")  # 1: reads a
    net.Relu("s0", "c", control_input="b")  # 2: after b's writer
    net.Relu("s1", "a")  # 3: after a's reader
    net.Relu("s1", "c")  # 4: nobody has read c: after its writer
    net.Sigmoid("a", "a")  # 5: in place
    assert edges(net.Proto()) == [(0, 1), (1, 2), (1, 3), (2, 4), (3, 5)]


def test_edge_that_goes_back_is_refused() -> None:
    net = random_net(1, 5).Proto()
    with pytest.raises(ValueError, match="from operator 3 to 2"):
        graph(net, [(3, 2)])


def test_many_threads_run_one_net() -> None:
    net = random_net(9, 60)
    right = expected(net)
    workspace.ResetWorkspace()
    feed_sources()
    made = AsyncNet(net, workers=3, outputs=written(net))
    futures = [made.submit() for _ in range(40)]
    for future in futures:
        same(future.result(), right)
    made.close()
