"""One way to name where items are stored: a path, or a kind and a name."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from memgen_jax.data import cifar, idx, tfds
from memgen_jax.data.arrays import items_of_arrays, read_array, read_array_folder
from memgen_jax.data.images import SUFFIXES, Items, joined, read_folder, recolour, resize
from memgen_jax.errors import InputError

KINDS = "an .npz or .npy file, a folder of images or of such files, tfds:NAME, idx:FOLDER, or cifar:FOLDER"


def read(
    source: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    value_range: str | None = None,
) -> tuple[Items, Items | None]:
    """Reads the items of a source, and its own held-out items where it has some.

    | source | items | held out |
    |---|---|---|
    | FILE.npz, FILE.npy | `images`, see `read_array` | `held_out` of the .npz |
    | FILE.npz:NAME | the array NAME | – |
    | a folder | all images below it, see `read_folder` | – |
    | a folder of .npz or .npy files alone | their items as one set, see `read_array_folder` | – |
    | tfds:NAME | split "train" of prepared data, see `read_tfds` | split "test", else "validation" |
    | tfds:NAME:SPLIT | that split | – |
    | idx:FOLDER | train-images of MNIST's four files | t10k-images |
    | cifar:FOLDER | the five batches of CIFAR10's Python version | its test batch |

    Args:
      source: one of the above.
      data_dir: for tfds, the folder of prepared data sets.
      size: brings images to size × size: central square, then bicubic.
      channels: 1 turns all images grey, 3 makes all RGB.
      skip_bad: for folders, see `read_folder`.
      value_range: for float images, see `read_array`.
    Raises:
      InputError: when there is no such source, or it does not hold what it should.
    """
    source = os.fspath(source)
    kind, _, rest = source.partition(":")
    if kind == "tfds":
        items, held_out = _read_tfds(rest, data_dir, size)
        return _fitted(items, size, channels), held_out and _fitted(held_out, size, channels)
    if kind in ("idx", "cifar"):
        images_of = idx.read_idx_images if kind == "idx" else cifar.read_cifar_images
        parts = [
            Items(images, [f"{split}[{i}]" for i in range(len(images))])
            for split in ("train", "test")
            for images in [images_of(rest, split)]
        ]
        return _fitted(parts[0], size, channels), _fitted(parts[1], size, channels)
    path = Path(source).expanduser()
    if path.is_dir() and holds_arrays_alone(path):
        return _fitted(read_array_folder(path, value_range), size, channels), None
    if path.is_dir():
        return read_folder(path, size=size, channels=channels, skip_bad=skip_bad), None
    file, _, name = source.rpartition(":")
    if not path.exists() and Path(file).suffix.lower() == ".npz":
        items, held_out = read_array(Path(file).expanduser(), value_range, name)
        return _fitted(items, size, channels), held_out and _fitted(held_out, size, channels)
    if path.suffix.lower() in (".npz", ".npy"):
        items, held_out = read_array(path, value_range)
        return _fitted(items, size, channels), held_out and _fitted(held_out, size, channels)
    if path.exists():
        raise InputError(f"{source} is neither a folder nor an .npz or .npy file: give {KINDS}")
    raise InputError(f"there is nothing at {source}: give {KINDS}")


def of_arrays(
    arrays: Sequence[np.ndarray],
    name: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    value_range: str | None = None,
) -> tuple[Items, Items | None]:
    """As `read`, of arrays at hand: the items, and held-out items if there is a second array."""
    held_out = arrays[1] if len(arrays) > 1 else None
    items, rest = items_of_arrays(arrays[0], held_out, name, value_range)
    return _fitted(items, size, channels), rest and _fitted(rest, size, channels)


def holds_arrays_alone(folder: Path) -> bool:
    """Whether a folder has .npz or .npy files, and neither pictures nor folders, beside whatever else."""
    found = {"folder" if entry.is_dir() else entry.suffix.lower() for entry in folder.iterdir()}
    return bool(found & {".npz", ".npy"}) and not found & {"folder", *SUFFIXES}


def read_sets(sources: Sequence[str | os.PathLike], **options: Any) -> tuple[Items, Items | None]:
    """`read` of several sources that are one set; held-out items of their own only where there is one source."""
    if len(sources) == 1:
        return read(sources[0], **options)
    parts = [
        part._replace(names=[f"{source}/{name}" for name in part.names])
        for source in sources
        for part, _ in [read(source, **options)]
    ]
    return joined(parts), None


def _read_tfds(name: str, data_dir: str | os.PathLike | None, size: int | None) -> tuple[Items, Items | None]:
    if match := re.fullmatch(r"(.+):(\w+)", name):
        return tfds.read_tfds(match[1], match[2], data_dir=data_dir, size=size), None
    items = tfds.read_tfds(name, "train", data_dir=data_dir, size=size)
    there = tfds.split_names(name, data_dir)
    for split in ("test", "validation"):
        if split in there:
            return items, tfds.read_tfds(name, split, data_dir=data_dir, size=size)
    return items, None


def _fitted(items: Items, size: int | None, channels: int | None) -> Items:
    for name, value in (("size", size), ("channels", channels)):
        if value is not None and items.values.ndim != 4:
            raise InputError(f"{name}={value} applies to images, not to vectors: leave it out")
    values = items.values if size is None else resize(items.values, size)
    return items._replace(values=values if channels is None else recolour(values, channels))
