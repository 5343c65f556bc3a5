"""command_line.py: what is accepted; and Ctrl-C, as a terminal sends it: to every process."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from caffe2op.examples import command_line

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("read", "accepted", "refused"),
    [
        (command_line.positive_int, {"1": 1, "077": 77}, ["0", "-1", "1.0", "", "x", "1e3"]),
        (command_line.seed, {"0": 0, "5": 5}, ["-1", "0.0"]),
        (command_line.whole_number(2, 4), {"2": 2, "4": 4}, ["1", "5"]),
        (command_line.positive, {"0.5": 0.5, "1e3": 1000.0}, ["0", "-1", "inf", "nan", "x"]),
        (command_line.not_negative, {"0": 0.0, "2": 2.0}, ["-0.1", "inf", "nan"]),
    ],
)
def test_values(read: Callable[[str], Any], accepted: dict[str, Any], refused: list[str]) -> None:
    for text, value in accepted.items():
        assert read(text) == value
    for text in refused:
        with pytest.raises(argparse.ArgumentTypeError, match=f"must be .*, got '{text}'"):
            read(text)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none/x.png", "there is no directory"),
        ("folder", "is a directory"),
        ("x", "must end in one of .png"),
        ("x.unknown", "must end in one of .png"),
    ],
)
def test_no_picture_there(
    name: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(SystemExit) as ended:
        command_line.check_picture(argparse.ArgumentParser(), tmp_path / name)
    assert ended.value.code == 2
    assert f"--plot: {'the name ' if words.startswith('must') else ''}" in (
        said := capsys.readouterr().err
    )
    assert words in said
    command_line.check_picture(argparse.ArgumentParser(), tmp_path / "x.PNG")


def test_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    @command_line.interruptible
    def main(status: int | None) -> int:
        if status is None:
            raise KeyboardInterrupt
        return status

    assert main(3) == 3
    assert main(None) == 130
    assert capsys.readouterr().err == "interrupted\n"


# A program that trains as the examples do, for hours, and says when it has begun.
HOGWILD = """
from contextlib import contextmanager
from dataclasses import replace
from threading import Thread
import time
from test_hogwild import SETTINGS, small
from caffe2op.examples import {module} as way

@contextmanager
def watch(cursor):
    def tell():
        while cursor[0] == 0:
            time.sleep(0.001)
        print("begun", flush=True)
    Thread(target=tell, daemon=True).start()
    yield

def train():
    way.train(small(), replace(SETTINGS, epochs=10**6, runner="{runner}"), watch)
"""
MLP = """
from test_mlp import settings
from caffe2op.examples import mlp_processes, mlp_training
from caffe2op.examples.datasets import Images
import numpy as np
data = Images(np.zeros((96, 20), np.float32), np.zeros(96, np.int32),
              np.zeros((9, 20), np.float32), np.zeros(9, np.int32))
looked, accuracy = [], mlp_training.accuracy

def look(*given):
    looked.append(1)
    if len(looked) == 3:
        print("begun", flush=True)
    return accuracy(*given)

mlp_training.accuracy = look

def train():
    mlp_processes.train_{way}(data, settings(2, epochs=10**5))
"""
END = """
from caffe2op.examples.command_line import interruptible
import sys
sys.exit(interruptible(train)())
"""
PROGRAMS = {
    "hogwild, asyncnet": HOGWILD.format(module="training", runner="asyncnet"),
    "hogwild, plan": HOGWILD.format(module="training", runner="plan"),
    "hogwild, processes": HOGWILD.format(module="processes", runner="asyncnet"),
    "mlp, synchronous processes": MLP.format(way="sync"),
    "mlp, asynchronous processes": MLP.format(way="async"),
}


def alive(group: int) -> list[str]:
    """Processes of the group that are no zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, of_group = path.read_text().rsplit(")", 1)[1].split()[:3]
        except OSError:  # it ended meanwhile
            continue
        if int(of_group) == group and state != "Z":
            found.append(path.parent.name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="it looks into /proc")
@pytest.mark.parametrize("program", PROGRAMS)
def test_ctrl_c_leaves_nothing_behind(program: str) -> None:
    shared = Path("/dev/shm")
    child = subprocess.Popen(
        [sys.executable, "-c", PROGRAMS[program] + END],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])},
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n", child.communicate()[1]
        if "processes" in program:
            assert list(shared.glob(f"caffe2op.*-{child.pid}-*"))  # or the last line says nothing
        os.killpg(child.pid, signal.SIGINT)
        _, said = child.communicate(timeout=60)
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
    assert (child.returncode, said) == (130, "interrupted\n")
    until = time.monotonic() + 20  # the resource tracker ends when it sees that its parent has
    while alive(child.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert not alive(child.pid)
    assert not list(shared.glob(f"caffe2op.*-{child.pid}-*"))
