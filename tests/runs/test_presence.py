import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from memgen_jax.errors import InputError
from memgen_jax.runs import presence
from memgen_jax.runs.presence import Presence

HOLD = """
import time
from memgen_jax.runs.presence import Presence
there = Presence({!r})
print("in", flush=True)
time.sleep(600)
"""


@pytest.fixture
def no_locks(monkeypatch):
    """A file system that knows no locks, as Lustre mounted without them."""

    def refuse(file, kind):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.fixture
def other_process(tmp_path):
    """Another process at work in the folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLD.format(str(tmp_path))], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"in\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_process_is_refused_by_name(tmp_path, other_process):
    with pytest.raises(InputError, match=rf"is at work in .* \(process {other_process.pid} on "):
        Presence(tmp_path)


def test_a_second_process_is_refused_where_the_file_system_has_no_locks(tmp_path, other_process, no_locks):
    for shard in ((0, 1), (0, 2)):
        with pytest.raises(InputError, match=rf"is at work in .* \(process {other_process.pid} on "):
            Presence(tmp_path, shard)


@pytest.mark.parametrize("locks", [True, False])
def test_a_killed_process_holds_nothing(tmp_path, other_process, locks, request):
    if not locks:
        request.getfixturevalue("no_locks")
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert (tmp_path / ".at_work").exists()
    Presence(tmp_path).close()
    assert not (tmp_path / ".at_work").exists()


def test_a_process_of_another_host_is_seen_by_its_beats_and_gone_without_them(
    tmp_path, no_locks, monkeypatch
):
    monkeypatch.setattr(presence, "SECONDS_BETWEEN_BEATS", 0.05)
    monkeypatch.setattr(presence, "SECONDS_OF_WATCHING", 1.0)
    place = presence._place
    monkeypatch.setattr(presence, "_place", lambda: "node17 boot pid")
    there = Presence(tmp_path)
    monkeypatch.setattr(presence, "_place", place)
    with pytest.raises(InputError, match="on node17"):
        Presence(tmp_path)
    there._stop.set()  # as if its host had lost power
    time.sleep(0.2)
    Presence(tmp_path).close()


def test_parts_share_a_folder_without_locks_each_part_once(tmp_path, no_locks):
    first, second = Presence(tmp_path, (0, 2)), Presence(tmp_path, (1, 2))
    for shard in ((0, 2), (0, 1)):
        with pytest.raises(InputError, match="another process"):
            Presence(tmp_path, shard)
    first.close()
    second.close()
    Presence(tmp_path).close()


def test_who_takes_over_a_dead_record_owns_it(tmp_path, no_locks):
    dead = {"host": presence._place(), "pid": 2**22 + 1, "started": "5", "token": "x", "beat": 3}
    (tmp_path / ".at_work").write_text(json.dumps(dead))
    own = Presence(tmp_path)
    assert json.loads((tmp_path / ".at_work").read_text())["token"] != "x"
    own.close()


def test_a_process_number_that_was_given_again_is_another_process(tmp_path, no_locks):
    old = {"host": presence._place(), "pid": os.getppid(), "started": "1", "token": "x", "beat": 3}
    (tmp_path / ".at_work").write_text(json.dumps(old))
    Presence(tmp_path).close()
