"""Ctrl-C and preemption: the first signal asks the loop to save and stop, the second stops at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
    """Within the block, SIGINT and SIGTERM (sent by schedulers before they preempt) set the event.

    The loop inside looks at the event where its state is whole, saves, and raises KeyboardInterrupt.
    Outside the main thread, where Python allows no handlers, the event is simply never set.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handler(number, frame):
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    previous = {number: signal.signal(number, handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
