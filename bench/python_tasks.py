"""Graphs of Python functions: this package's AsyncNet and the Python libraries beside it.

`function(k)` is what task k calls; here it takes the results of its predecessors, as the libraries
that hand them on do. A runner is a function without arguments that runs the graph once.
"""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from graphlib import TopologicalSorter

from caffe2op.asyncnet import AsyncNet
from graphs import Graph
from paired import Code, require

Function = Callable[..., object]


@contextmanager
def plain_loop(graph: Graph, function: Function, workers: int) -> Iterator[Code]:
    """Program order, results in a list."""
    before = graph.before

    def run() -> None:
        results: list[object] = []
        for found in before:
            results.append(function(*[results[u] for u in found]))

    yield run


@contextmanager
def ours(graph: Graph, function: Function, workers: int) -> Iterator[Code]:
    names = [f"f{v}" for v in range(graph.n)]
    edges = [(names[u], names[v]) for v, found in enumerate(graph.before) for u in found]
    with AsyncNet.from_functions(dict.fromkeys(names, function), edges, workers=workers) as net:
        for _ in range(40):
            net.run()
        yield net.run


@contextmanager
def dask_threaded(graph: Graph, function: Function, workers: int) -> Iterator[Code]:
    """dask.threaded.get on a graph of tuples; wanted are the tasks that nobody waits for."""
    require("dask")
    from dask.threaded import get

    tasks = {f"f{v}": (function, *(f"f{u}" for u in found)) for v, found in enumerate(graph.before)}
    used = {u for found in graph.before for u in found}
    last = [f"f{v}" for v in range(graph.n) if v not in used]
    with ThreadPoolExecutor(workers) as pool:
        yield lambda: get(tasks, last, pool=pool)


@contextmanager
def graphlib_pool(graph: Graph, function: Function, workers: int) -> Iterator[Code]:
    """What graphlib's documentation shows: ready tasks to a pool, finished ones back by a queue."""
    before = dict(enumerate(graph.before))
    with ThreadPoolExecutor(workers) as pool:

        def run() -> None:
            order = TopologicalSorter(before)
            order.prepare()
            results: dict[int, object] = {}
            finished: queue.SimpleQueue[int] = queue.SimpleQueue()

            def task(v: int) -> None:
                results[v] = function(*[results[u] for u in before[v]])
                finished.put(v)

            while order.is_active():
                for v in order.get_ready():
                    pool.submit(task, v)
                order.done(finished.get())

        yield run


@contextmanager
def asyncio_tasks(graph: Graph, function: Function, workers: int) -> Iterator[Code]:
    """A coroutine for each task that awaits those before it; one thread."""

    async def whole() -> None:
        tasks: list[asyncio.Task[object]] = []

        async def one(found: list[int]) -> object:
            return function(*[await tasks[u] for u in found])

        for found in graph.before:
            tasks.append(asyncio.create_task(one(found)))
        for task in tasks:
            await task

    with asyncio.Runner() as runner:
        yield lambda: runner.run(whole())


@contextmanager
def joblib_levels(graph: Graph, function: Function, workers: int) -> Iterator[Code]:
    """joblib runs lists of calls, so level by level; without the results, on its threads."""
    joblib = require("joblib")
    before, levels = graph.before, graph.levels
    results: list[object] = [None] * graph.n
    with joblib.Parallel(n_jobs=workers, backend="threading") as parallel:

        def run() -> None:
            for level in levels:
                calls = (joblib.delayed(function)(*[results[u] for u in before[v]]) for v in level)
                for v, result in zip(level, parallel(calls), strict=True):
                    results[v] = result

        yield run


RUNNERS = {
    "the plain loop": plain_loop,
    "caffe2op": ours,
    "dask.threaded": dask_threaded,
    "graphlib + ThreadPoolExecutor": graphlib_pool,
    "asyncio": asyncio_tasks,
    "joblib": joblib_levels,
}
WORKERS = {"the plain loop": (1,), "asyncio": (1,)}  # the others: 1 and 2
