"""The rule "held_out_rate": at every K, and at every set size, the same share of real items would count."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import NotNegative
from memgen_jax.arrays_in import as_array, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.rules.held_out_images import held_out
from memgen_jax.phases.rules.real_sets import real_sets, repeat_threshold
from memgen_jax.phases.rules.thresholds import Thresholds


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

    A fixed distance (rule "held_out") is passed by ever more unseen items as the training set grows. Here the rate
    stays: δ_m is the quantile of the unseen items' distances to *these* K items. δ_s is that of real items to their
    nearest other in sets as large as the samples; see `repeat_threshold`.

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
    sets = real_sets(num_real, size, seed)
    real_distance = np.stack([_one_each(own_distance(items), items) for items in sets], axis=1)
    found = held_out(unseen_distance, real_distance, false_positive_rate)
    delta_s, interval = repeat_threshold(real_distance, num_real, false_positive_rate)
    rule = f"{found.rule} at every K"
    return dataclasses.replace(found, rule=rule, delta_s=delta_s, delta_s_interval=interval)


def _one_each(distance: Any, items: np.ndarray) -> Float[np.ndarray, " item"]:
    """What `own_distance` gave, one number for each item; a column will do."""
    found = as_array("own_distance(items)", distance)
    if found.shape not in ((len(items),), (len(items), 1)):
        raise InputError(
            f"own_distance gives {found.shape} for {len(items)} items: it must give one distance for each of them"
        )
    return found.reshape(len(items)).astype(np.result_type(found, np.float32), copy=False)
