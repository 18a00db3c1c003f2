"""Intervals of a fraction."""

from scipy.special import ndtri

from memgen_jax.errors import InputError


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
