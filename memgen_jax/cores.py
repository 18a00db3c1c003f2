"""A processor's cores, and whose threads are on them: BLAS has its own, which get in the way of ours."""

import contextlib
import os
import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

_lock = threading.Lock()
_asked: list[Any] = []  # the one limit, once for each who asked


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """BLAS multiplies on the thread that calls it, in the whole process, until the last of those who asked leaves."""
    with _lock:
        _asked.append(_asked[0] if _asked else _libraries().limit(limits=1, user_api="blas"))
    try:
        yield
    finally:
        with _lock:
            limit = _asked.pop()
            if not _asked:
                limit.restore_original_limits()


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # finding them takes a while
