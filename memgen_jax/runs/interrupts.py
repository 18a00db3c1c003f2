"""Ctrl-C and preemption: the first signal asks the loop to save and stop, the second stops at once."""

import contextlib
import signal
import socket
import threading
from collections.abc import Iterator

# Ignored by whoever does not ask for it, and used by nothing else here: it only wakes the main thread.
_WAKE = signal.SIGURG


def interrupt_at_once() -> None:
    """Makes SIGTERM raise KeyboardInterrupt as SIGINT does, and both of them promptly.

    The system gives a signal to any thread of the process, and JAX has many. Python's handlers run in the main
    thread alone, when it comes back to Python: one that waits in a system call (`time.sleep`, a read) is
    not woken by a signal that another thread got. So a thread of our own is told of every signal, through
    Python's wakeup descriptor, and wakes the main thread. Call it once, from the main thread.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal.signal(_WAKE, lambda number, frame: None)
    told, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
    main = threading.main_thread().ident
    assert main is not None

    def wake() -> None:
        with told, wakeup:  # `wakeup` lives as long as this thread
            while numbers := told.recv(64):
                if set(numbers) - {_WAKE}:
                    signal.pthread_kill(main, _WAKE)

    threading.Thread(target=wake, name="signals", daemon=True).start()


@contextlib.contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
    """Within the block, SIGINT and SIGTERM (sent by schedulers before they preempt) set the event.

    The loop inside looks at the event where its state is whole, saves, and raises KeyboardInterrupt. A signal that it
    did not look for any more, while it came to its end, raises when the block is left.
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
    if asked.is_set():
        raise KeyboardInterrupt
