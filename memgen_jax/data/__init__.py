"""Data as arrays: uint8 images or float32 vectors, with nested subsets of growing size."""

from memgen_jax.data.arrays import as_pixels, span_at_hand
from memgen_jax.data.datasets import (
    NAMED,
    Dataset,
    circle,
    decode,
    digits,
    encode,
    gaussian_pixels,
    load,
    set_aside,
)
from memgen_jax.data.foreseeing import foresee_shape
from memgen_jax.data.images import beside, in_one_colour
from memgen_jax.data.items import Items, count_by_kind, legible, listed, with_unused
from memgen_jax.data.ranges import decide as decide_ranges
from memgen_jax.data.ranges import of_one_set as span_of_one_set
from memgen_jax.data.sources import float_span, of_arrays, read, read_sets
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
from memgen_jax.data.variety import require_variety, without_seen

__all__ = [
    "NAMED",
    "ORDERS",
    "SUBSET_SEED",
    "Dataset",
    "Items",
    "as_pixels",
    "beside",
    "circle",
    "coarse_grid",
    "count_by_kind",
    "decide_ranges",
    "decode",
    "digits",
    "encode",
    "float_span",
    "foresee_shape",
    "gaussian_pixels",
    "in_one_colour",
    "legible",
    "listed",
    "load",
    "of_arrays",
    "paper_grid",
    "permutation",
    "prepare_fashion_mnist",
    "read",
    "read_sets",
    "require_variety",
    "set_aside",
    "span_at_hand",
    "span_of_one_set",
    "subset_order",
    "torch_randperm",
    "with_unused",
    "without_seen",
]
