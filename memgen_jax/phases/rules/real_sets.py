"""δ_s at the size at which repeats are counted: that of real sets as large, drawn many times from what there is."""

import math

import numpy as np
from jaxtyping import Float, Int

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.phases.rules.held_out_images import rank_of, ranks_around, require_enough

MOST_DRAWS = 64  # of real sets of one size
FEWEST_ITEMS = 1_024  # in all sets of one size: of small sets more are drawn
ITEMS_DRAWN = 16_384  # after which no further sets are drawn


@takes_arrays
def real_sets(num_real: Positive, size: Positive, seed: NotNegative = 0) -> list[Int[np.ndarray, " item"]]:
    """Random sets of `size` of the real items, as many as are worth drawing; all items once where they are fewer.

    Args:
      num_real: how many real items there are.
      size: of the set of samples.
      seed: of the draws.
    Returns:
      Indices of items, ascending; of each set.
    Raises:
      InputError: a count below 1, a seed below 0.

    >>> from memgen_jax import phases
    >>> [len(items) for items in phases.real_sets(10_000, size=8_192)], len(phases.real_sets(50, size=100))
    ([8192, 8192], 1)
    """
    size = min(size, num_real)
    most = max(MOST_DRAWS, math.ceil(FEWEST_ITEMS / size))
    draws = 1 if size == num_real else max(1, min(most, ITEMS_DRAWN // size))
    random = np.random.default_rng(seed)
    return [np.sort(random.choice(num_real, size, replace=False)) for _ in range(draws)]


@takes_arrays
def repeat_threshold(
    real_distance: Float[np.ndarray, " item *draw"], num_real: Positive, false_positive_rate: float = 0.01
) -> tuple[float, tuple[float, float]]:
    """The distance within which a share `false_positive_rate` of real items has another, in sets of one size.

    Nearest distances shrink as a set grows, so it belongs to the size of the sets. Of all sets together: in one small
    set the nearest pair alone would decide, and on average too narrowly.

    Args:
      real_distance: from each item of a set to its nearest other in it; of several sets of one size [item, draw].
      num_real: how many real items the sets were drawn from.
      false_positive_rate: in (0, 1).
    Returns:
      δ_s, and the 95% interval of the quantile that it estimates: by order statistics, as if there were as many
      independent distances as sets without a common item could be had. It covers more often than it says (always, in
      200 draws of 1,797 normal items in 8 dimensions, sets of 256).
    Raises:
      InputError: too few distances for the rate, or one that is none.

    >>> import numpy as np
    >>> from memgen_jax import phases
    >>> delta_s, interval = phases.repeat_threshold(np.linspace(0.5, 1.0, 99)[:, None], 99, 0.1)
    >>> round(delta_s, 3)
    0.546
    """
    require_distances(real_distance=real_distance)
    require_enough("real", real_distance, real_distance.size, false_positive_rate)
    every = np.sort(real_distance, axis=None)
    size = len(real_distance)
    independent = size * max(1, num_real // size)
    low, high = ranks_around(false_positive_rate, independent)
    each = len(every) / independent  # distances for each that counts as one of its own
    interval = (
        float(every[math.ceil(low * each) - 1]) if low else 0.0,
        float(every[min(math.ceil((high + 1) * each), len(every)) - 1]),
    )
    return float(every[rank_of(false_positive_rate, len(every)) - 1]), interval
