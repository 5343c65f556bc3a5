"""The files behind SharedArray: which are refused, and who may open them."""

import math
import os
import stat
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from caffe2op.atomics import SharedArray, segment

pytestmark = pytest.mark.usefixtures("directory")


HEADER = struct.Struct("=8sIIIIQQ8Q")
DATA = 128


def header(**changes: Any) -> bytes:
    """Of a sound int32 array of shape (2, 3), with changes."""
    fields: dict[str, Any] = {
        "magic": b"caffe2op", "version": 1, "code": 3, "ndim": 2, "zero": 0,
        "data": DATA, "total": DATA + 24, "shape": (2, 3, 0, 0, 0, 0, 0, 0),
    }  # fmt: skip
    fields |= changes
    *plain, shape = fields.values()
    return HEADER.pack(*plain, *shape)


def put(directory: Path, content: bytes, size: int = DATA + 24) -> None:
    path = directory / "caffe2op.x"
    path.write_bytes(content.ljust(size, b"\0")[: max(size, 0)])
    path.chmod(0o600)


def test_the_header_above_is_a_sound_one(directory: Path) -> None:
    put(directory, header())
    assert SharedArray.attach("x").array.shape == (2, 3)
    with SharedArray.create((2, 3), np.int32, name="y"):
        assert (directory / "caffe2op.y").read_bytes()[: HEADER.size] == header()


@pytest.mark.parametrize(
    ("content", "size", "words"),
    [
        (b"", 0, "not a shared array"),
        (b"", 4096, "not a shared array"),
        (b"#!/bin/sh", 4096, "not a shared array"),
        (header(magic=b"caffe2oq"), DATA + 24, "not a shared array"),
        (header()[:-1], HEADER.size - 1, "not a shared array"),
        (header(version=2), DATA + 24, "format 2; accepted: 1"),
        (header(), DATA + 23, "damaged"),
        (header(), DATA + 25, "damaged"),
        (header(), HEADER.size, "damaged"),
        (header(code=11), DATA + 24, "damaged"),
        (header(code=2**32 - 1), DATA + 24, "damaged"),
        (header(code=4), DATA + 24, "damaged"),
        (header(ndim=1), DATA + 24, "damaged"),
        (header(ndim=3), DATA + 24, "damaged"),
        (header(ndim=9), DATA + 24, "damaged"),
        (header(ndim=2**32 - 1), DATA + 24, "damaged"),
        (header(zero=1), DATA + 24, "damaged"),
        (header(data=0), DATA + 24, "damaged"),
        (header(data=DATA + 1), DATA + 24, "damaged"),
        (header(total=DATA), DATA, "damaged"),
        (header(shape=(0, 3, 0, 0, 0, 0, 0, 0), total=DATA), DATA, "damaged"),
        # in 64 bits these products wrap around to what fits the file
        (header(shape=(2**63, 2, 0, 0, 0, 0, 0, 0), total=DATA), DATA, "damaged"),
        (header(shape=(2**62 + 6, 1, 0, 0, 0, 0, 0, 0)), DATA + 24, "damaged"),
    ],
)
def test_files_that_are_not_sound(directory: Path, content: bytes, size: int, words: str) -> None:
    put(directory, content, size)
    with pytest.raises(ValueError, match=f"^name: 'x' .*{words}"):
        SharedArray.attach("x")


@settings(max_examples=200, deadline=None)
@given(place=st.integers(0, HEADER.size - 1), value=st.integers(0, 255))
def test_a_changed_byte_is_refused_or_harmless(place: int, value: int) -> None:
    changed = bytearray(header())
    changed[place] = value
    path = Path(segment.path_of("x"))
    put(path.parent, bytes(changed))
    try:
        array = SharedArray.attach("x").array
    except ValueError:
        assert bytes(changed) != header()
    else:  # at most another dtype of the same size
        assert array.nbytes == math.prod(array.shape) * array.itemsize == 24


