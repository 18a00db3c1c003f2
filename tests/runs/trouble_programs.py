"""Troubles of disks, clocks and people, for every program: one sentence, and then the bytes of an untroubled run.

    python tests/runs/trouble_programs.py [--programs transition,circle,onset,geometry,audit]

A disk that is full, by the largest size that a file may have (a quota says the same); a folder that can only be read
(needs root, to mount one); a clock that was moved back, so that what is there comes from the future; a folder that was
copied while a run wrote in it; and two runs in one folder at once.
"""

import argparse
import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from itertools import zip_longest
from pathlib import Path

from kill_programs import PROGRAMS, Command, contents, files, fork, import_once, prepare, wait, watch

MISTAKE = 2


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--programs", default=",".join(PROGRAMS))
    names = flags.parse_args().programs.split(",")
    import_once()
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="troubled-") as folder:
        place = Path(folder)
        commands = prepare(place, names)
        for name in names:
            whole = place / f"{name}_whole"
            order = watch(fork(commands[name](whole)), whole)
            expected = contents(whole)
            for trouble in TROUBLES:
                found = Trouble(name, commands[name], place / f"{name}_{trouble.__name__}", order, expected)
                said = trouble(found)
                print(f"{name}, {trouble.__name__.replace('_', ' ')}: {said}", flush=True)
                wrong += said not in ("as it should be", "left out")
    print(f"{wrong} of {len(names) * len(TROUBLES)} end otherwise than they should.")
    return bool(wrong)


class Trouble:
    """One program in one folder."""

    def __init__(
        self, name: str, command: Command, folder: Path, order: list[str], expected: dict[str, bytes]
    ):
        self.name, self.command, self.folder, self.expected = name, command, folder, expected
        self.order, self.said = order, folder.with_suffix(".said")

    def run(self, **options) -> int:
        return wait(fork(self.command(self.folder), self.said, **options))

    def ends_as_it_should(self, folder: Path | None = None) -> str:
        """The same command again ends with the bytes of a run that had no trouble."""
        folder = folder or self.folder
        if code := wait(fork(self.command(folder), self.said)):
            return f"ended with {code}: {self.said.read_text()[-300:]}"
        found = contents(folder)
        told = [difference(file, self.expected.get(file), found.get(file)) for file in self.expected | found]
        return "; ".join(filter(None, told)) or "as it should be"

    def is_one_sentence(self, code: int, words: str) -> str:
        """ "" where a run ended as a mistake, in one line with these words."""
        said = self.said.read_text()
        own = [
            line for line in said.splitlines() if not line.startswith("WARNING:matplotlib")
        ]  # of its first use
        if code == MISTAKE and len(own) == 1 and words in own[0]:
            return ""
        return f"ended with {code}: {said[-300:]}"

    def killed_in_the_middle(self, signals: bool = True) -> None:
        """A run of which about half is there; it goes on where it is not killed."""
        process = fork(self.command(self.folder))
        wanted = self.order[len(self.order) // 2]
        while wanted not in files(self.folder) and os.waitpid(process, os.WNOHANG)[0] != process:
            time.sleep(0.01)
        if signals:
            with contextlib.suppress(ProcessLookupError, ChildProcessError):  # it was quicker
                os.kill(process, signal.SIGKILL)
                wait(process)
        self.process = process


def difference(file: str, expected: bytes | None, found: bytes | None) -> str:
    """How a file differs; "" where it does not."""
    if expected is None or found is None:
        return "" if expected == found else f"{file} is {'not ' * (found is None)}there"
    for ours, theirs in zip_longest(expected.splitlines(), found.splitlines()):
        if ours != theirs:
            return f"{file} has {str(theirs)[:200]} for {str(ours)[:200]}"
    return "" if expected == found else f"{file} differs"


def full_disk(one: Trouble) -> str:
    """No file may be larger than half of the largest that is compared."""
    room = max(map(len, one.expected.values())) // 2

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))

    code = one.run(before=limit)
    return one.is_one_sentence(code, "room") or one.ends_as_it_should()


def folder_that_can_only_be_read(one: Trouble) -> str:
    disk = one.folder
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "ro,size=200m", "tmpfs", os.fspath(disk)]
    if os.geteuid() != 0 or subprocess.run(mounting, capture_output=True).returncode:
        return "left out"
    try:
        said = one.is_one_sentence(one.run(), "cannot write")
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        return said or one.ends_as_it_should()
    finally:
        subprocess.run(["umount", disk], check=True)


def clock_moved_back(one: Trouble) -> str:
    one.killed_in_the_middle()
    later = time.time() + 365 * 24 * 3600
    for place, inside, names in os.walk(one.folder):
        for name in (*inside, *names):
            os.utime(os.path.join(place, name), (later, later))
    return one.ends_as_it_should()


def folder_copied_while_at_work(one: Trouble) -> str:
    one.killed_in_the_middle(signals=False)
    copy = one.folder.with_name(f"{one.folder.name}_copy")
    with contextlib.suppress(shutil.Error):  # files that were there a moment ago
        shutil.copytree(one.folder, copy)
    wait_if_there(one.process)
    said = one.ends_as_it_should()
    return said if said != "as it should be" else one.ends_as_it_should(copy)


def two_at_once(one: Trouble) -> str:
    """The second is refused; of two audits, which hold no folder, both end."""
    one.killed_in_the_middle(signals=False)
    code = one.run()
    said = "" if one.name == "audit" and code == 0 else one.is_one_sentence(code, "at work")
    if code == 0 and one.name != "audit":  # the first had ended already
        said = ""
    wait_if_there(one.process)
    return said or one.ends_as_it_should()


def wait_if_there(process: int) -> None:
    with contextlib.suppress(ChildProcessError):  # it had ended and was waited for
        wait(process)


TROUBLES = (
    full_disk,
    folder_that_can_only_be_read,
    clock_moved_back,
    folder_copied_while_at_work,
    two_at_once,
)

if __name__ == "__main__":
    sys.exit(main())
