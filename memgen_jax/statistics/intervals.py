"""Intervals of a fraction, and of the mean of a few independent values."""

from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri, stdtrit

from memgen_jax.arrays_in import as_array, takes_arrays
from memgen_jax.errors import InputError


@takes_arrays
def wilson_interval(successes: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval for a binomial fraction (Wilson 1927).

    Holds its level near 0 and 1, where the normal interval collapses to a point: for no success
    in n trials the upper end is z²/(n + z²), close to the rule of three, 3/n.

    Args:
      successes: 0..trials.
      trials: number of samples, ≥ 1.
      confidence: two-sided level in (0, 1).

    Returns:
      Lower and upper end, in [0, 1].

    Raises:
      InputError: the counts or the level are out of range.

    >>> from memgen_jax import statistics
    >>> low, high = statistics.wilson_interval(7, 100)
    >>> round(low, 3), round(high, 3)
    (0.034, 0.137)
    """
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(f"{successes} of {trials} is not a fraction; give 0 ≤ successes ≤ trials")
    require_level(confidence)
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    fraction = successes / trials
    centre = (fraction + z2 / (2 * trials)) / (1 + z2 / trials)
    half = (z2 * (fraction * (1 - fraction) / trials + z2 / (4 * trials**2))) ** 0.5
    half /= 1 + z2 / trials
    # At the two ends the formula gives exactly 0 and 1; rounding must not miss them.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


@takes_arrays
def zero_bound(trials: int, confidence: float = 0.95) -> float:
    """Upper bound on a fraction of which no case was seen: 1 - (1 - confidence)^(1/trials).

    One-sided and exact; about 3/trials at 95%, hence "rule of three" (Hanley & Lippman-Hand 1983).

    >>> from memgen_jax import statistics
    >>> round(statistics.zero_bound(1000), 4)  # none of 1,000: with 95% confidence fewer than 0.3%
    0.003
    """
    if not trials >= 1:
        raise InputError(f"trials = {trials} leaves nothing to bound; give at least one sample")
    require_level(confidence)
    return 1 - (1 - confidence) ** (1 / trials)


@takes_arrays
def student_interval(values: Sequence[float] | np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Student's interval of the mean of independent values, such as what several trainings gave.

    mean ± t s / √n with n - 1 degrees of freedom: t is 12.7 for two values, 4.3 for three and 2.8 for five at 95%. A
    percentile bootstrap over so few covers too rarely: 73, 80 and 90% of the time.

    Raises:
      InputError: fewer than two values.

    >>> from memgen_jax import statistics
    >>> low, high = statistics.student_interval([1.0, 2.0, 3.0])
    >>> round(low, 2), round(high, 2)
    (-0.48, 4.48)
    """
    values = as_array("values", values).reshape(-1)
    count = len(values)
    if count < 2:
        raise InputError(f"{count} value leaves its spread unknown; give at least two")
    require_level(confidence)
    half = float(stdtrit(count - 1, 0.5 + confidence / 2)) * float(np.std(values, ddof=1)) / count**0.5
    return float(np.mean(values)) - half, float(np.mean(values)) + half


def require_level(confidence: float) -> None:
    """Refuses what is no level of confidence."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence = {confidence} is outside (0, 1); 0.95 is usual")
