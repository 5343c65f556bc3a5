"""Native tasks on graphs: this package's executor and its C++ peers, with the same body.

What is in native/ is compiled when it is first needed, into a temporary folder. A peer is a
process of its own that is told to run and answers how long that took, so its threads and ours are
not in one process; a pause after each of its rounds lets threads that still spin go to sleep.
"""

from __future__ import annotations

import atexit
import functools
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import cffi
import numpy as np
import pytest

from caffe2op._core import ffi, lib
from graphs import Costs, Graph

HERE = Path(__file__).resolve().parent
SOURCES, CORE = HERE / "native", HERE.parent / "csrc"
SETTLE = 0.005  # seconds after which no worker of a peer spins any more
MODES = {
    "auto": lib.C2_MODE_AUTO,
    "static": lib.C2_MODE_STATIC,
    "dynamic": lib.C2_MODE_DYNAMIC,
}
DECLARED = """
    int bench_fill(void *set, void *net, int64_t n, const int64_t *turns);
    void *bench_alike(void *alike, int64_t n, int64_t *turns);
    int64_t bench_runs(void *run, void *object, int64_t count, int stopped);
    int64_t bench_bodies(const int64_t *turns, int64_t n);
    int32_t bench_spin(void **data, const int64_t *sizes, void *user);
    int32_t bench_nothing(void **data, const int64_t *sizes, void *user);
"""
own = cffi.FFI()
own.cdef(DECLARED)


