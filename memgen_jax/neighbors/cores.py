"""A processor's cores, and whose threads are on them: BLAS has its own, which get in the way of ours."""

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """BLAS multiplies on the thread that calls it, in the whole process, until the last of those who asked leaves."""
    with _lock:
        if not _held:
            _held.append(_libraries().limit(limits=1, user_api="blas"))
        else:
            _held.append(None)
    try:
        yield
    finally:
        with _lock:
            if len(_held) == 1:
                _held[0].restore_original_limits()
                _held.clear()
            else:
                _held.pop()


_lock = threading.Lock()
_held: list[Any] = []  # one of each who asked; the first is what gives BLAS its threads back


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # finding them takes a while
