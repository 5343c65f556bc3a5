"""How AtomicArray.add_at went about it, as ``explain=True`` tells."""

from dataclasses import dataclass
from typing import Any, Literal

from caffe2op._core import lib

Method = Literal["auto", "direct", "private", "cached"]

CODES: dict[str, int] = {
    "auto": lib.C2_ADD_AUTO,
    "direct": lib.C2_ADD_DIRECT,
    "private": lib.C2_ADD_PRIVATE,
    "cached": lib.C2_ADD_CACHED,
}
_NAMES = {code: name for name, code in CODES.items()}


@dataclass(frozen=True)
class AddReport:
    """What one call of :meth:`AtomicArray.add_at` did."""

    method: str
    """"direct", "private" or "cached"."""
    threads: int
    """How many threads took part, the caller's among them."""
    writers: int
    """How many threads were at work in add_at in this process when it began, its own included."""
    repeated: float | None
    """The share of a sample of the indices that had come in it before: near 0 where they fall
    evenly on a large array, 0.5 where every second add is to one of few hot elements. None where
    the choice needed no sample."""
    scratch: int
    """Bytes that were allocated for the call."""

    @classmethod
    def _of(cls, report: Any) -> "AddReport":
        return cls(
            _NAMES[report.method],
            report.threads,
            report.writers,
            None if report.repeated < 0 else report.repeated,
            report.scratch,
        )
