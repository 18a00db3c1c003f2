"""Data as arrays: uint8 images or float32 vectors, with nested subsets of growing size."""

from memgen_jax.data.datasets import (
    Dataset,
    circle,
    decode,
    digits,
    encode,
    gaussian_pixels,
    load,
)
from memgen_jax.data.subsets import SUBSET_SEED, coarse_grid, paper_grid, permutation

__all__ = [
    "SUBSET_SEED",
    "Dataset",
    "circle",
    "coarse_grid",
    "decode",
    "digits",
    "encode",
    "gaussian_pixels",
    "load",
    "paper_grid",
    "permutation",
]
