"""Several threads at once: begun at one moment, waited for, and the first error raised."""

from __future__ import annotations

import threading
from collections.abc import Callable


def together(*bodies: Callable[[], object]) -> None:
    """Run each body on a thread of its own. Blocks until all have ended."""
    gate = threading.Barrier(len(bodies))
    errors: list[BaseException] = []

    def guarded(body: Callable[[], object]) -> None:
        gate.wait()
        try:
            body()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(body,)) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
