"""A processor's cores, and whose threads are on them: BLAS has its own, which get in the way of ours."""

import collections
import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_lock = threading.Lock()
_asked: list[Any] = []  # the one limit, once for each who asked


def available_cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_order(make: Callable[[Item], Made], items: Iterable[Item], at_once: int) -> Iterator[Made]:
    """make(item) of each item, in their order, `at_once` of them in threads of their own; the first is made alone.

    So what the first compiles is there for the others. No item is taken long before its turn.
    """
    left = iter(items)
    for first in left:
        yield make(first)
        break
    waiting: collections.deque[Future[Made]] = collections.deque()
    with ThreadPoolExecutor(at_once) as pool:
        for item in left:
            waiting.append(pool.submit(make, item))
            if len(waiting) > at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


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
