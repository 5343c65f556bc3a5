"""SharedArray: names, views that travel, files that are refused, and what is left behind."""

import os
import pickle
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import crews
import numpy as np
import pytest

from caffe2op.atomics import AtomicArray, AtomicBool, Mutex, SharedArray, segment

pytestmark = pytest.mark.usefixtures("directory")


def names(directory: Path) -> list[str]:
    return sorted(path.name.removeprefix("caffe2op.") for path in directory.iterdir())


# ---- create and attach ----


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [(5, np.int64), ((), np.float32), ((2, 3), np.bool_), ([4, 1, 2], "u2"), ((1,) * 8, float)],
)
def test_what_is_attached_is_what_was_created(shape: Any, dtype: Any) -> None:
    expected = np.zeros(shape, dtype)
    with SharedArray.create(shape, dtype) as made:
        found = SharedArray.attach(made.name)
        for shared in (made, found):
            assert shared.array.dtype == expected.dtype
            assert shared.array.shape == expected.shape
            assert not shared.array.any()
            assert shared.array.ctypes.data % 64 == 0
            assert shared.array.flags.writeable
        made.array[...] = 1
        assert found.array.all()
        assert found.array.ctypes.data != made.array.ctypes.data  # two mappings of one memory


def test_a_name_of_ones_own(directory: Path) -> None:
    with SharedArray.create(3, np.int8, name="my-weights_1.0") as made:
        assert made.name == "my-weights_1.0"
        assert names(directory) == ["my-weights_1.0"]
        mode = os.stat(directory / "caffe2op.my-weights_1.0")
        assert stat.S_IMODE(mode.st_mode) == 0o600
        with pytest.raises(FileExistsError, match=r"'my-weights_1.0' is taken"):
            SharedArray.create(3, np.int8, name="my-weights_1.0")
        made.array[0] = 7
        assert SharedArray.attach("my-weights_1.0").array[0] == 7
    assert names(directory) == []
    with pytest.raises(FileNotFoundError, match=r"my-weights"):
        SharedArray.attach("my-weights_1.0")


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".hidden", "-x", "a/b", "/etc/passwd", "a\0b", "a b", "é", "a" * 201]
)
def test_names_that_are_refused(directory: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"^name: .*accepted: 1 to 200"):
        SharedArray.create(1, int, name)
    with pytest.raises(ValueError, match=r"^name: .*accepted: 1 to 200"):
        SharedArray.attach(name)
    assert names(directory) == []


def test_other_arguments_that_are_refused(directory: Path) -> None:
    with pytest.raises(ValueError, match=r"'auto-'"):
        SharedArray.create(1, int, name="auto-mine")
    with pytest.raises(TypeError, match=r"^name: int"):
        SharedArray.create(1, int, name=3)  # type: ignore[arg-type]
    for shape in (0, -1, (2, 0), (1,) * 9):
        with pytest.raises(ValueError, match=r"^shape: "):
            SharedArray.create(shape, int)
    for not_a_shape in (1.5, "3", None, (2, "x")):
        with pytest.raises(TypeError, match=r"^shape: "):
            SharedArray.create(not_a_shape, int)  # type: ignore[arg-type]
    for dtype in (object, complex, "S3", "no dtype", None):
        with pytest.raises(TypeError, match=r"dtype"):
            SharedArray.create(1, dtype)
    assert names(directory) == []


def test_too_much_memory_is_an_error_at_once(directory: Path) -> None:
    with pytest.raises(OSError, match=r"^.*shape: .*bytes of shared memory"):
        SharedArray.create(1 << 59, np.int64)
    with pytest.raises(ValueError, match=r"more than can exist"):
        SharedArray.create((1 << 40, 1 << 40), np.int64)
    assert names(directory) == []


