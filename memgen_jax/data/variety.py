"""Data of which nothing could be learned: refused before anything is trained."""

import numpy as np
from jaxtyping import Shaped

from memgen_jax.errors import InputError


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


def require_novelty(
    train: Shaped[np.ndarray, "train ..."],
    held_out: Shaped[np.ndarray, "held_out ..."],
    rate: float,
    name: str,
) -> None:
    """Refuses held-out items of which so many are training items that the calibrated threshold would be zero.

    Args:
      train, held_out: items of one shape.
      rate: of false positives; the threshold is the distance of the ⌊rate (n + 1)⌋-th nearest of n held-out items.
      name: of the data set, for the sentence.
    Raises:
      InputError: that item, and all before it, equal a training item.
    """
    known = {hash(item.tobytes()) for item in train}
    copies = sum(hash(item.tobytes()) in known for item in held_out)
    if copies >= max(1, int(rate * (len(held_out) + 1) + 1e-9)):
        raise InputError(
            f"{copies:,} of {len(held_out):,} held-out items of {name} are training items too, so that a threshold "
            f"which {100 * rate:g}% of them pass is zero: leave out what is there twice."
        )
