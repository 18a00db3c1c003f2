"""How a command ends: the exit codes, and the one sentence on stderr that goes with each.

0 done; 1 only from `memgen audit --fail-above`; 2 a mistake in what was given; 3 a defect of ours; 130
interrupted.
"""

import argparse
import contextlib
import errno
import gc
import io
import os
import re
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from typing import Any, NoReturn

from etils import epath

DONE, FAIL_ABOVE, MISTAKE, DEFECT, INTERRUPTED = 0, 1, 2, 3, 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # errors of a disk; the last by a limit on the size of files
FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO)
_OUTPUT_CLOSED = 141  # what a shell gives to a command whose reader, such as `head`, has gone


class OneLineParser(argparse.ArgumentParser):
    """argparse, with a mistake as one line instead of the usage besides."""

    def error(self, message: str) -> NoReturn:
        self.exit(MISTAKE, f"{self.prog}: {message}; see {self.prog} --help\n")


def tell(command: str, sentence: str) -> None:
    """Prints one line on stderr, after everything on stdout."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    print(f"{command}: {' '.join(sentence.split())}", file=sys.stderr, flush=True)


def defect(command: str, error: BaseException, folder: epath.PathLike | None = None) -> int:
    """Tells a defect of ours in one sentence, with the traceback in a file; returns the exit code.

    A path that no file can have is a mistake, wherever it is first used, and a disk that is full or forbidden none of
    ours.

    Args:
      folder: of the run, where it exists and is ours to write in; else the file goes to the temporary folder.
    """
    if sentence := _impossible_path(error):
        tell(command, sentence)
        return MISTAKE
    if isinstance(error, BrokenPipeError):
        _print_no_more()
        return _OUTPUT_CLOSED
    if isinstance(error, OSError) and error.errno in (*FULL, *FORBIDDEN):
        if not error.filename:  # it may have been the output that could not be written
            _print_no_more()
        where = f"{error.filename} " if error.filename else "the output, or a file, "
        then = "make room, and give the same command again" if error.errno in FULL else "name another place"
        tell(command, f"{where}cannot be used ({error.strerror}): {then}")
        return MISTAKE
    file = _write_traceback("".join(traceback.format_exception(error)), folder)
    what = f"{type(error).__name__}: {error}".splitlines()[0][:300].rstrip(" .:")
    tell(
        command,
        f"a defect of this program, not of what you gave ({what}); please report it in the project's issue "
        f"tracker, with the command and the traceback in {file}.",
    )
    return DEFECT


def _print_no_more() -> None:
    """Sends what is left to be printed nowhere: at the process's end it would fail again."""
    with contextlib.suppress(io.UnsupportedOperation):  # within another program it may be no file
        output = sys.stdout.fileno()
        os.dup2(os.open(os.devnull, os.O_WRONLY), output)


def memory_trouble(error: Exception, lower: str) -> str:
    """What to say where the memory of a device or of the host does not suffice; "" else."""
    import jax

    exhausted = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    if not (exhausted or isinstance(error, MemoryError)):
        return ""
    size = re.search(r"([\d,]{7,}) bytes", str(error))
    more = f" ({int(size[1].replace(',', '')) / 2**30:,.1f} GiB more were asked for)" if size else ""
    return f"out of memory{more}: lower {lower}."


def _impossible_path(error: BaseException) -> str:
    """What to say of a path that is too long or deep, leads in a circle or holds a NUL; "" of any other error."""
    if isinstance(error, OSError) and error.errno in (errno.ENAMETOOLONG, errno.ELOOP):
        name = str(error.filename)
        short = name if len(name) <= 80 else f"{name[:60]}…{name[-19:]}"
        return f"{error.strerror}: {short!r}; give another path"
    if isinstance(error, RecursionError) and any(
        frame.name in ("mkdir", "makedirs") for frame in traceback.extract_tb(error.__traceback__)
    ):
        return "a folder lies too many folders deep to be made; give another path"
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return "a path holds a NUL, which no file name can; give another path"
    return ""


def _write_traceback(text: str, folder: epath.PathLike | None) -> str:
    if folder is not None:
        file = epath.Path(folder) / f"traceback-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
        with contextlib.suppress(Exception):  # a full disk, or a remote folder that cannot be reached
            file.write_text(text)
            return os.fspath(file)
    handle, name = tempfile.mkstemp(prefix="memgen-traceback-", suffix=".txt", text=True)
    with os.fdopen(handle, "w") as stream:
        stream.write(text)
    return name


def end_with(main: Callable[[], int]) -> NoReturn:
    """Runs the command of this process and ends the process with its exit code; told to stop, it ends at once.

    A computation that has begun cannot be called off: an ordinary exit would wait for it, minutes where it is long.
    """
    gc.set_threshold(
        10_000, 10, 10
    )  # with Python's own, a tenth of a short run goes through all that was imported
    try:
        try:
            code: Any = main()
        except SystemExit as end:
            code = end.code
        sys.stdout.flush()
    except OSError as error:  # of what is printed: of files it is told where they are written
        code = defect("memgen", error)
    if code != INTERRUPTED:
        sys.exit(code)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # all is said
    leave(code, at_once=True)


def leave(code: int, at_once: bool) -> NoReturn:
    """Ends the process.

    Args:
      at_once: without waiting for background threads and other processes: what they still hold, a restart
        does again, and on a full disk they would raise again.
    """
    if at_once:
        if presence := sys.modules.get(
            "memgen_jax.runs.presence"
        ):  # where no folder was opened there is none
            presence.leave_all()
        sys.stderr.flush()
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        os._exit(code)
    sys.exit(code)