def test_the_directory_is_the_systems(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    assert segment.directory() in (Path("/dev/shm"), Path(tempfile.gettempdir()))
    monkeypatch.setattr(Path, "is_dir", lambda self: False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    assert segment.directory() == tmp_path


# ---- views that travel ----


def test_views_share_the_memory_here_and_after_a_journey() -> None:
    with (
        SharedArray.create((2, 2), np.int64) as numbers,
        SharedArray.create(3, np.bool_) as bools,
    ):
        atomic, mutex, flag = numbers.atomic(), numbers.mutex(-1), bools.boolean(1)
        for view, kind in ((atomic, AtomicArray), (mutex, Mutex), (flag, AtomicBool)):
            assert isinstance(view, kind)
        again = pickle.loads(pickle.dumps((numbers, atomic, mutex, flag)))
        again[0].array[0, 0] = 5
        assert again[1].fetch_add((0, 0), 1) == 5
        assert atomic.load(0) == 6
        with again[2]:
            assert mutex.locked()
            assert numbers.array[1, 1] != 0
        assert again[3].set_if(True)
        assert bools.array.tolist() == [False, True, False]
        twice = pickle.loads(pickle.dumps(again[2]))  # goes on travelling
        with mutex:
            assert twice.locked()


def test_views_that_an_array_cannot_have() -> None:
    with SharedArray.create(2, np.int32) as shared:
        with pytest.raises(TypeError, match=r"^mutex: this array is of int32; accepted: int64"):
            shared.mutex()
        with pytest.raises(TypeError, match=r"^boolean: .*accepted: bool"):
            shared.boolean()
    with SharedArray.create((2, 2), np.uint64) as shared:
        for index in (4, -5):
            with pytest.raises(IndexError, match=r"^index: .*accepted: -4\.\.3"):
                shared.mutex(index)
        with pytest.raises(TypeError, match=r"^index: float given; accepted: an int"):
            shared.mutex(0.0)  # type: ignore[arg-type]


def test_views_outlive_the_close_of_their_array(directory: Path) -> None:
    shared = SharedArray.create(2, np.int64)
    atomic, plain = shared.atomic(), shared.array
    shared.close()
    shared.close()
    assert names(directory) == []
    atomic.store(1, 9)
    assert plain.tolist() == [0, 9]
    assert "closed" in repr(shared)
    with pytest.raises(ValueError, match=r"closed"):
        _ = shared.array
    for unpicklable in (shared, atomic):
        with pytest.raises(ValueError, match=r"closed"):
            pickle.dumps(unpicklable)


def test_repr() -> None:
    with SharedArray.create((2, 3), np.float32, name="x") as shared:
        assert repr(shared) == "<SharedArray 'x' of float32, shape (2, 3)>"


# ---- cleaning up ----


def test_the_name_goes_with_the_creators_object_only(directory: Path) -> None:
    shared = SharedArray.create(1, int)
    for attached in (SharedArray.attach(shared.name), pickle.loads(pickle.dumps(shared))):
        attached.close()
    view = shared.atomic()
    assert names(directory) == [shared.name]
    del shared
    assert len(names(directory)) == 1  # the view holds it
    del view
    assert names(directory) == []


def test_unlink_keeps_those_who_are_attached(directory: Path) -> None:
    shared = SharedArray.create(1, int, name="x")
    found = SharedArray.attach("x")
    found.unlink()
    found.unlink()
    assert names(directory) == []
    found.array[0] = 3
    assert shared.array[0] == 3
    successor = SharedArray.create(1, int, name="x")
    shared.close()  # must not remove the other one's name
    assert names(directory) == ["x"]
    successor.close()
    assert names(directory) == []


def close_and_end(shared: SharedArray, kept: list[Any]) -> None:
    shared.close()
    kept.clear()


def test_a_forked_child_does_not_remove_its_parents_name(directory: Path) -> None:
    shared = SharedArray.create(1, int)
    crews.run("fork", lambda number: close_and_end(shared, [shared]), workers=1)
    assert names(directory) == [shared.name]
    shared.close()


SCRIPT = """
import sys, time
from pathlib import Path
from caffe2op.atomics import SharedArray, segment
segment.directory = lambda: Path(sys.argv[1])
shared = SharedArray.create(4, "i4")
print(shared.name, flush=True)
if sys.argv[2] == "stay":
    sys.stdin.read()
if sys.argv[2] == "raise":
    raise SystemExit(3)
"""


@pytest.fixture
def process(directory: Path) -> Iterator[Any]:
    """Starts a process that creates an array: (process, the name)."""
    started: list[subprocess.Popen[str]] = []

    def start(then: str) -> tuple[subprocess.Popen[str], str]:
        command = [sys.executable, "-c", SCRIPT, str(directory), then]
        popen = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(popen)
        assert popen.stdout
        return popen, popen.stdout.readline().strip()

    yield start
    for popen in started:
        popen.kill()
        popen.communicate()


@pytest.mark.parametrize("then", ["end", "raise"])
def test_a_process_that_ends_leaves_nothing(directory: Path, process: Any, then: str) -> None:
    popen, name = process(then)
    popen.wait()
    assert name.startswith("auto-")
    assert names(directory) == []


def test_the_next_one_cleans_up_after_a_killed_process(directory: Path, process: Any) -> None:
    popen, name = process("stay")
    found = SharedArray.attach(name)
    with SharedArray.create(1, int) as mine:
        assert names(directory) == sorted([name, mine.name])  # it lives
    popen.send_signal(signal.SIGKILL)
    popen.wait()
    assert names(directory) == [name]
    found.array[0] = 1  # its memory is still good
    with SharedArray.create(1, int) as mine:
        assert names(directory) == [mine.name]


def test_what_is_nobodys_leftover_stays(directory: Path) -> None:
    with SharedArray.create(1, int) as mine:
        _, space, pid, start, _ = mine.name.split("-")
        other_space = f"caffe2op.auto-{int(space) + 1}-{pid}-{int(start) + 1}-{'0' * 16}"
        foreign = f"auto-{space}-{pid}-{int(start) + 1}-{'0' * 16}"  # without our prefix
        named = "caffe2op.mine"
        earlier = f"caffe2op.auto-{space}-{pid}-{int(start) + 1}-{'0' * 16}"  # had our pid
        for file in (other_space, foreign, named, earlier):
            (directory / file).touch()
        with SharedArray.create(1, int):
            pass
        for file in (other_space, foreign, named):
            assert (directory / file).exists()
        assert (directory / earlier).exists() == (int(start) == 0)
