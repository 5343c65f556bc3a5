"""What the C library does with freed memory, for processes that train.

A step of training allocates its activations and frees them at its end. glibc gives a large block,
and the free end of its heap, back to the system (mallopt(3): M_MMAP_THRESHOLD, M_TRIM_THRESHOLD),
and the next step gets the pages back one fault at a time, each zeroed by the kernel. Whether that
happens in a process depends on what lies behind the activations in its heap.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # <malloc.h>
_TRIM = 2**30  # bytes at the end of the heap that may stay free
_MMAP = 2**25  # blocks from this size on are the system's; the most that glibc accepts


def keep_freed_memory() -> bool:
    """Let the C library of this process keep up to 1 GB of freed memory for its next use, for
    good. Returns whether it could be told to: only glibc can.

    For processes whose steps free what the next ones allocate again; the same as starting them
    with ``MALLOC_TRIM_THRESHOLD_`` and ``MALLOC_MMAP_THRESHOLD_`` set. Does not block.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return all([mallopt(_M_TRIM_THRESHOLD, _TRIM), mallopt(_M_MMAP_THRESHOLD, _MMAP)])
