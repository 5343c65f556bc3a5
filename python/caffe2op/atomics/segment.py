"""Named segments of shared memory, each a file that says what array is in it.

A segment is made whole before it gets its name, so nobody attaches to a half-made one; its pages
are reserved then, so a full ``/dev/shm`` is an error and not a SIGBUS later. Nothing in a file
is believed: attaching checks the owner, the kind of file, and the header against the file's size.

What is believed is the user: whoever may open the file may also write to it, or cut it short,
which kills the processes that have it mapped. So a file that others than its owner may open is
refused too.

Names: the creator removes its own. A made-up name holds the creator's process id and start time,
so that whoever makes the next segment can tell and remove what a killed process left behind. Only
the creator's user may open a segment (mode 0600, no symbolic links followed).
"""

import contextlib
import math
import mmap
import os
import re
import secrets
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from caffe2op._core import dtypes

MOST_DIMENSIONS = 8  # as many as a blob has

# magic, version, dtype code, dimensions, 0, offset of the elements, bytes in all, shape.
# In native byte order: a machine of the other one does not share memory with this one.
_HEADER = struct.Struct("=8sIIIIQQ8Q")
_MAGIC = b"caffe2op"
_VERSION = 1
_ALIGNMENT = 64  # a cache line, and more than any element needs
_DATA = -(-_HEADER.size // _ALIGNMENT) * _ALIGNMENT

_PREFIX = "caffe2op."
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")
# pid namespace, process id, start time of the process (0: unknown), random
_MADE_UP = re.compile(r"auto-(\d{1,20})-(\d{1,10})-(\d{1,20})-[0-9a-f]{16}")


class Layout(NamedTuple):
    """What array a segment holds."""

    code: int
    """enum c2_dtype"""
    shape: tuple[int, ...]

    @property
    def total(self) -> int:
        """Bytes of the whole file."""
        return _DATA + math.prod(self.shape) * dtypes.from_code(self.code).itemsize


class Segment(NamedTuple):
    """An open segment: the array on its memory, and which file that is."""

    name: str
    array: npt.NDArray[Any]
    identity: tuple[int, int]
    """device and inode"""


def create(layout: Layout, name: str | None) -> Segment:
    """A new segment of zeros, under ``name`` or one that is made up.

    FileExistsError when the name is taken; ValueError for a name that is not accepted; OSError
    when the memory is not there.
    """
    given = name
    name = _made_up_name() if given is None else given
    path = path_of(name)
    if given is not None and given.startswith("auto-"):
        raise ValueError(f"name: {given!r} given; accepted: one that does not begin with 'auto-'")
    if layout.total > sys.maxsize:
        raise ValueError(f"shape: {layout.shape} needs {layout.total} bytes, more than can exist")
    _remove_leftovers()
    # Under another made-up name at first: a kill in between leaves one that will be removed.
    unfinished = path_of(_made_up_name())
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    file = os.open(unfinished, flags, 0o600)
    try:
        _reserve(file, layout)
        os.pwrite(file, _pack(layout), 0)
        segment = _map(file, name, layout)
        try:
            os.link(unfinished, path)  # never replaces
        except FileExistsError:
            raise FileExistsError(
                f"name: {name!r} is taken; attach to it, or give another name"
            ) from None
    finally:
        os.close(file)
        os.unlink(unfinished)
    return segment


def attach(name: str) -> Segment:
    """The segment of that name. FileNotFoundError when there is none, PermissionError for
    another user's, or one that others may open, ValueError for whatever is not a whole, sound
    segment of this version."""
    path = path_of(name)
    try:
        file = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileNotFoundError(f"name: there is no shared array {name!r}") from None
    except PermissionError:
        raise PermissionError(f"name: {name!r} belongs to another user") from None
    except OSError as reason:  # a symbolic link, a directory, a socket
        raise ValueError(f"name: {name!r} is not a shared array ({reason.strerror})") from None
    try:
        return _map(file, name, _read_layout(file, name))
    finally:
        os.close(file)


def remove(name: str, identity: tuple[int, int] | None = None) -> None:
    """Remove the name; with ``identity`` only where it still means that file. Nothing happens
    when it is gone already."""
    path = path_of(name)
    with contextlib.suppress(FileNotFoundError):
        if identity is None or _identity(os.lstat(path)) == identity:
            os.unlink(path)


def path_of(name: str) -> str:
    """The file of a segment. TypeError or ValueError for what is not a name."""
    # No Path for names that come and go: it interns them, and CPython 3.12 keeps such for ever.
    if not isinstance(name, str):
        raise TypeError(f"name: {type(name).__name__} given; accepted: str")
    if not _NAME.fullmatch(name):
        raise ValueError(
            f"name: {name!r} given; accepted: 1 to 200 ASCII letters, digits, '_', '-' or '.', "
            f"the first neither '-' nor '.'"
        )
    return os.path.join(directory(), _PREFIX + name)


def directory() -> Path:
    """Where segments are: the same for every process that shares one."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.R_OK | os.W_OK | os.X_OK)
    return memory if usable else Path(tempfile.gettempdir())


# ---- the file -----------------------------------------------------------------------------------


def _pack(layout: Layout) -> bytes:
    shape = layout.shape + (0,) * (MOST_DIMENSIONS - len(layout.shape))
    return _HEADER.pack(
        _MAGIC, _VERSION, layout.code, len(layout.shape), 0, _DATA, layout.total, *shape
    )


def _reserve(file: int, layout: Layout) -> None:
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, layout.total)
        else:
            os.ftruncate(file, layout.total)
    except OSError as reason:
        raise OSError(
            reason.errno,
            f"shape: {layout.shape} needs {layout.total} bytes of shared memory, and "
            f"{directory()} does not have them ({reason.strerror})",
        ) from None


def _read_layout(file: int, name: str) -> Layout:
    """What the header says, once it agrees with itself and with the file."""
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"name: {name!r} is not a shared array (not a regular file)")
    if status.st_uid != os.geteuid():
        raise PermissionError(f"name: {name!r} belongs to another user")
    if status.st_mode & 0o077:
        raise PermissionError(
            f"name: {name!r} has mode {stat.S_IMODE(status.st_mode):04o}, which lets other users "
            f"change it; accepted: 0600"
        )
    header = os.pread(file, _HEADER.size, 0)
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise ValueError(f"name: {name!r} is not a shared array of this package")
    _, version, code, ndim, zero, data, total, *shape = _HEADER.unpack(header)
    if version != _VERSION:
        raise ValueError(f"name: {name!r} has format {version}; accepted: {_VERSION}")
    layout = Layout(code, tuple(shape[:ndim]))
    # Python's integers do not overflow, so the product of any dimensions is what it is.
    sound = (
        code < len(dtypes.NAMES)
        and ndim <= MOST_DIMENSIONS
        and zero == 0
        and data == _DATA
        and math.prod(layout.shape) > 0
        and not any(shape[ndim:])
        and layout.total == total == status.st_size
    )
    if not sound:
        raise ValueError(f"name: {name!r} is damaged: its header does not fit the file")
    return layout


def _map(file: int, name: str, layout: Layout) -> Segment:
    """The array holds the mapping, which is given back with the last view."""
    memory = mmap.mmap(file, layout.total)
    count = math.prod(layout.shape)
    flat = np.frombuffer(memory, dtypes.from_code(layout.code), count, _DATA)
    return Segment(name, flat.reshape(layout.shape), _identity(os.fstat(file)))


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


# ---- made-up names, and what killed processes left behind ----------------------------------------


def _made_up_name() -> str:
    pid = os.getpid()
    return f"auto-{_pid_namespace()}-{pid}-{_start_time(pid)}-{secrets.token_hex(8)}"


def _pid_namespace() -> int:
    """Process ids of another one mean other processes. 0 where the system has no such thing."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _start_time(pid: int) -> int:
    """Of a process, in clock ticks since boot: a later one with the same id differs. 0: unknown."""
    try:
        if os.readlink("/proc/self") != str(os.getpid()):
            return 0  # another namespace's /proc
        # The command's name, in parentheses, may contain anything.
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            text = file.read()
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


def _remove_leftovers() -> None:
    """Remove made-up names of processes of this user and pid namespace that run no more."""
    here = _pid_namespace()
    # Other processes make and remove names meanwhile.
    with contextlib.suppress(OSError), os.scandir(directory()) as entries:
        for entry in entries:
            made_up = _MADE_UP.fullmatch(entry.name.removeprefix(_PREFIX))
            if not made_up or not entry.name.startswith(_PREFIX):
                continue
            namespace, pid, started = (int(part) for part in made_up.groups())
            if namespace == here and _has_ended(pid, started):
                with contextlib.suppress(OSError):
                    if entry.stat(follow_symlinks=False).st_uid == os.geteuid():
                        os.unlink(entry.path)


def _has_ended(pid: int, started: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False  # of another user now, or no id at all: leave it
    now = _start_time(pid)
    return started != 0 and now not in (0, started)
