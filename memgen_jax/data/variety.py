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
