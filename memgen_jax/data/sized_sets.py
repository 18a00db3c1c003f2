"""Sets that were made one for each training-set size: a folder that has a folder or a file a K, with K in its name."""

import collections
import os
import re
from pathlib import Path
from typing import NamedTuple

from memgen_jax.data.images import SUFFIXES
from memgen_jax.data.sources import kind_of_file
from memgen_jax.errors import InputError
from memgen_jax.files import expanded

_NUMBER = re.compile(r"\d+(?:k(?![a-zA-Z]))?")
_TAG = re.compile(r"(?:num_train|ntrain|n_train|(?<![a-zA-Z])[KkNn])[=_-]?(\d+(?:k(?![a-zA-Z]))?)")
_SEED = re.compile(r"[,_-]seed[=_-]?(\d+)")


class SizedSet(NamedTuple):
    """One set: the size K and the seed that its name gives, and where it lies."""

    num_train: int
    seed: int
    path: Path


def sized_sets(folder: str | os.PathLike) -> list[SizedSet]:
    """The sets of a folder, smallest K first.

    K is the number behind "K", "n" or "num_train" ("K=512", "num_train=000512.npz", "n50k"), else the only number in
    the name, or the only one that is not the same in all names ("cifar10_512", "cifar10_1024"). Several sets of one K
    have a seed each ("K=512,seed=1").

    Raises:
      InputError: names a file whose K cannot be told, or two with the same.
    """
    root = expanded(folder)
    if not root.is_dir():
        raise InputError(f"there is no folder {root}: give one with a folder or a file for each size K")
    there = sorted(e for e in root.iterdir() if e.name[0] != ".")
    entries = [e for e in there if e.is_dir() or kind_of_file(e) not in ("", "image")]
    if strange := [e for e in there if e not in entries and _TAG.search(e.stem) and not _is_picture(e)]:
        raise InputError(
            f"{strange[0]} is called as a set is, and its kind cannot be read: save its items as .npz or .npy, or give "
            "it another name"
        )
    if not entries:
        pictures = (
            " (its images have no size in a folder's name)"
            if any(_is_picture(e) for e in root.iterdir())
            else ""
        )
        raise InputError(
            f"{root} holds no sets{pictures}: give a folder with a folder of images, an .npz, .npy, .zip, .tar, "
            ".parquet or .arrow file for each size K, and K in its name, as in K=512.npz"
        )
    names = {entry: _SEED.sub("", _stem(entry) if entry.is_file() else entry.name) for entry in entries}
    varying = _varying_place(list(names.values()))
    found = []
    for entry, name in names.items():
        seed = _SEED.search(entry.name)
        tags, numbers = _TAG.findall(name), _NUMBER.findall(name)
        said = tags if len(tags) == 1 else numbers if len(numbers) == 1 else numbers[varying : varying + 1]
        if len(said) != 1 or (varying < 0 and len(numbers) != 1 and len(tags) != 1):
            raise InputError(
                f"the size K of {entry} cannot be told from its name: call it as in K=512{entry.suffix}"
            )
        found.append(SizedSet(_value(said[0]), int(seed[1]) if seed else 0, entry))
    counts = collections.Counter((own.num_train, own.seed) for own in found)
    (size, seed_of), count = counts.most_common(1)[0]
    if count > 1:
        twice = " and ".join(own.path.name for own in found if (own.num_train, own.seed) == (size, seed_of))
        raise InputError(
            f"{root} has {count} sets of K = {size}, {twice}: tell them apart as in K={size},seed=1"
        )
    return sorted(found)


def _stem(file: Path) -> str:
    """The name without its ending, .tar.gz as a whole."""
    return Path(file.stem).stem if file.stem.lower().endswith(".tar") else file.stem


def _varying_place(names: list[str]) -> int:
    """Which of the numbers in names of one pattern is not the same in all; -1 where it is not exactly one."""
    rows = [_NUMBER.findall(name) for name in names]
    if len({len(row) for row in rows}) != 1:
        return -1
    places = [i for i, column in enumerate(zip(*rows, strict=True)) if len(set(column)) > 1]
    return places[0] if len(places) == 1 else -1


def _value(number: str) -> int:
    return 1000 * int(number[:-1]) if number[-1] == "k" else int(number)


def _is_picture(entry: Path) -> bool:
    return entry.suffix.lower() in SUFFIXES
