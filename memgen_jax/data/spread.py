"""Vectors in units of their own spread: what a diffusion process with unit noise asks for."""

import numpy as np
from jaxtyping import Float

from memgen_jax.errors import InputError

SCALES = ("", "spread")


def centre_and_spread(
    vectors: Float[np.ndarray, "item ..."], name: str
) -> tuple[Float[np.ndarray, "..."], float]:
    """The mean vector, and the standard deviation around it over all items and coordinates together.

    One number for all coordinates: distances change by it alone.

    Args:
      name: of the data set, for the sentence.
    Raises:
      InputError: all vectors are equal.
    """
    centre = vectors.mean(axis=0, dtype=np.float64)
    spread = float(np.sqrt(np.mean((vectors - centre) ** 2)))
    if not spread > 0:
        raise InputError(f"all {len(vectors):,} items of {name} are the same: there is nothing to scale by.")
    return centre, spread


def scaled(
    vectors: Float[np.ndarray, "item ..."], centre: Float[np.ndarray, "..."], spread: float
) -> Float[np.ndarray, "item ..."]:
    """float32 (vectors - centre) / spread."""
    return ((vectors - centre) / spread).astype(np.float32)
