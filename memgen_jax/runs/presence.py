"""Who is at work in a folder: a lock of the system, and a record that says the same where there are no locks.

The system's lock (flock) goes with its process, also after kill -9. Some cluster file systems have none, or one that
other hosts do not see: there a record, `.at_work`, stands in for it, which its process touches every few seconds. A
record is believed while its process lives (on this host) or while it is seen to change (on another).
"""

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
import threading
import time
import weakref
from pathlib import Path
from typing import IO

from memgen_jax.errors import FIELD, InputError

SECONDS_BETWEEN_BEATS = 4.0
SECONDS_OF_WATCHING = 12.0  # a record of another host that does not change for so long is of a dead process


_OPEN: "weakref.WeakSet[Presence]" = weakref.WeakSet()


def leave_all() -> None:
    """Closes every presence of this process, for an end that runs nothing more."""
    for presence in list(_OPEN):
        presence.close()


class Presence:
    """This process at work in a local folder, until `close`: alone, or as part i of n beside the other parts."""

    def __init__(self, folder: str | os.PathLike, shard: tuple[int, int] = (0, 1)):
        """
        Raises:
          InputError: another process is at work there that excludes this one.
        """
        self._folder, self._whole = Path(folder), shard[1] == 1
        self._shard = "" if self._whole else f",shard={shard[0]}-of-{shard[1]}"
        self._locks: list[IO] = []
        self._stop = threading.Event()
        self._record = self._folder / f".at_work{self._shard}"
        token = secrets.token_hex(8)
        self._own = {"host": _place(), "pid": os.getpid(), "started": _started(os.getpid()), "token": token}
        # Called by `close`, when the object goes, or at the end of the process.
        self.close = weakref.finalize(self, _leave, self._stop, self._record, token, self._locks)
        _OPEN.add(self)
        try:
            self._take_locks()
            self._take_record()
        except BaseException:
            self.close()
            raise
        beat = threading.Thread(target=_beat, args=(self._stop, self._record, self._own), daemon=True)
        beat.start()  # it does not hold this object

    def _take_locks(self) -> None:
        """A whole run excludes everyone; a part excludes whole runs, and itself."""
        self._take_lock(".lock", fcntl.LOCK_EX if self._whole else fcntl.LOCK_SH)
        if not self._whole:
            self._take_lock(f".lock{self._shard}", fcntl.LOCK_EX)

    def _take_lock(self, name: str, kind: int) -> None:
        file = open(self._folder / name, "a+")  # noqa: SIM115  (held until `close`)
        self._locks.append(file)
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._refusal() from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                raise

    def _take_record(self) -> None:
        while not self._create_record():
            if self._is_alive(self._record):
                raise self._refusal(self._record)
            self._record.unlink(missing_ok=True)
        others = self._folder.glob(".at_work*") if self._whole else [self._folder / ".at_work"]
        for other in others:
            if other != self._record and self._is_alive(other):
                raise self._refusal(other)

    def _create_record(self) -> bool:
        """Whether there was none: of two that start at once one comes first, also over NFS."""
        try:
            number = os.open(self._record, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        except FileExistsError:
            return False
        with os.fdopen(number, "w") as stream, contextlib.suppress(OSError):  # on a full disk it stays empty
            stream.write(json.dumps({**self._own, "beat": 0}))
        return True

    def _is_alive(self, record: Path) -> bool:
        end = time.monotonic() + 1.0
        while (seen := _read(record)) is None:  # being written just now, or never
            if not record.exists() or time.monotonic() > end:
                return False
            time.sleep(0.1)
        if seen.get("host") == self._own["host"]:
            return _started(seen["pid"]) == seen["started"]
        end = time.monotonic() + SECONDS_OF_WATCHING
        while time.monotonic() < end:
            time.sleep(0.2)
            if (now := _read(record)) != seen:
                return now is not None
        return False

    def _refusal(self, record: Path | None = None) -> InputError:
        found = [record] if record else sorted(self._folder.glob(".at_work*"))
        who = next((seen for file in found if (seen := _read(file))), None)
        which = f" (process {who['pid']} on {who['host'].partition(' ')[0]})" if who else ""
        return InputError(
            f"another process is at work in {self._folder}{which}: wait for it, or choose another folder; processes "
            f"that are to share a run are started with {FIELD[0]}.",
            "processes",
        )


def _beat(stop: threading.Event, record: Path, own: dict) -> None:
    beat = 0
    while not stop.wait(SECONDS_BETWEEN_BEATS):
        beat += 1
        # In place: a client of NFS that opens a file sees what was last written to it, but may keep a name.
        with contextlib.suppress(OSError), record.open("r+") as stream:
            stream.write(json.dumps({**own, "beat": beat}))


def _leave(stop: threading.Event, record: Path, token: str, locks: list[IO]) -> None:
    """Lets others in."""
    stop.set()
    if (_read(record) or {}).get("token") == token:
        record.unlink(missing_ok=True)
    for lock in locks:
        lock.close()


def _read(record: Path) -> dict | None:
    """A record; None where there is none, or one that was never filled."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(record.read_text())
        return found if isinstance(found, dict) and {"host", "pid", "started"} <= found.keys() else None
    return None


def _place() -> str:
    """Where process numbers mean the same: host, its start, and the namespace of the container."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts += [
            Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
            os.readlink("/proc/self/ns/pid"),
        ]
    return " ".join(parts)


def _started(pid: int) -> str:
    """When a process of this host started, as the system counts; "" where there is none of that number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "" if os.path.isdir("/proc/self") else "running"
