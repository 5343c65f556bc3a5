"""The one place that turns the statuses of C (``enum c2_status``) into Python exceptions.

C returns a status and never raises; whoever calls C hands the status to :func:`check` together
with the words that only the caller knows (which operation, which argument, which blob).
"""

from typing import NamedTuple

from ._native import lib


class OwnerDiedError(RuntimeError):
    """The mutex was taken, and its last owner died with it.

    The caller holds the mutex now, and must release it; what the mutex protects may be half
    changed.
    """


class _Meaning(NamedTuple):
    exception: type[Exception]
    text: str


_MEANINGS: dict[int, _Meaning] = {
    lib.C2_TIMEOUT: _Meaning(TimeoutError, "the deadline passed"),
    lib.C2_INTERRUPTED: _Meaning(InterruptedError, "a signal arrived"),
    lib.C2_OWNER_DIED: _Meaning(OwnerDiedError, "the last owner died while it held the lock"),
    lib.C2_NOT_OWNER: _Meaning(RuntimeError, "released by a thread that does not hold it"),
    lib.C2_BUSY: _Meaning(RuntimeError, "it would have to wait"),
    lib.C2_DEADLOCK: _Meaning(RuntimeError, "this thread holds it already and would wait for ever"),
    lib.C2_INDEX: _Meaning(IndexError, "an index is out of range"),
    lib.C2_VALUE: _Meaning(ValueError, "a value is not accepted"),
    lib.C2_TYPE: _Meaning(TypeError, "a type or dtype is not accepted"),
    lib.C2_SHAPE: _Meaning(ValueError, "shapes do not fit together"),
    lib.C2_OVERFLOW: _Meaning(OverflowError, "a result does not fit its type"),
    lib.C2_NO_MEMORY: _Meaning(MemoryError, "out of memory"),
    lib.C2_CLOSED: _Meaning(RuntimeError, "the queue is closed"),
    lib.C2_FAILED: _Meaning(RuntimeError, "an operator reported failure"),
    lib.C2_STOPPED: _Meaning(RuntimeError, "the run was stopped"),
    lib.C2_PYTHON: _Meaning(RuntimeError, "a Python operator raised"),
    lib.C2_SYSTEM: _Meaning(OSError, "the operating system refused"),
    lib.C2_ALIGNMENT: _Meaning(ValueError, "memory is not aligned to its element size"),
}


def error(status: int, message: str = "") -> Exception:
    """The exception that ``status`` stands for, not raised.

    ``message`` says what was given and what is accepted; without it the status's own words
    stand alone. A status that is none of ``enum c2_status`` gives a RuntimeError.
    """
    exception, text = _MEANINGS.get(status, _Meaning(RuntimeError, f"unknown status {status}"))
    return exception(message or text)


def check(status: int, message: str = "") -> None:
    """Raise :func:`error` unless ``status`` is ``C2_OK``."""
    if status:
        raise error(status, message)
