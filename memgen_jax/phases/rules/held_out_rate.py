"""The rule "held_out_rate": at every K, and at every set size, the same share of real items would count."""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import NotNegative
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.rules.held_out_images import held_out
from memgen_jax.phases.rules.thresholds import Thresholds

MOST_DRAWS = 64  # of real sets of one size
ITEMS_DRAWN = 16_384  # after which no further sets are drawn


@takes_arrays
def held_out_rate(
    unseen_distance: Float[np.ndarray, " unseen *subset"],
    own_distance: Callable[[np.ndarray], Float[np.ndarray, " item"]],
    num_real: int,
    size: int,
    false_positive_rate: float = 0.01,
    seed: NotNegative = 0,
) -> Thresholds:
    """Thresholds of one K at a fixed rate: δ_m from unseen items against this training set, δ_s from real sets.

    A fixed distance (rule "held_out") is passed by ever more unseen items as the training set grows, and by ever more
    pairs as the samples do. Here both rates stay: δ_m is the quantile of the unseen items' distances to *these* K
    items, and δ_s that of real items to their nearest other in sets as large as the samples, of many random sets
    taken together: in one small set the nearest pair alone would decide, and on average too narrowly.

    Args:
      unseen_distance: from held-out items to the nearest of the K training items; see `held_out`.
      own_distance: indices of real items -> the distance of each to its nearest other among them.
      num_real: how many real items there are.
      size: of the set of samples; where there are fewer real items, all of them are taken and δ_s is too wide: more
        than the rate of a set of honest samples would count as repeats.
      false_positive_rate: in (0, 1).
      seed: of the draws.
    Raises:
      InputError: too few distances for the rate.
    """
    for name, value in (("num_real", num_real), ("size", size)):
        if not value >= 1:
            raise InputError.setting(name, value, "at least 1")
    size = min(size, num_real)
    draws = 1 if size == num_real else max(1, min(MOST_DRAWS, ITEMS_DRAWN // size))
    random = np.random.default_rng(seed)
    chosen = [np.sort(random.choice(num_real, size, replace=False)) for _ in range(draws)]
    real_distance = np.stack([own_distance(items) for items in chosen], axis=1)
    found = held_out(unseen_distance, real_distance, false_positive_rate)
    return dataclasses.replace(found, rule=f"{found.rule} at every K")
