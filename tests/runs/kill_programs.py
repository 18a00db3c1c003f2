"""Kills programs at random moments and runs them again: they must end with the bytes of runs that nobody killed.

    python tests/runs/kill_programs.py [--kills 100] [--seed 0] [--programs transition,circle,onset,geometry,audit]

Half of the tries come as soon as some file appears, taken in turn over all that a whole run writes, so that every
stage is hit; the others at a random time. A folder is killed in up to four times before it may end. What the programs
need is imported once, and each run is a fork.
"""

import argparse
import collections
import contextlib
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

KILLS_A_FOLDER = 4
PROGRAMS = ("transition", "circle", "onset", "geometry", "audit")
# What differs between two runs of one kind: when things happened, on what machine; and pictures and checkpoints, from
# which nothing is read later but by the run itself.
NOT_COMPARED = re.compile(
    r"(checkpoints|figures)/.*|metrics.*\.jsonl|environment\.json|.*\.html|\..*|pairs/.*"
)


def main() -> int:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--kills", type=int, default=100)
    flags.add_argument("--seed", type=int, default=0)
    flags.add_argument("--programs", default=",".join(PROGRAMS))
    asked = flags.parse_args()
    names = asked.programs.split(",")
    import_once()
    wrong = killed = 0
    with tempfile.TemporaryDirectory(prefix="killed-") as place:
        commands = prepare(Path(place), names)
        for number, name in enumerate(names):
            kills = asked.kills // len(names) + (number < asked.kills % len(names))
            rng = np.random.default_rng((asked.seed, number))
            told = kill_and_compare(name, commands[name], Path(place), kills, rng)
            print(told.sentence(name), flush=True)
            print(*told.differences, sep="\n", flush=True)
            killed += told.kills
            wrong += len(told.differences)
    print(f"{killed} kills in all, {wrong} differences")
    return bool(wrong) or killed < asked.kills


def import_once() -> None:
    from memgen_jax.runs.compilation import keep_compiled_programs
    from memgen_jax.sweep.mesh import use_all_cpu_cores

    use_all_cpu_cores()
    keep_compiled_programs()
    import importlib

    for name in PROGRAMS:
        importlib.import_module(
            "memgen_jax.audit.program" if name == "audit" else f"memgen_jax.programs.{name}.program"
        )
    import matplotlib.pyplot  # noqa: F401
    import sklearn.datasets  # noqa: F401


Command = Callable[[Path], list[str]]


def prepare(place: Path, names: list[str]) -> dict[str, Command]:
    """Each program's command line for a folder; what a program needs is made."""
    whole = place / "of_geometry"
    rng = np.random.default_rng(0)
    train = rng.integers(0, 256, (400, 8, 8, 1), dtype=np.uint8)
    samples = np.concatenate([train[:40], rng.integers(0, 256, (160, 8, 8, 1), dtype=np.uint8)])
    np.savez(place / "train.npz", images=train[:300], held_out=train[300:])
    np.savez(place / "samples.npz", images=samples)
    commands: dict[str, Command] = {
        "transition": lambda folder: ["transition", "--config=digits:smoke", f"--workdir={folder}"],
        "circle": lambda folder: ["circle", "--config=circle:smoke", f"--workdir={folder}"],
        "onset": lambda folder: ["onset", "--config=onset_linear:smoke", f"--workdir={folder}"],
        "geometry": lambda folder: [
            *("geometry", "--config=geometry_digits:smoke"),
            *(f"--config.run={whole}", f"--workdir={folder}"),
        ],
        "audit": lambda folder: [
            *("audit", "--train", f"{place}/train.npz", "--samples", f"{place}/samples.npz"),
            *("--out", str(folder), "--save-pairs"),
        ],
    }
    if "geometry" in names:
        watch(fork(commands["transition"](whole)), whole)
    return commands


class Told(NamedTuple):
    kills: int
    folders: int
    moments: collections.Counter[str]
    differences: list[str]
    seconds: float

    def sentence(self, name: str) -> str:
        newest = ", ".join(f"{count} {moment}" for moment, count in sorted(self.moments.items()))
        return f"{name}: {self.kills} kills in {self.folders} folders, {self.seconds:.0f} s; newest file: {newest}"


