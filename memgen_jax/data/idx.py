"""The idx files of MNIST and its relatives: http://yann.lecun.com/exdb/mnist, gzipped or not."""

import gzip
import math
import os
import re
import struct
from collections.abc import Collection
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from memgen_jax.data.items import first_line
from memgen_jax.errors import InputError

PREFIX = {"train": "train", "test": "t10k"}
# EMNIST and QMNIST put a name in front, some mirrors write a dot before idx, and some say test.
_NAME = re.compile(r"(?P<set>.*?)(?P<split>train|t10k|test)-images[-.]idx3-ubyte(\.gz)?", re.IGNORECASE)
_LABELS = re.compile(r".*?(train|t10k|test)-labels[-.]idx1-ubyte(\.gz)?", re.IGNORECASE)
_OTHER_NAME = re.compile(r".+[-.]idx3-ubyte(\.gz)?", re.IGNORECASE)
_BOMB = 200, 2**30  # unpacked size over packed size, and unpacked size, above which both mean harm


def read_idx_images(folder: str | os.PathLike, split: str) -> UInt8[np.ndarray, "item height width 1"]:
    """The images of one split ("train" or "test") in a folder with the four original files."""
    folder = Path(folder)
    found = [
        file
        for file in (sorted(folder.iterdir()) if folder.is_dir() else ())
        if file.name[0] != "."
        and (match := _NAME.fullmatch(file.name))
        and (match["split"].lower() == "train") == (split == "train")
    ]
    stems = {file.name.removesuffix(".gz") for file in found}
    if len(stems) > 1:
        raise InputError(
            f"{folder} holds several idx files of split {split}: give one of {', '.join(sorted(stems))}"
        )
    if found:
        return read_idx_file(found[-1])  # packed rather than not: what unpacking left half done is not
    return _read(folder, f"{PREFIX[split]}-images-idx3-ubyte", ndim=3)[..., None]


def read_idx_file(path: str | os.PathLike) -> UInt8[np.ndarray, "item height width 1"]:
    """The images of one file, gzipped or not."""
    return _content(Path(path), ndim=3)[..., None]


def is_idx_name(name: str) -> bool:
    """Whether files of images are called so; one alone need not say its split."""
    return _OTHER_NAME.fullmatch(name) is not None


def is_folder(names: Collection[str]) -> bool:
    """Whether a folder with entries of these names has both splits."""
    splits = {match["split"].lower() == "train" for name in names if (match := _NAME.fullmatch(name))}
    return len(splits) == 2


def is_original(name: str) -> bool:
    """Whether a file so called is one of the four, gzipped or not: images or labels of a split."""
    return _NAME.fullmatch(name) is not None or _LABELS.fullmatch(name) is not None


def read_idx_labels(folder: str | os.PathLike, split: str) -> UInt8[np.ndarray, " item"]:
    """The class of each image of one split."""
    return _read(Path(folder), f"{PREFIX[split]}-labels-idx1-ubyte", ndim=1)


def _read(folder: Path, name: str, ndim: int) -> UInt8[np.ndarray, "..."]:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            return _content(path, ndim)
    raise InputError(f"there is no {name} or {name}.gz in {folder}: give the folder of the idx files")


def _content(path: Path, ndim: int) -> UInt8[np.ndarray, "..."]:
    try:
        packed = path.stat().st_size
        with path.open("rb") as stream:
            gzipped = stream.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else path.open("rb") as file:
            magic, *shape = struct.unpack(f">{ndim + 1}I", file.read(4 * (ndim + 1)))
            if magic != 0x800 + ndim:  # 8: unsigned bytes; then the number of dimensions
                raise ValueError(f"it begins with {magic:#x} instead of {0x800 + ndim:#x}")
            size = math.prod(shape)
            if size > max(_BOMB[1], _BOMB[0] * packed) or (not gzipped and size > packed):
                raise ValueError(f"it says that it has {size:,} bytes, and takes {packed:,}")
            content = file.read(size + 1)
        if len(content) != size:
            raise ValueError(
                f"{'more than' if len(content) > size else 'only'} {min(len(content), size):,} bytes are there"
            )
        return np.frombuffer(content, np.uint8).reshape(shape)
    except Exception as error:  # gzip lets through whatever damage leads it to
        raise InputError(
            f"{path} is not a whole idx file ({first_line(error)}): make or fetch it again"
        ) from error
