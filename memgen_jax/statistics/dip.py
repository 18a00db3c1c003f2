"""Hartigan's dip: how far a sample is from every distribution with one mode."""

import math

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import NotNegative
from memgen_jax.arrays_in import require_items, takes_arrays

# Beyond this many numbers a random part is taken; the test has power to spare by then.
LARGEST = 20_000
# Upper quantiles of sqrt(n) dip under the uniform distribution, the least favourable unimodal one
# (Hartigan & Hartigan 1985, section 5), from 20,000 simulations at n = 2,000.
PROBABILITY = (1.0, 0.9, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
ROOT_N_DIP = (
    *(0.1934, 0.2894, 0.3353, 0.3737, 0.4192, 0.4497, 0.4960),
    *(0.5375, 0.5853, 0.6208, 0.6571, 0.7019, 0.7415),
)


@takes_arrays
def dip_test(sample: Float[np.ndarray, " sample"], seed: NotNegative = 0) -> tuple[float, float]:
    """Hartigan's dip statistic and its p-value.

    The dip is the largest distance between the empirical distribution function and the nearest
    unimodal one (Hartigan & Hartigan 1985). The p-value interpolates simulated quantiles, no
    smaller than 0.001.

    Args:
      sample: at least 4 numbers, in any order; of more than 20,000 a random part is taken.
      seed: of that choice.

    Returns:
      dip in [1/(2n), 1/4], p-value in [0.001, 1].
    """
    if len(sample) > LARGEST:
        sample = np.random.default_rng(seed).choice(sample, LARGEST, replace=False)
    value = dip(sample)
    p_value = np.interp(math.sqrt(len(sample)) * value, ROOT_N_DIP, PROBABILITY)
    return value, float(p_value)


@takes_arrays
def dip(sample: Float[np.ndarray, " sample"]) -> float:
    """Hartigan's dip statistic, by the algorithm of Hartigan 1985 (AS 217).

    Within a modal interval, which shrinks, it compares the greatest convex minorant of the
    empirical distribution with its least concave majorant; to the left of the interval the
    distribution with the minorant, to the right with the majorant. Counts in units of 1/n.
    """
    require_items(sample=sample)
    count = len(sample)
    points, repeats = np.unique(sample.astype(np.float64), return_counts=True)
    above = np.cumsum(repeats).astype(np.float64)  # the distribution at each point,
    below = above - repeats  # and just before it
    first, last, largest = 0, len(points) - 1, 1.0
    while first < last:
        minorant = _hull(points, below, first, last, 1.0)
        majorant = _hull(points, above, first, last, -1.0)
        gap_minorant = np.interp(points[minorant], points[majorant], above[majorant])
        gap_minorant -= below[minorant]
        gap_majorant = above[majorant] - np.interp(points[majorant], points[minorant], below[minorant])
        if max(gap_minorant.max(), gap_majorant.max()) <= largest:
            break
        if gap_minorant.max() >= gap_majorant.max():
            left = minorant[gap_minorant.argmax()]
            right = majorant[np.searchsorted(majorant, left, "left")]
        else:
            right = majorant[gap_majorant.argmax()]
            left = minorant[np.searchsorted(minorant, right, "right") - 1]
        outside = np.arange(first, left)  # the mode itself may hold an atom
        convex = np.interp(points[outside], points[minorant], below[minorant])
        largest = max(largest, (above[outside] - convex).max(initial=0))
        outside = np.arange(right + 1, last + 1)
        concave = np.interp(points[outside], points[majorant], above[majorant])
        largest = max(largest, (concave - below[outside]).max(initial=0))
        if (left, right) == (first, last):
            break
        first, last = int(left), int(right)
    return float(largest) / (2 * count)


def _hull(points: np.ndarray, height: np.ndarray, first: int, last: int, sign: float) -> np.ndarray:
    """Corners of the convex minorant (sign 1) or concave majorant (-1), by the monotone chain."""
    x, y = points[first : last + 1].tolist(), (sign * height[first : last + 1]).tolist()
    corners: list[int] = []
    for point in range(len(x)):
        while len(corners) >= 2:
            before, middle = corners[-2], corners[-1]
            rise = (y[middle] - y[before]) * (x[point] - x[middle])
            next_rise = (y[point] - y[middle]) * (x[middle] - x[before])
            if rise < next_rise:
                break
            corners.pop()
        corners.append(point)
    return first + np.array(corners)
