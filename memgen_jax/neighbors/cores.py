"""A processor's cores, and whose threads are on them: BLAS has its own, which get in the way of ours."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from typing import Any


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def one_thread_each() -> Iterator[None]:
    """BLAS multiplies on the thread that calls it, whichever does."""
    with _libraries().limit(limits=1, user_api="blas"):
        yield


@cache
def _libraries() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()  # finding them takes a while