@functools.cache
def folder() -> Path:
    path = Path(tempfile.mkdtemp(prefix="caffe2op-bench-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@functools.cache
def compiled(name: str, source: str, compiler: str, *options: str) -> Path | str:
    """The file made from the source, or why there is none."""
    if shutil.which(compiler) is None:
        return f"{compiler} is not installed here"
    out = folder() / name
    command = [compiler, *options[:-1], str(SOURCES / source), "-o", str(out), options[-1]]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        return f"{source} does not compile here: {(errors or [done.stderr.strip()])[0]}"
    return out


def built(*what: str) -> Path:
    """The file, or a skip that says what is missing."""
    found = compiled(*what)
    if isinstance(found, str):
        pytest.skip(found)
    return found


@functools.cache
def operators() -> Any:
    """The library of native/operators.c."""
    include = [f"-I{CORE}", f"-I{CORE / 'include'}"]
    options = ("-std=c11", "-O3", "-D_GNU_SOURCE", "-shared", "-fPIC", *include, "-lc")
    return own.dlopen(str(built("operators.so", "operators.c", "cc", *options)))


def pointer(of: Any) -> Any:
    """A pointer of the package's, for a function of operators()."""
    return own.cast("void *", int(ffi.cast("intptr_t", of)))


@functools.cache
def turns_per_ns() -> float:
    """How fast the body turns here; the best of several, taken once for the whole run."""
    turns = np.full(1, 2_000_000, dtype=np.int64)
    return float(turns[0] / min(bodies(turns) for _ in range(20)) / 1e9)


def bodies(turns: np.ndarray[Any, np.dtype[np.int64]]) -> float:
    """Seconds that the bodies take, one after the other and nothing between them."""
    data = own.from_buffer("int64_t[]", turns)
    return float(operators().bench_bodies(data, len(turns)) / 1e9)


def in_turns(costs: Costs, grain_ns: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The turns of each task's loop, for costs of mean 1."""
    if grain_ns == 0:
        return np.zeros(len(costs), dtype=np.int64)
    return np.rint(costs * grain_ns * turns_per_ns()).astype(np.int64)


def new_graph(graph: Graph) -> Any:
    """The graph as C holds it."""
    made = ffi.new("c2_graph **")
    tails = ffi.from_buffer("int32_t[]", graph.tails)
    heads = ffi.from_buffer("int32_t[]", graph.heads)
    status = lib.c2_graph_of_edges(graph.n, len(graph.tails), tails, heads, made)
    assert status == 0
    return ffi.gc(made[0], lib.c2_graph_free)


class Net:
    """A net of native operators on a graph, as C holds it: each with a kernel and a handle of its
    own, or alike, on the elements of `turns`."""

    def __init__(self, graph: Graph, turns: np.ndarray[Any, np.dtype[np.int64]],
                 dependencies: Any = None, alike: bool = False) -> None:  # fmt: skip
        self.n = graph.n
        self.graph = new_graph(graph) if dependencies is None else dependencies
        if alike:
            self._turns = own.from_buffer("int64_t[]", turns)
            how = pointer(ffi.addressof(lib, "c2_net_alike"))
            made = operators().bench_alike(how, graph.n, self._turns)
            net = ffi.cast("c2_net *", int(own.cast("intptr_t", made)))
        else:
            net = lib.c2_net_new(graph.n)
        self.net = ffi.gc(net, lib.c2_net_free)
        if not alike:
            self.fill(turns)

    def fill(self, turns: np.ndarray[Any, np.dtype[np.int64]]) -> None:
        """Make the operators."""
        data = own.from_buffer("int64_t[]", turns)
        set_ = pointer(ffi.addressof(lib, "c2_net_set"))
        assert operators().bench_fill(set_, pointer(self.net), self.n, data) == 0

    def simple(self, count: int = 1) -> float:
        """Seconds of so many runs of the simple executor."""
        return self.time("c2_net_run", self.net, count)

    def executor(self, workers: int, mode: str = "auto") -> Executor:
        return Executor(self, workers, mode)

    def time(self, function: str, what: Any, count: int, stopped: bool = False) -> float:
        """Seconds of so many calls of c2_net_run or c2_async_run."""
        run = pointer(ffi.addressof(lib, function))
        took = int(operators().bench_runs(run, pointer(what), count, stopped))
        assert took >= 0, f"{function} failed"
        return took / 1e9


class Executor:
    """The net on several workers. Its first two runs measure the costs, also where the mode is
    then given: a schedule is compiled for costs."""

    def __init__(self, net: Net, workers: int, mode: str) -> None:
        self.net = net
        self.mode = mode
        self.one = ffi.gc(lib.c2_async_new(net.net, net.graph, workers), lib.c2_async_free)

    def warm(self, least: int, wanted: float) -> Executor:
        """Run it `least` times, fewer where they take seconds, more where they are short: up to
        200, for `wanted` seconds. Then the trials of the ways to run it are over."""
        self.run(2)
        lib.c2_async_mode(self.one, MODES[self.mode])
        took, runs = 0.0, 0
        while runs < (least if took < 2 else min(least, 12)) or (runs < 200 and took < wanted):
            took += self.run()
            runs += 1
        return self

    def compile(self) -> float:
        """Seconds for the schedule, after the first run has measured the costs."""
        self.run()
        lib.c2_async_mode(self.one, lib.C2_MODE_STATIC)
        return self.net.time("c2_async_run", self.one, 1, stopped=True)

    def run(self, count: int = 1) -> float:
        """Seconds of so many runs."""
        return self.net.time("c2_async_run", self.one, count)


PEERS = {
    "oneTBB task_group": ("tbb", "task_group"),
    "oneTBB flow graph": ("tbb", "flow_graph"),
    "OpenMP task depend": ("openmp", "task_depend"),
}
OPTIONS = {"tbb": "-ltbb", "openmp": "-fopenmp"}


class Peer:
    """A process that runs the graph with another library. A context manager."""

    def __init__(self, name: str, workers: int, graph: Graph,
                 turns: np.ndarray[Any, np.dtype[np.int64]]) -> None:  # fmt: skip
        library, system = PEERS[name]
        flags = ("-std=c++17", "-O3", "-fopenmp" if library == "openmp" else "-pthread")
        program = built(f"peer_{library}", f"peer_{library}.cpp", "g++", *flags, OPTIONS[library])
        file = folder() / "graph"
        graph.save(file, turns)
        self._process = subprocess.Popen(
            [program, system, str(workers), str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.build_ns, self.build_bytes = (int(word) for word in self._read().split())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer ended with status {self._process.wait()}")
        return line

    def _ask(self, line: str) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return int(self._read())

    def run(self, count: int = 1, idle_ns: int = 0) -> float:
        """Seconds of so many runs."""
        return self._ask(f"run {count} {idle_ns}") / 1e9

    def even(self, turns: int) -> None:
        """The same cost for every task from now on."""
        self._ask(f"even {turns}")

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def settle() -> None:
    """After a round of a peer."""
    time.sleep(SETTLE)
