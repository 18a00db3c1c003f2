"""Nested training subsets S_K, and the sizes K at which a sweep trains a model."""

import numpy as np
from jaxtyping import Int64

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError, whole_number

ORDERS = ("numpy", "torch", "given")
"""Whose permutation orders the items: NumPy's, that of `torch.randperm`, or none."""
SUBSET_SEED = 3407
"""Seed of the one permutation of which every subset is a prefix (Pham et al. 2025, App. D)."""


@takes_arrays
def permutation(num_items: int, seed: int | tuple[int, ...] = SUBSET_SEED) -> Int64[np.ndarray, " num_items"]:
    """The one order of the data set from which all subsets are taken.

    The subset of size K is the first K entries, so a smaller subset lies inside every larger one.

    Raises:
      InputError: num_items or the seed is no whole number from 0 on.

    >>> from memgen_jax import data
    >>> sorted(data.permutation(5).tolist())
    [0, 1, 2, 3, 4]
    """
    num_items = whole_number("num_items", num_items, 0)
    seeds = [whole_number("seed", part, 0) for part in (seed if isinstance(seed, tuple) else (seed,))]
    own = seeds if isinstance(seed, tuple) else seeds[0]
    return np.random.default_rng(own).permutation(num_items).astype(np.int64)


@takes_arrays
def torch_randperm(num_items: int, seed: int = SUBSET_SEED) -> Int64[np.ndarray, " num_items"]:
    """`torch.randperm(num_items)` after `torch.manual_seed(seed)` on a CPU, without PyTorch.

    The first K entries are the training subset of the networks that the paper's authors released. The generator is the
    Mersenne Twister, the shuffle Fisher and Yates's: entry i changes places with i + draw mod (n - i).

    Raises:
      InputError: num_items is no whole number from 0 on, or the seed none in 0..2^32 - 1.

    >>> from memgen_jax.data import torch_randperm
    >>> torch_randperm(10).tolist()
    [9, 1, 5, 7, 3, 2, 8, 6, 4, 0]
    """
    num_items = whole_number("num_items", num_items, 0)
    seed = whole_number("seed", seed, 0, 2**32 - 1)
    generator = np.random.MT19937()
    generator._legacy_seeding(seed)  # type: ignore[attr-defined]  # as every Mersenne Twister but numpy's newer ones
    draws = generator.random_raw(max(num_items - 1, 1)).tolist()
    order = list(range(num_items))
    for i in range(num_items - 1):
        j = i + draws[i] % (num_items - i)
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)


@takes_arrays
def subset_order(num_items: int, name: str = "numpy") -> Int64[np.ndarray, " num_items"]:
    """The order of which training sets are prefixes, by its name, one of `ORDERS`.

    Raises:
      InputError: there is no such order.
    """
    if name not in ORDERS:
        raise InputError.setting("order", name, f"one of {', '.join(ORDERS)}")
    if name == "given":
        return np.arange(whole_number("num_items", num_items, 0))
    return torch_randperm(num_items) if name == "torch" else permutation(num_items)


@takes_arrays
def paper_grid(a: int, b: int, total: int) -> tuple[int, ...]:
    """The paper's sizes K: coarse up to A, dense from A to B, coarse up to the whole data set.

    The union of linspace(2, A, 5), linspace(A, B, 30) and linspace(B, total, 5), each truncated to
    integers as in Pham et al. 2025, App. D: 38 sizes for each of the paper's data sets. Sizes that
    coincide after truncation (small A or B) are kept once.

    Args:
      a, b: ends of the range in which memorization falls; 2 < a < b < total.
      total: number of training items.
    Raises:
      InputError: when the three numbers are not in that order.

    >>> from memgen_jax import data
    >>> sizes = data.paper_grid(2_000, 16_000, 50_000)  # CIFAR10's
    >>> len(sizes), sizes[:5], 7310 in sizes
    (38, (2, 501, 1001, 1500, 2000), True)
    """
    total = whole_number("total", total, 0)
    if not 2 < a < b < total:
        allowed = (
            f"A and B such that 2 < A < B < {total} (the number of training items), around the sizes where "
            "memorization falls"
        )
        raise InputError.setting("grid_ends", (a, b), allowed)
    pieces = (np.linspace(2, a, 5), np.linspace(a, b, 30), np.linspace(b, total, 5))
    return tuple(sorted({int(size) for piece in pieces for size in piece}))


@takes_arrays
def coarse_grid(total: int, first: Positive = 500) -> tuple[int, ...]:
    """The search that comes before A and B are known: `first`, doubling, ending at `total`.

    >>> from memgen_jax import data
    >>> data.coarse_grid(5_000, first=500)
    (500, 1000, 2000, 4000, 5000)
    """
    for name, value in (("grid_first", first), ("total", total)):
        if not value >= 1:
            raise InputError.setting(name, value, "at least 1 training item")
        whole_number(name, value, 1)
    sizes = []
    size, total = int(first), int(total)
    while size < total:
        sizes.append(size)
        size *= 2
    return (*sizes, total)
