"""From the signs of Δ to a probability, and to the training-set size at which it turns."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases import half_crossing
from memgen_jax.statistics import wilson_interval


@takes_arrays
def probability_positive(signs: Float[np.ndarray, " replicate"]) -> tuple[float, float, float]:
    """P(Δ > 0) with a 95% Wilson interval (Onset 2024, section 3.2).

    Args:
      signs: Δ, or anything with its sign, one for each replicate; a tie counts half.
    Returns:
      The probability and the ends of its interval, which take a half count both ways.

    >>> import numpy as np
    >>> from memgen_jax import onset
    >>> onset.probability_positive(np.array([1.0, 2.0, -1.0, 0.5]))[0]
    0.75
    """
    count = float(np.sum(positive(signs)))
    low, _ = wilson_interval(math.floor(count), len(signs))
    _, high = wilson_interval(math.ceil(count), len(signs))
    return count / len(signs), low, high


def positive(signs: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """1 where Δ > 0, 0 where Δ < 0, ½ for a tie."""
    return (1 + np.sign(signs)) / 2


@takes_arrays
def critical_size(
    num_train: Sequence[int],
    signs: Float[np.ndarray, "size replicate"],
    *,
    bootstrap: bool = False,
    resamples: Positive = 1000,
    seed: NotNegative = 0,
) -> dict[str, float | None]:
    """The training-set size at which P(Δ > 0), made non-decreasing, crosses one half.

    Args:
      num_train: sizes in ascending order.
      signs: Δ, or anything with its sign.
      bootstrap: whether the replicates are resamples of one experiment, whose spread is then the
        interval; otherwise they are independent repetitions, resampled here to see how well their
        mean is known. Resamples of different sizes are taken to be independent. Where P jumps from 0
        to 1 the interval reaches to the sizes on either side.
      resamples: for the interval of independent repetitions.
      seed: of that resampling.
    Returns:
      `num_train` with its 95% interval `low`, `high`, and `crossed`, the share of resamples that
      cross at all within the sizes; None where there is no crossing.
    Raises:
      InputError: when the sizes do not ascend or do not match the signs.
    """
    sizes = np.asarray(num_train, np.float64)
    if len(sizes) == 0 or len(sizes) != len(signs) or (np.diff(sizes) <= 0).any():
        raise InputError(f"sizes {list(num_train)} must ascend and match {len(signs)} rows of signs.")
    share = positive(signs)
    if bootstrap:
        curves = share.T
    else:
        rng = np.random.default_rng(seed)
        chosen = rng.integers(share.shape[1], size=(resamples, share.shape[1]))
        curves = np.stack([share[:, index].mean(1) for index in chosen])
    value = half_crossing(sizes, share.mean(1), np.ones(len(sizes)), increasing=True)
    found = np.array([end for curve in curves if (end := _ends(sizes, curve)) is not None])
    crossed = len(found) / len(curves)
    if not math.isfinite(value) or not len(found):
        return {"num_train": None, "low": None, "high": None, "crossed": crossed}
    low, high = float(np.quantile(found[:, 0], 0.025)), float(np.quantile(found[:, 1], 0.975))
    return {"num_train": value, "low": min(low, value), "high": max(high, value), "crossed": crossed}


def _ends(sizes: Float[np.ndarray, " size"], share: Float[np.ndarray, " size"]) -> tuple[float, float] | None:
    """Between which sizes one curve crosses one half; the crossing itself, twice, where it can be read off.

    A curve that jumps from 0 to 1 says no more than that the crossing lies between two sizes of the grid.
    """
    value = half_crossing(sizes, share, np.ones(len(sizes)), increasing=True)
    if not math.isfinite(value):
        return None
    below, above = np.flatnonzero(sizes <= value)[-1], np.flatnonzero(sizes >= value)[0]
    if share[below] in (0, 1) and share[above] in (0, 1):
        return float(sizes[below]), float(sizes[above])
    return value, value
