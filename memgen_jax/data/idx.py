"""The idx files of MNIST and its relatives: http://yann.lecun.com/exdb/mnist, gzipped or not."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from memgen_jax.errors import InputError

PREFIX = {"train": "train", "test": "t10k"}


def read_idx_images(folder: str | os.PathLike, split: str) -> UInt8[np.ndarray, "item height width 1"]:
    """The images of one split ("train" or "test") in a folder with the four original files."""
    return _read(Path(folder), f"{PREFIX[split]}-images-idx3-ubyte", ndim=3)[..., None]


def read_idx_labels(folder: str | os.PathLike, split: str) -> UInt8[np.ndarray, " item"]:
    """The class of each image of one split."""
    return _read(Path(folder), f"{PREFIX[split]}-labels-idx1-ubyte", ndim=1)


def _read(folder: Path, name: str, ndim: int) -> UInt8[np.ndarray, "..."]:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
            break
    else:
        raise InputError(f"there is no {name} or {name}.gz in {folder}: give the folder of the idx files")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        magic, *shape = struct.unpack_from(f">{ndim + 1}I", content)
        if magic != 0x800 + ndim:  # 8: unsigned bytes; then the number of dimensions
            raise ValueError(f"it begins with {magic:#x} instead of {0x800 + ndim:#x}")
        return np.frombuffer(content, np.uint8, offset=4 * (ndim + 1)).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        raise InputError(f"{path} is not a whole idx file ({error}): fetch it again") from error
