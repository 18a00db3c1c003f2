"""The original files of CIFAR10 and CIFAR100, Python's version or the binary one, in the order of the archive."""

import io
import os
import pickle
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from memgen_jax.errors import InputError
from memgen_jax.files import expanded

BINARY = ".bin"
FIRST = ("data_batch_1", "train")  # of CIFAR10's files, of CIFAR100's
BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def read_cifar_images(folder: str | os.PathLike, split: str) -> UInt8[np.ndarray, "item 32 32 3"]:
    """The images of a split, "train" or "test", of a folder such as cifar-10-batches-py or cifar-100-binary.

    Raises:
      InputError: a batch is missing, damaged, or holds something else.
    """
    place = expanded(folder)
    names = {entry.name for entry in place.iterdir()} if place.is_dir() else set()
    ending = BINARY if not names & set(FIRST) and names & {name + BINARY for name in FIRST} else ""
    hundred = f"{FIRST[0]}{ending}" not in names and f"{FIRST[1]}{ending}" in names
    return np.concatenate(
        [read_batch(place / f"{name}{ending}") for name in ((split,) if hundred else BATCHES[split])]
    )


def is_folder(names: Collection[str]) -> bool:
    """Whether a folder with entries of these names is one of CIFAR10's or CIFAR100's."""
    there = set(names)
    ten, hundred = {"data_batch_1", "test_batch"}, {"train", "test"}
    return (
        ten <= there
        or hundred | {"meta"} <= there
        or {name + BINARY for name in ten} <= there
        or {name + BINARY for name in hundred} | {"fine_label_names.txt"} <= there
    )


def is_original(name: str) -> bool:
    """Whether a file so called is part of what CIFAR's archives hold."""
    plain = name.removesuffix(BINARY)
    more = ("meta", "batches.meta", "batches.meta.txt", "readme.html", "file.txt~")
    return plain in (*BATCHES["train"], *BATCHES["test"], *BATCHES, *more) or name.endswith(
        "_label_names.txt"
    )


def is_batch(file: Path) -> bool:
    """Whether a file is called as CIFAR10's batches are, or as CIFAR100's and lies beside what CIFAR100 has."""
    name = file.name.removesuffix(BINARY)
    if name in (*BATCHES["train"], *BATCHES["test"]):
        return True
    beside = "fine_label_names.txt" if file.name.endswith(BINARY) else "meta"
    return name in BATCHES and (file.parent / beside).is_file()


def read_batch(file: Path) -> UInt8[np.ndarray, "item 32 32 3"]:
    """The images of one batch."""
    rows = _binary(file) if file.name.endswith(BINARY) else _batch(file)
    return np.ascontiguousarray(rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


def _binary(file: Path) -> UInt8[np.ndarray, "item 3072"]:
    """Rows of a label, of CIFAR100 two, and 3,072 bytes."""
    if not file.is_file():
        raise InputError(
            f"there is no {file}: give the folder of CIFAR's binary version, cifar-10-batches-bin"
        )
    labels = 1 if file.name.removesuffix(BINARY) not in BATCHES else 2
    stored = np.fromfile(file, np.uint8)
    if not stored.size or stored.size % (3072 + labels):
        raise InputError(
            f"{file} is cut short, or no batch of CIFAR: its rows are of {3072 + labels:,} bytes"
        )
    return stored.reshape(-1, 3072 + labels)[:, labels:]


class _Numbers(pickle.Unpickler):
    """Builds arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return lambda kind, shape, dtype: np.ndarray(shape, "u1")
        if module == "numpy" and name in ("ndarray", "dtype"):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return lambda text, coding: text.encode(coding)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _batch(file: Path) -> UInt8[np.ndarray, "item 3072"]:
    if not file.is_file():
        raise InputError(
            f"there is no {file}: give the folder of CIFAR10's Python version, cifar-10-batches-py"
        )
    try:
        stored = _Numbers(io.BytesIO(file.read_bytes()), encoding="latin1").load()
        images = stored.get("data", stored.get(b"data")) if isinstance(stored, dict) else None
    except Exception as error:  # a damaged pickle may raise nearly anything
        reason = str(error).splitlines()[0][:100] if str(error) else type(error).__name__
        raise InputError(f"{file} is damaged, or no batch of CIFAR10 ({reason})") from error
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (3072,):
        raise InputError(f"{file} is no batch of CIFAR10: it holds no rows of 3,072 bytes")
    return images
