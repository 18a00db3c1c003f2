"""Reads damaged files, each by the public reader of its kind: data or one InputError, in bounded time and memory.

    python tests/data/read_damaged_files.py [--images 1000] [--stores 300] [--harmful] [--seed 0]

Each file is read by a process that is ended where it takes too long; what a file took is measured there.
"""

import argparse
import collections
import os
import re
import select
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SECONDS = 60.0  # that one file may take, on a machine that is busy with other things
MEGABYTES = 2048  # that the process may hold while it reads one, all told


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--images", type=int, default=1000)
    flags.add_argument("--stores", type=int, default=300)
    flags.add_argument("--harmful", action="store_true", help="also bombs and files without an end")
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--only", default="", help="files whose name this expression finds, alone")
    flags.add_argument("--reader", action="store_true", help=argparse.SUPPRESS)
    asked = flags.parse_args()
    if asked.reader:
        return read_from_standard_input()

    import damaged_files

    ends: collections.Counter[str] = collections.Counter()
    faults, slowest, largest = [], (0.0, ""), (0.0, "")
    with tempfile.TemporaryDirectory(prefix="damaged-") as folder, Reader() as reader:
        for name, content in (
            *damaged_files.images(asked.images, asked.seed),
            *damaged_files.stores(asked.stores, asked.seed),
            *(damaged_files.harmful() if asked.harmful else ()),
        ):
            if not re.search(asked.only, name):
                continue
            path = Path(folder) / name
            path.write_bytes(content() if callable(content) else content)
            end, seconds, megabytes, said = reader.read(path)
            path.unlink()
            ends[end] += 1
            if asked.only:
                print(f"{name}: {end} {said} ({seconds:.1f} s, {megabytes:.0f} MB)")
            if end not in ("data", "InputError") or megabytes > MEGABYTES:
                faults.append(f"{name}: {end} {said} ({seconds:.1f} s, {megabytes:.0f} MB)")
            slowest, largest = max(slowest, (seconds, name)), max(largest, (megabytes, name))
    print(", ".join(f"{count} {end}" for end, count in ends.most_common()))
    print(f"longest: {slowest[0]:.1f} s for {slowest[1]}; most: {largest[0]:.0f} MB for {largest[1]}")
    print(*faults, sep="\n")
    print(f"{len(faults)} of {sum(ends.values())} files end otherwise than in data or an InputError.")
    return bool(faults)


class Reader:
    """A process that reads files, started again where one ended it."""

    def __enter__(self) -> "Reader":
        self.process: subprocess.Popen | None = None
        return self

    def __exit__(self, *_) -> None:
        self._end()

    def read(self, path: Path) -> tuple[str, float, float, str]:
        """How reading ended, seconds, megabytes at the peak, and what was said."""
        if self.process is None:
            command = [sys.executable, __file__, "--reader"]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._line(600)  # it has imported what it needs
        start = time.monotonic()
        assert self.process.stdin is not None
        self.process.stdin.write(os.fsencode(path) + b"\n")
        self.process.stdin.flush()
        line = self._line(SECONDS)
        seconds = time.monotonic() - start
        if not line:
            code = self.process.poll()
            self._end()
            return ("no end" if code is None else f"exit {code}"), seconds, 0.0, ""
        end, megabytes, said = line.decode(errors="replace").rstrip("\n").split("\t")
        return end, seconds, float(megabytes), said

    def _line(self, seconds: float) -> bytes:
        assert self.process is not None and self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        return self.process.stdout.readline() if ready else b""

    def _end(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def read_from_standard_input() -> int:
    import resource

    from memgen_jax import bridges, data
    from memgen_jax.errors import InputError

    # Whatever takes more is ended by a MemoryError, which is a fault, and not by the machine.
    resource.setrlimit(resource.RLIMIT_DATA, (6 * 2**30, 6 * 2**30))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # decoders' own messages
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        path = line.rstrip("\n")
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        said = ""
        try:
            if path.endswith(".pt"):
                bridges.read_checkpoint(path)
            else:
                data.load(path)
            end = "data"
        except InputError as error:
            end, said = "InputError", error.named(str)
            if said.count("\n") or not 0 < len(said) < 2000:
                end = "no sentence"
        except BaseException as error:
            end, said = type(error).__name__, str(error)
        with open("/proc/self/status") as lines:
            peak = next(int(own.split()[1]) / 1024 for own in lines if own.startswith("VmHWM"))
        said = " ".join(said.split())[:300]
        print(f"{end}\t{peak}\t{said}", file=answers, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
