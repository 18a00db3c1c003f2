"""The original files of CIFAR10 and CIFAR100, the batches of their Python version, in the order of the archive."""

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

BATCHES = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}


def read_cifar_images(folder: str | os.PathLike, split: str) -> UInt8[np.ndarray, "item 32 32 3"]:
    """The images of a split, "train" or "test", of a folder such as cifar-10-batches-py or cifar-100-python.

    Raises:
      InputError: a batch is missing, damaged, or holds something else.
    """
    place = expanded(folder)
    hundred = not (place / "data_batch_1").exists() and (place / "meta").exists()
    return np.concatenate([read_batch(place / name) for name in ((split,) if hundred else BATCHES[split])])


def is_folder(names: Collection[str]) -> bool:
    """Whether a folder with entries of these names is one of CIFAR10's or CIFAR100's."""
    return {"data_batch_1", "test_batch"} <= set(names) or {"train", "test", "meta"} <= set(names)


def is_batch_name(name: str) -> bool:
    """Whether CIFAR10's batches are called so."""
    return name in (*BATCHES["train"], *BATCHES["test"])


def read_batch(file: Path) -> UInt8[np.ndarray, "item 32 32 3"]:
    """The images of one batch."""
    return np.ascontiguousarray(_batch(file).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


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
