"""Devices: an operator runs on its device's workers only."""

import os
import threading

import pytest

from caffe2op import core, workspace
from caffe2op.asyncnet import AsyncNet

GUI = core.DeviceOption(node_name="gui")


def net_on(where: dict[str, set[str]], n: int = 30) -> core.Net:
    """Independent operators on cpu:0, cpu:1 and gui that note the thread they run on."""
    net = core.Net("placed")
    options = [core.DeviceOption(0, 0), core.DeviceOption(0, 1), GUI]
    for k in range(n):
        name = ("cpu:0", "cpu:1", "gui")[k % 3]

        def note(inputs: list, outputs: list, name: str = name) -> None:
            where.setdefault(name, set()).add(
                threading.current_thread().name + f" {threading.get_native_id()}"
            )
            outputs[0].feed(1)

        net.Python(note)([], f"x{k}", device_option=options[k % 3])
    return net


def test_workers_of_devices_are_distinct() -> None:
    where: dict[str, set[str]] = {}
    made = AsyncNet(net_on(where), devices={"cpu:0": "caller", "cpu:1": 1, "gui": "thread"})
    made.run()
    me = f"{threading.current_thread().name} {threading.get_native_id()}"
    assert where["cpu:0"] == {me}
    assert len(where["cpu:1"]) == 1
    assert me not in where["cpu:1"]
    assert [name.split()[0] for name in where["gui"]] == ["gui"]
    gui = set(where["gui"])
    for _ in range(10):
        made.run()
        assert me not in where["cpu:1"]
    assert where["cpu:0"] == {me}
    assert where["gui"] == gui
    made.close()


def test_submitted_runs_share_the_named_thread() -> None:
    where: dict[str, set[str]] = {}
    made = AsyncNet(net_on(where), devices={"cpu:0": 1, "cpu:1": 2, "gui": "thread"})
    for future in [made.submit() for _ in range(10)]:
        assert len(future.result()) == 30
    assert len(where["gui"]) == 1
    made.close()


def test_a_device_has_no_more_workers_than_it_says() -> None:
    running = [0]
    most = [0]
    lock = threading.Lock()
    pause = threading.Event()

    def work() -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        pause.wait(0.002)
        with lock:
            running[0] -= 1

    functions = {f"f{k}": work for k in range(12)}
    made = AsyncNet.from_functions(
        functions, devices={"slow": 1, "cpu:0": 3}, device_of=dict.fromkeys(functions, "slow")
    )
    made.run()
    assert most[0] == 1
    assert made.workers == 4


def test_edges_between_devices_hold() -> None:
    names = [f"f{k}" for k in range(40)]
    functions = {name: (lambda *given: sum(given) + 1) for name in names}
    made = AsyncNet.from_functions(
        functions,
        [(names[k], names[k + 1]) for k in range(39)],
        devices={"a": "caller", "b": 1, "c": "thread"},
        device_of={name: "abc"[k % 3] for k, name in enumerate(names)},
    )
    for _ in range(20):
        assert made.run() == {"f39": 40}


def test_error_on_the_named_thread() -> None:
    def fail() -> None:
        raise ValueError("on the other thread")

    made = AsyncNet.from_functions({"f": fail}, devices={"t": "thread"}, device_of={"f": "t"})
    for _ in range(3):
        with pytest.raises(ValueError, match="on the other thread"):
            made.run()


def test_devices_are_checked() -> None:
    net = net_on({}, 3)
    with pytest.raises(ValueError, match="an operator is on device 'gui', which devices does not"):
        AsyncNet(net, devices={"cpu:0": 1, "cpu:1": 1})
    with pytest.raises(ValueError, match="'cpu:0' and 'cpu:1' both have the caller"):
        AsyncNet(net, devices={"cpu:0": "caller", "cpu:1": "caller", "gui": 1})
    for value in (0, -1, 1.5, True, "callers"):
        with pytest.raises(ValueError, match="device 'gui' must have"):
            AsyncNet(net, devices={"cpu:0": 1, "cpu:1": 1, "gui": value})
    native = core.Net("native")
    workspace.FeedBlob("x", 1.0)
    native.Copy("x", "y", device_option=GUI)
    with pytest.raises(ValueError, match="operator Copy is native and on device 'gui', a thread"):
        AsyncNet(native, devices={"gui": "thread"})
    with pytest.raises(ValueError, match="device_of: there is no function 'g'"):
        AsyncNet.from_functions({"f": print}, devices={"cpu:0": 1}, device_of={"g": "cpu:0"})


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no processors to choose")
def test_workers_stay_on_their_processors() -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("one processor: nothing to choose")
    names = [f"f{k}" for k in range(20)]
    functions = {name: lambda: os.sched_getaffinity(0) for name in names}
    made = AsyncNet.from_functions(
        functions,
        devices={
            "a": {"workers": 1, "cpus": [cpus[0]]},
            "b": {"workers": 2, "cpus": cpus[1:]},
            "c": 1,
        },
        device_of={name: "abc"[k % 3] for k, name in enumerate(names)},
    )
    assert made.workers == 4
    for _ in range(5):
        found = made.run()
        for k, name in enumerate(names):
            assert found[name] == ({cpus[0]}, set(cpus[1:]), set(cpus))[k % 3]
    # The threads are everybody's: they go back with all processors.
    free = AsyncNet.from_functions(functions, devices={"cpu:0": 4})
    for _ in range(5):
        assert all(found == set(cpus) for found in free.run().values())
    assert os.sched_getaffinity(0) == set(cpus)


def test_processors_are_checked() -> None:
    def make(value: object) -> None:
        AsyncNet.from_functions({"f": print}, devices={"cpu:0": value})

    cpu = min(os.sched_getaffinity(0))
    for cpus in ([], [5000], [-1], [cpu, "1"], [True], "0", None):
        with pytest.raises(ValueError, match="device 'cpu:0': cpus must be some of the processors"):
            make({"workers": 1, "cpus": cpus})
    for workers in (0, 1.5, "caller", "thread"):
        with pytest.raises(ValueError, match="device 'cpu:0' must have 1 to 256 workers"):
            make({"workers": workers, "cpus": [cpu]})
    with pytest.raises(ValueError, match="device 'cpu:0' must be"):
        make({"worker": 1, "cpus": [cpu]})
