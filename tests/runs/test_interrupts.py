import subprocess
import sys

import pytest

SLEEPER = """
import os, signal, sys, threading, time
from memgen_jax import runs

runs.interrupt_at_once()
number = signal.Signals[sys.argv[1]]
other = threading.Thread(target=time.sleep, args=(600,), daemon=True)
other.start()
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
# The system may give a signal for the process to any of its threads: here it is the other one.
threading.Timer(0.5, signal.pthread_kill, (other.ident, number)).start()
start = time.monotonic()
try:
    {wait}
except KeyboardInterrupt:
    print("interrupted", time.monotonic() - start < 150)
"""


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    "wait", ["time.sleep(300)", "os.read(os.pipe()[0], 1)", "threading.Event().wait(300)"]
)
def test_a_signal_that_another_thread_got_wakes_the_main_thread(number, wait):
    code = SLEEPER.replace("{wait}", wait)
    done = subprocess.run([sys.executable, "-c", code, number], capture_output=True, text=True, timeout=300)
    assert done.stdout == "interrupted True\n", done.stdout + done.stderr


def test_the_first_signal_only_asks_and_the_second_stops():
    """A signal counts once, though the main thread is woken by another besides."""
    code = """
import os, signal, time
from memgen_jax import runs

runs.interrupt_at_once()
with runs.deferred_interrupts() as asked:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.5)
    print("asked", asked.is_set())
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(300)
    except KeyboardInterrupt:
        print("stopped")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "asked True\nstopped\n", done.stdout + done.stderr


def test_a_signal_that_comes_when_the_loop_has_looked_for_the_last_time_is_not_lost():
    """A run told to stop in its last training step once went on to its end, and left with 0."""
    code = """
import os, signal, time
from memgen_jax import runs

runs.interrupt_at_once()
try:
    with runs.deferred_interrupts():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.5)
        print("saved")
except KeyboardInterrupt:
    print("stopped")
with runs.deferred_interrupts():
    print("undisturbed")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300)
    assert done.stdout == "saved\nstopped\nundisturbed\n" and done.returncode == 0, done.stdout + done.stderr
