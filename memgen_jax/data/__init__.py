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
from memgen_jax.data.images import Items, count_by_kind
from memgen_jax.data.sources import read, read_sets
from memgen_jax.data.subsets import (
    ORDERS,
    SUBSET_SEED,
    coarse_grid,
    paper_grid,
    permutation,
    subset_order,
    torch_randperm,
)
from memgen_jax.data.tfds import prepare_fashion_mnist

__all__ = [
    "ORDERS",
    "SUBSET_SEED",
    "Dataset",
    "Items",
    "circle",
    "coarse_grid",
    "count_by_kind",
    "decode",
    "digits",
    "encode",
    "gaussian_pixels",
    "load",
    "paper_grid",
    "permutation",
    "prepare_fashion_mnist",
    "read",
    "read_sets",
    "subset_order",
    "torch_randperm",
]