def kill_and_compare(name: str, command: Command, place: Path, kills: int, rng: np.random.Generator) -> Told:
    """Kills runs of one program so many times, and compares what they end with."""
    begun = time.monotonic()
    reference = place / f"{name}_whole"
    start = time.monotonic()
    order = watch(fork(command(reference)), reference)
    duration = time.monotonic() - start
    expected = contents(reference)
    done, tries, folders, differences = 0, 0, 0, []
    moments: collections.Counter[str] = collections.Counter()
    while done < kills:
        folder = place / f"{name}_{folders}"
        folders += 1
        for _ in range(KILLS_A_FOLDER):
            if done == kills:
                break
            there = files(folder)
            new = [file for file in order if file not in there]
            by_file = bool(new) and tries % 2 == 0  # not of kills: a run may end sooner than the kill comes
            tries += 1
            # In turn over the whole list, and the next after that which is not there yet.
            wanted = order[int((done + rng.uniform()) / kills * len(order)) % len(order)]
            target = wanted if wanted in new else (new[0] if new else "")
            pause = rng.uniform(0, 0.1) if by_file else rng.uniform(0, duration)
            process = fork(command(folder))
            if not kill_at(process, folder, target if by_file else None, pause):
                break  # it ended before
            done += 1
            newest = max(files(folder, times=True), default=(0.0, "none"))[1]
            moments[stage_of(newest)] += 1
        code = wait(fork(command(folder)))
        if code:
            differences.append(f"{name} in folder {folders - 1} ended with {code}")
            continue
        found = contents(folder)
        for file in sorted(expected.keys() | found.keys()):
            if file not in found or file not in expected:
                differences.append(
                    f"{name} in folder {folders - 1}: {file} is {'not ' * (file not in found)}there"
                )
            elif expected[file] != found[file]:
                differences.append(f"{name} in folder {folders - 1}: {file} differs")
        left = [file for file in files(folder) if file.endswith(".tmp")]
        differences += [f"{name} in folder {folders - 1}: {file} was left" for file in left]
    return Told(done, folders, moments, differences, time.monotonic() - begun)


def fork(arguments: list[str], said: Path | None = None, before: Callable[[], object] = lambda: None) -> int:
    """Starts a command in a process of its own; what it says on stderr is kept in a file, where one is given."""
    process = os.fork()
    if process:
        return process
    code = 3
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        if said is not None:
            os.dup2(os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        before()
        from memgen_jax import cli

        code = cli.main(arguments)
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else 0
    finally:
        os._exit(code)


def wait(process: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def watch(process: int, folder: Path) -> list[str]:
    """The files of a run in the order in which they appear."""
    order: dict[str, None] = {}
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        order |= dict.fromkeys(sorted(files(folder)))
        if ended and status:
            raise SystemExit(
                f"a run in {folder} that nobody killed ended with {os.waitstatus_to_exitcode(status)}"
            )
        if ended:
            return list(order)
        time.sleep(0.01)


def kill_at(process: int, folder: Path, file: str | None, pause: float) -> bool:
    """Kills once the file is there and the pause over; False where the process ended before."""
    over = None if file else time.monotonic() + pause
    while over is None or time.monotonic() < over:
        if os.waitpid(process, os.WNOHANG)[0] == process:
            return False
        if over is None and file in files(folder):
            over = time.monotonic() + pause
        time.sleep(0.01)
    os.kill(process, signal.SIGKILL)
    return wait(process) == -signal.SIGKILL


def files(folder: Path, times: bool = False) -> set:
    """The files below a folder; of temporary ones without the number of their process."""
    found = set()
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            inner = re.sub(r"\.\d+\.tmp$", ".tmp", os.path.relpath(path, folder))
            if not times:
                found.add(inner)
                continue
            with contextlib.suppress(OSError):  # gone meanwhile
                found.add((os.stat(path).st_mtime, inner))
    return found


def contents(folder: Path) -> dict[str, bytes]:
    """What is compared, the folder's own name aside."""
    return {
        file: (folder / file).read_bytes().replace(os.fsencode(folder), b"FOLDER")
        for file in files(folder)
        if not NOT_COMPARED.fullmatch(file)
    }


def stage_of(file: str) -> str:
    """A file's folder, or itself."""
    return file.partition("/")[0] if "/" in file else file


if __name__ == "__main__":
    sys.exit(main())
