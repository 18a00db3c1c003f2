"""Means with bootstrap intervals.

A value of -inf (the log volume of a sample with critical time 0) is a value: it counts in the median; means are
over the finite values, with the number of infinite ones beside them. NaN means "not measured" and is left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.statistics.intervals import require_level


class Mean(NamedTuple):
    """A sample's location.

    Attributes:
      count: values that are not NaN.
      infinite: how many of them are -inf.
      mean, low, high: mean of the finite values and its bootstrap interval; NaN where there are fewer than
        1 (mean) or 2 (interval) of them.
      median: of all values, -inf included.
    """

    count: int  # type: ignore[assignment]
    infinite: int
    mean: float
    low: float
    high: float
    median: float


@takes_arrays
def mean_interval(
    values: Float[np.ndarray, " sample"],
    *,
    confidence: float = 0.95,
    resamples: Positive = 1000,
    seed: NotNegative = 0,
) -> Mean:
    """Mean, percentile bootstrap interval and median, by the rules of this module."""
    values = values[~np.isnan(values)]
    finite = values[np.isfinite(values)]
    infinite = len(values) - len(finite)
    median = float(np.median(values)) if len(values) else np.nan
    if len(finite) < 2:
        mean = float(finite[0]) if len(finite) else np.nan
        return Mean(len(values), infinite, mean, np.nan, np.nan, median)
    draws = np.random.default_rng(seed).integers(0, len(finite), (resamples, len(finite)))
    require_level(confidence)
    tail = (1 - confidence) / 2
    low, high = np.quantile(finite[draws].mean(axis=1), [tail, 1 - tail])
    return Mean(len(values), infinite, float(finite.mean()), float(low), float(high), median)
