"""Data of which nothing could be learned: refused before anything is trained."""

import dataclasses
import hashlib

import numpy as np
from jaxtyping import Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data.datasets import Dataset
from memgen_jax.errors import InputError


@takes_arrays
def require_variety(
    train: Shaped[np.ndarray, "train ..."], held_out: Shaped[np.ndarray, "held_out ..."], name: str
) -> None:
    """Refuses items that are all the same.

    Args:
      train, held_out: items of one shape; the second may be empty.
      name: of the data set, for the sentence.
    Raises:
      InputError: all training items are equal, or two or more held-out items are all equal.
    """
    for items, words in ((train, "training"), (held_out, "held-out")):
        if len(items) > 1 and all_equal(items):
            raise InputError(
                f"all {len(items):,} {words} items of {name} are the same: there is nothing to tell a copy from."
            )


def all_equal(items: Shaped[np.ndarray, "item ..."]) -> bool:
    """Whether every item equals the first; stops at the first that does not."""
    return all(np.array_equal(item, items[0]) for item in items[1:])


@takes_arrays
def without_seen(dataset: Dataset) -> Dataset:
    """The data set without the held-out items that are training items, number for number; its note counts them.

    They say nothing of what a network has not seen, and a threshold calibrated on them would be too small, or zero.

    Raises:
      InputError: none is left.
    """
    if not len(dataset.held_out):
        return dataset
    known = {_digest(item) for item in dataset.train}
    seen = np.array([_digest(item) in known for item in dataset.held_out], bool)
    if not seen.any():
        return dataset
    if seen.all():
        require_variety(
            dataset.train, dataset.held_out, dataset.name
        )  # of one and the same item that is the matter
        raise InputError(
            f"every one of the {len(seen):,} held-out items of {dataset.name} is a training item too: give real items "
            "that no network has seen"
        )
    left_out = f"{seen.sum():,} of {len(seen):,} held-out items left out, which are training items too"
    note = "; ".join(filter(None, (dataset.note, left_out)))
    return dataclasses.replace(dataset, held_out=dataset.held_out[~seen], note=note)


def _digest(item: np.ndarray) -> bytes:
    """Its numbers in 16 bytes, for a training set may be as large as memory."""
    return hashlib.blake2b(item.tobytes(), digest_size=16).digest()
