"""Labels per sample and fractions with intervals."""

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtri

from memgen_jax.errors import InputError

MEMORIZED, SPURIOUS, GENERALIZED = 0, 1, 2
NAMES = ("memorized", "spurious", "generalized")


def classify(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    delta_m: float,
    delta_s: float,
) -> Int[np.ndarray, " sample"]:
    """Labels each synthetic sample as memorized, spurious or generalized.

    Memorized: the nearest training item is within `delta_m` (Pham et al. 2025, Eq. 31). Spurious:
    not memorized, but another synthetic sample is within `delta_s` (Eq. 32). Generalized: neither
    (Eq. 33). The three classes partition the set.

    Args:
      train_distance: distance to the nearest training item, ≥ 0, in the metric's own scale (LPIPS
        is squared, L2 is not).
      synthetic_distance: distance to the nearest *other* synthetic sample, same metric.
      delta_m: largest distance at which a sample counts as a copy of a training item.
      delta_s: largest distance at which two samples count as repeats of each other.

    Returns:
      `MEMORIZED`, `SPURIOUS` or `GENERALIZED` per sample, int32.

    Raises:
      InputError: a threshold is negative or not a number, or a distance is not a number.
    """
    check_thresholds(delta_m, delta_s)
    if np.isnan(train_distance).any() or np.isnan(synthetic_distance).any():
        raise InputError("a distance is NaN, so its sample has no label; look for NaN pixels")
    memorized = train_distance <= delta_m
    repeated = synthetic_distance <= delta_s
    return np.where(memorized, MEMORIZED, np.where(repeated, SPURIOUS, GENERALIZED)).astype(np.int32)


def check_thresholds(delta_m: float, delta_s: float) -> None:
    """Raises InputError unless both thresholds are finite and not negative."""
    for name, value in (("delta_m", delta_m), ("delta_s", delta_s)):
        if not (np.isfinite(value) and value >= 0):
            raise InputError(f"{name} = {value} is not a distance; give a finite number ≥ 0")


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
    """
    if not (trials >= 1 and 0 <= successes <= trials):
        raise InputError(f"{successes} of {trials} is not a fraction; give 0 ≤ successes ≤ trials")
    if not 0 < confidence < 1:
        raise InputError(f"confidence = {confidence} is outside (0, 1); 0.95 is usual")
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    fraction = successes / trials
    centre = (fraction + z2 / (2 * trials)) / (1 + z2 / trials)
    half = (z2 * (fraction * (1 - fraction) / trials + z2 / (4 * trials**2))) ** 0.5
    half /= 1 + z2 / trials
    # At the two ends the formula gives exactly 0 and 1; rounding must not miss them.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == trials else centre + half
    return low, high


def zero_bound(trials: int, confidence: float = 0.95) -> float:
    """Upper bound on a fraction of which no case was seen: 1 - (1 - confidence)^(1/trials).

    One-sided and exact; about 3/trials at 95%, hence "rule of three" (Hanley & Lippman-Hand 1983).
    """
    if trials < 1:
        raise InputError(f"trials = {trials} leaves nothing to bound; give at least one sample")
    return 1 - (1 - confidence) ** (1 / trials)