EDGES = st.sampled_from([0, 1, 2, 3, 8, 9, 2**31, 2**32 - 1, 2**32, 2**61, 2**63, 2**64 - 1])


@settings(max_examples=300, deadline=None)
@given(
    fields=st.tuples(*[st.integers(0, 2**32 - 1) | EDGES.map(lambda n: n % 2**32)] * 4),
    data=st.sampled_from([0, DATA, DATA + 1, 2**64 - DATA]) | st.integers(0, 2**64 - 1),
    shape=st.lists(EDGES | st.integers(0, 2**64 - 1), min_size=8, max_size=8),
    size=st.integers(0, 3 * DATA),
    honest=st.booleans(),
)
def test_hostile_headers_are_refused_or_fit_their_file(
    fields: tuple[int, ...], data: int, shape: list[int], size: int, honest: bool
) -> None:
    """Whole headers of a liar, who knows the magic and how long the file is."""
    version, code, ndim, zero = fields if not honest else (1, fields[1] % 12, fields[2] % 10, 0)
    total = size if honest else shape[0]
    where = DATA if honest else data
    path = Path(segment.path_of("x"))
    put(
        path.parent, HEADER.pack(b"caffe2op", version, code, ndim, zero, where, total, *shape), size
    )
    try:
        shared = SharedArray.attach("x")
    except ValueError:
        return
    assert 0 < shared.array.nbytes == size - DATA
    assert math.prod(shape[:ndim]) * shared.array.itemsize == size - DATA


@pytest.mark.parametrize("mode", [0o660, 0o606, 0o644, 0o601, 0o666])
def test_files_that_others_may_open(directory: Path, mode: int) -> None:
    put(directory, header())
    (directory / "caffe2op.x").chmod(mode)
    with pytest.raises(PermissionError, match=rf"'x' has mode {mode:04o}.*accepted: 0600"):
        SharedArray.attach("x")


def test_a_segment_is_private_whatever_the_umask(directory: Path) -> None:
    before = os.umask(0)
    try:
        with SharedArray.create(1, int):
            (path,) = directory.iterdir()
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


def test_a_link_that_is_there_is_neither_followed_nor_replaced(
    directory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Also not by the clean-up, and a dangling one neither."""
    target = tmp_path_factory.mktemp("elsewhere") / "target"
    target.write_bytes(b"precious")
    dead = "caffe2op.auto-" + "-".join([str(os.stat("/proc/self/ns/pid").st_ino), "1" * 9, "1"])
    for name in ("caffe2op.x", f"{dead}-{'0' * 16}"):
        (directory / name).symlink_to(target)
    (directory / "caffe2op.y").symlink_to(directory / "nothing")
    for name in ("x", "y"):
        with pytest.raises(FileExistsError):
            SharedArray.create(1, int, name=name)
        with pytest.raises(ValueError, match="not a shared array"):
            SharedArray.attach(name)
    assert target.read_bytes() == b"precious"
    assert not (directory / "nothing").exists()


def test_what_is_not_a_plain_file_of_ours(directory: Path) -> None:
    real = directory / "real"
    real.write_bytes(header().ljust(DATA + 24, b"\0"))
    real.chmod(0o600)
    path = directory / "caffe2op.x"
    path.symlink_to(real)
    with pytest.raises(ValueError, match=r"not a shared array"):
        SharedArray.attach("x")
    with pytest.raises(FileExistsError):
        SharedArray.create(1, int, name="x")
    assert path.is_symlink()
    path.unlink()
    path.mkdir()
    with pytest.raises(ValueError, match=r"not a shared array"):
        SharedArray.attach("x")
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(ValueError, match=r"not a regular file"):
        SharedArray.attach("x")


def test_another_users_file(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(directory, header())
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(PermissionError, match=r"'x' belongs to another user"):
        SharedArray.attach("x")
