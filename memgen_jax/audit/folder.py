"""The folder of an audit: it takes away what an audit wrote there before, and nothing else."""

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from memgen_jax.data import legible
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import write_together

LABELS, SUMMARY, PAGE, DISTANCES, SKIPPED = (
    "labels.csv", "summary.json", "report.html", "distances.npz", "skipped.csv"
)  # fmt: skip
FILES = (LABELS, SUMMARY, PAGE, DISTANCES, SKIPPED)
SETS = "sets.csv"  # of several sets, beside the folder of each
PAIRS = "pairs"  # a folder of pictures called PAIR
PAIR = "pair-*.png"
DRAWN = "samples.npz"  # drawn from a pipeline; never taken away, for drawing takes long

HEADER = ("sample", "label", "train_distance", "train_item", "synthetic_distance", "synthetic_item")
SKIPPED_HEADER = ("set", "item", "reason")


def require_writable(folder: str) -> None:
    """Makes the folder and tries to write there, so that a long search does not end in vain.

    Raises:
      InputError: it is a file, cannot be written in, or holds anything that no audit wrote; what is hidden aside.
    """
    if not folder:
        raise InputError(f"{FIELD[0]} is empty; give a folder", "out")
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"{FIELD[0]} {legible(folder)} is a file; give a folder", "out")
    if place.is_dir() and (theirs := _not_ours(place)):
        raise InputError(
            f"{FIELD[0]} {legible(folder)} holds {legible(theirs)}, which no audit wrote; give another folder, or "
            "move it",
            "out",
        )
    with written_in(folder):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass


def require_folder_of_sets(folder: str, names: Collection[str]) -> None:
    """As `require_writable`, of a folder in which every set of samples gets a folder of its own.

    Raises:
      InputError: it is a file, cannot be written in, or holds anything that no audit wrote.
    """
    if not folder:
        raise InputError(f"{FIELD[0]} is empty; give a folder", "out")
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"{FIELD[0]} {legible(folder)} is a file; give a folder", "out")
    with written_in(folder):
        place.mkdir(parents=True, exist_ok=True)
        for entry in sorted(os.listdir(place)):
            ours = entry.startswith(".") or (
                (place / entry).is_dir() and ((place / entry / SUMMARY).is_file() or entry in names)
            )
            ours = ours or (entry == SETS and _begins(("set", "num_train"))(place / entry))
            ours = ours or (entry == PAGE and (place / SETS).is_file() and _is_page(place / entry))
            if not ours:
                raise InputError(
                    f"{FIELD[0]} {legible(folder)} holds {legible(entry)}, which no audit of several sets wrote; give "
                    "another folder, or move it",
                    "out",
                )
        with tempfile.TemporaryFile(dir=place):
            pass


def replace(folder: str, files: Mapping[str, bytes], keep_pairs: bool) -> None:
    """Writes the files of `FILES` that there are, all or none, and takes away those of before that there are not.

    Args:
      keep_pairs: leave the pictures of copies; they are about to be written anew.
    """
    with written_in(folder):
        write_together(folder, files)
        for name in set(FILES) - files.keys():
            (Path(folder) / name).unlink(missing_ok=True)
        if not keep_pairs and (Path(folder) / PAIRS).is_dir():
            for left in (PAIR, f".{PAIR}.*.tmp"):  # the second by an audit that was killed
                for old in (Path(folder) / PAIRS).glob(left):
                    old.unlink()
            (Path(folder) / PAIRS).rmdir()


@contextlib.contextmanager
def written_in(folder: str) -> Iterator[None]:
    """A folder to write in, made where missing; a full disk or a forbidden folder becomes one sentence.

    Only what is written belongs inside: troubles with reading are told by the readers.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise InputError(
            f"cannot write {where} ({error.strerror or error}); free some room or give another {FIELD[0]}",
            "out",
        ) from error


def _not_ours(folder: Path) -> str:
    """The first entry that no audit wrote; "" where there is none."""
    there = os.listdir(folder)
    ours = {name for name in FILES if (folder / name).is_file() and _MARKS[name](folder / name)}
    for name in sorted(there, key=lambda name: (name not in FILES, name)):
        if name.startswith(".") or name in ours or (name == DRAWN and SUMMARY in ours):
            continue
        if name == PAIRS and (folder / name).is_dir():
            inner = {path.name for path in (folder / name).iterdir() if not path.name.startswith(".")}
            inner -= {path.name for path in (folder / name).glob(PAIR)}
            if not inner:
                continue
            name = f"{PAIRS}/{min(inner)}"
        return name
    return ""


def _is_summary(file: Path) -> bool:
    try:
        told = json.loads(file.read_bytes())
    except ValueError:
        return False
    return isinstance(told, dict) and {"memorized", "answer"} <= told.keys()


def _is_distances(file: Path) -> bool:
    try:
        with zipfile.ZipFile(file) as stored:
            return {"train.npy", "train_index.npy", "metric.npy"} <= set(stored.namelist())
    except zipfile.BadZipFile:
        return False


def _begins(header: tuple[str, ...]) -> Callable[[Path], bool]:
    def begins(file: Path) -> bool:
        with file.open("rb") as stream:
            return stream.read(200).startswith(",".join(header).encode())

    return begins


def _is_page(file: Path) -> bool:
    return b"Made by memgen_jax." in file.read_bytes()[-500:]


_MARKS: dict[str, Callable[[Path], bool]] = {
    LABELS: _begins(HEADER),
    SUMMARY: _is_summary,
    PAGE: _is_page,
    DISTANCES: _is_distances,
    SKIPPED: _begins(SKIPPED_HEADER),
}
