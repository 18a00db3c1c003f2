"""Samples that were made elsewhere, a set for each size K, in place of networks of ours.

Each is read, checked and copied to samples/ as if a network of ours had made it; sets.json says where it came from.
A file that changes, or one more of them, is read by the same command again.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from etils import epath

from memgen_jax import data, runs, sweep
from memgen_jax.data.sized_sets import SizedSet, sized_sets
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import shown

RECORD = "sets.json"


class OwnSets:
    """The sets of a folder.

    Attributes:
      sizes, seeds: for which there are some.
      records: (K, seed) -> what sets.json keeps of it: source, stamp, number of samples.
    """

    def __init__(self, folder: str, options: Mapping[str, Any], wanted: Sequence[int] = ()):
        """
        Args:
          options: of `data.read`.
          wanted: sizes; all that are there where empty.
        Raises:
          InputError: the folder has no such sets.
        """
        self._options = dict(options)
        every = sized_sets(folder)
        if missing := sorted(set(wanted) - {own.num_train for own in every}):
            there = ", ".join(str(size) for size in sorted({own.num_train for own in every}))
            raise InputError.setting(
                "num_train", missing[0], f"a size of which {folder} has samples: {there}"
            )
        self._sets = {
            (own.num_train, own.seed): own for own in every if not wanted or own.num_train in wanted
        }
        self.sizes = tuple(sorted({size for size, _ in self._sets}))
        self.seeds = tuple(sorted({seed for _, seed in self._sets}))
        self.records: dict[tuple[int, int], dict[str, Any]] = {}
        self._item_shape: Sequence[int] = ()

    def check(self, item_shape: tuple[int, ...], is_image: bool, workdir: epath.PathLike | None) -> None:
        """Reads what a workdir has not read yet, and refuses what cannot be compared with the training items."""
        self._item_shape = item_shape if is_image else ()
        known = _read_record(epath.Path(workdir)) if workdir else {}
        ranges: dict[str, str] = {}
        for key, own in self._sets.items():
            record = known.get(f"{key[0]},{key[1]}")
            if record is None or (record["source"], record["stamp"]) != (str(own.path), _stamp(own)):
                items = self._items(own)
                require_alike(items.values, item_shape, is_image, str(own.path))
                if len(items.values) < 2:
                    raise InputError(f"{own.path} holds one sample, and repeats take two: give more")
                record = {"source": str(own.path), "stamp": _stamp(own), "num_samples": len(items.values)}
                record["note"] = items.note
            self.records[key] = record
            for said in record["note"].split("; "):
                if said.startswith("floats"):
                    ranges.setdefault(said, str(own.path))
        if len(ranges) > 1:
            (one, first), (other, second) = list(ranges.items())[:2]
            raise InputError(
                f"{first} looks like {one} and {second} like {other}: say their range with {FIELD[0]}",
                "data.value_range",
            )

    def num_samples(self, member: sweep.Member) -> int:
        return self.records[member.num_train, member.seed]["num_samples"]

    def has(self, member: sweep.Member) -> bool:
        return (member.num_train, member.seed) in self._sets

    def copy(self, members: Sequence[sweep.Member], workdir: runs.Workdir, stage: runs.Stage) -> None:
        """Writes samples/<member>.npz of every member, where it is not there or came from another file."""
        for member in members:
            key = member.num_train, member.seed
            if key in self._sets:
                kept, name = _read_record(workdir.path), f"{key[0]},{key[1]}"
                if (
                    kept.get(name) != self.records[key]
                    or workdir.read_npz(f"samples/{member.name}.npz") is None
                ):
                    values = self._items(self._sets[key]).values
                    for folder in ("neighbors", "repeats"):
                        (workdir / f"{folder}/{member.name}.npz").unlink(missing_ok=True)
                    array = {"images" if values.dtype == np.uint8 else "points": values}
                    workdir.write_npz(f"samples/{member.name}.npz", **array)
                    workdir.write_json(RECORD, {**_read_record(workdir.path), name: self.records[key]})
            stage.advance(1)

    def _items(self, own: SizedSet) -> data.Items:
        return data.beside(data.read(own.path, **self._options)[0], self._item_shape)


def load_items(
    settings: Any, known: data.Dataset | None = None
) -> tuple[data.Dataset, dict[int, np.ndarray] | None]:
    """The data of a run; and K -> the places of its training items in them, where `train_sets` says them.

    Args:
      settings: `TransitionSettings`; its `num_train` are the sizes that have samples.
      known: the data, where they have been read.
    Raises:
      InputError: the items cannot be read, or no two of the settings fit each other.
    """
    if settings.train_sets and not settings.sets:
        raise InputError(f"train_sets are those of the samples in sets: give {FIELD[0]} too.", "sets")
    if settings.train_sets and settings.data.name:
        raise InputError(
            f"{FIELD[0]} and {FIELD[1]} both say the training items: give one of them.",
            "train_sets",
            "data.name",
        )
    if settings.sets and settings.data.num_held_out:
        raise InputError(
            f"{FIELD[0]} would set items aside that the networks may have been trained on: give real items that none "
            f"has seen as {FIELD[1]}.",
            "data.num_held_out",
            "held_out",
        )
    if settings.sets and not (settings.train_sets or settings.data.name):
        raise InputError(
            f"the samples in {FIELD[0]} need the items that their networks were trained on: give {FIELD[1]}, in "
            f"order, or {FIELD[2]}.",
            "sets",
            "data.name",
            "train_sets",
        )
    if settings.data.scale and (settings.sets or settings.held_out):
        raise InputError(
            f"{FIELD[0]} brings the items of data.name alone into other units: bring all to one, and leave it out.",
            "data.scale",
        )
    options, places = settings.data.reading, None
    if settings.train_sets:
        items, places = read_training_sets(settings.train_sets, options, settings.num_train)
        dataset = data.Dataset(epath.Path(settings.train_sets).name, items, items[:0])
    else:
        dataset = known or settings.data.load()
    if settings.held_out:
        if len(dataset.held_out):
            raise InputError(
                f"{dataset.name} has held-out items of its own: leave out {FIELD[0]}.", "held_out"
            )
        unseen = data.read(settings.held_out, **options)[0]
        values = data.beside(unseen, dataset.item_shape if dataset.is_image else ()).values
        require_alike(values, dataset.item_shape, dataset.is_image, settings.held_out)
        dataset = dataclasses.replace(dataset, held_out=values)
    return dataset, places


def read_training_sets(
    folder: str, options: Mapping[str, Any], wanted: Sequence[int]
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """One training set for each size, as one array without repeats.

    Returns:
      The items of all sets, each once, those of the smallest first; and K -> the places of that set's items in it.
    Raises:
      InputError: a size is missing, has another number of items than its name says, or other items.
    """
    by_size = {own.num_train: own for own in sized_sets(folder)}
    place: dict[bytes, int] = {}
    items: list[np.ndarray] = []
    places: dict[int, np.ndarray] = {}
    for size in wanted:
        if size not in by_size:
            raise InputError.setting(
                "train_sets", folder, f"a folder that has the training items of K = {size} too"
            )
        values = data.read(by_size[size].path, **options)[0].values
        if len(values) != size:
            raise InputError(
                f"{by_size[size].path} holds {len(values)} items, and its name says {size}: rename it"
            )
        if items:
            require_alike(values, items[0].shape, items[0].dtype == np.uint8, str(by_size[size].path))
        at = []
        for item in values:
            key = item.tobytes()
            if key not in place:
                place[key] = len(items)
                items.append(item)
            at.append(place[key])
        places[size] = np.array(at)
    return np.stack(items), places


def require_alike(values: np.ndarray, item_shape: Sequence[int], is_image: bool, what: str) -> None:
    """Refuses items that are not like the training items."""
    if tuple(values.shape[1:]) != tuple(item_shape) or (values.dtype == np.uint8) != is_image:
        kind = {True: "images", False: "vectors"}
        raise InputError(
            f"{what} holds {kind[values.dtype == np.uint8]} of shape {values.shape[1:]}, and the training items are "
            f"{kind[is_image]} of {tuple(item_shape)}: bring both to one, with {FIELD[0]} and {FIELD[1]} for images",
            "data.size",
            "data.channels",
        )


def _stamp(own: SizedSet) -> list[int]:
    """What changes when a file, or one of a folder, changes."""
    inside = () if own.path.is_file() else shown(own.path.rglob("*"))
    files = [own.path] if own.path.is_file() else [file for file in inside if file.is_file()]
    told = [file.stat() for file in files]
    return [len(told), sum(one.st_size for one in told), max((one.st_mtime_ns for one in told), default=0)]


def _read_record(folder: epath.Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RECORD).read_text())
    except (OSError, ValueError):
        return {}
