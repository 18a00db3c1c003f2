"""The rule "valley": thresholds at the minimum between the two modes of the distances."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter1d

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.rules.thresholds import Thresholds
from memgen_jax.statistics.dip import dip_test


class NoValley(InputError):
    """The distances look unimodal, so they name no threshold."""


@dataclass(frozen=True)
class Valley:
    """The minimum between the two modes of a log-distance density, or the reason why none is named.

    threshold: distance at the valley; None when the set looks unimodal.
    low, high: 95% bootstrap interval of it; None with it.
    dip, p_value: Hartigan's dip of the log distances and its p-value under one mode.
    found: share of bootstrap resamples in which a valley was found.
    """

    threshold: float | None
    low: float | None
    high: float | None
    dip: float
    p_value: float
    found: float

    @property
    def interval(self) -> tuple[float, float] | None:
        """(low, high), or None where no valley is named."""
        return None if self.low is None or self.high is None else (self.low, self.high)


@takes_arrays
def valley(
    distance: Float[np.ndarray, " sample"],
    *,
    significance: float = 0.05,
    resamples: Positive = 200,
    seed: NotNegative = 0,
) -> Valley:
    """The valley between the two modes of the log-distance density.

    The density is a Gaussian kernel estimate with Silverman's width. Of all its minima the one
    with the largest drop from the lower of its two sides' peaks is taken; each side must hold 1%
    of the samples. Where the dip test does not reject one mode at `significance`, or there is no
    such minimum, `threshold` is None: the set looks unimodal, and no rule can find two groups.

    Args:
      distance: ≥ 0. Distances below a thousandth of the median (exact copies) count as that.
      significance: level of the dip test.
      resamples: bootstrap resamples for the interval.
      seed: of the resampling.

    Raises:
      InputError: fewer than 10 distances, or one that is negative, infinite or NaN; no resamples.
    """
    if len(distance) < 10:
        raise InputError(f"{len(distance)} distances are too few to look for two modes; give at least 10")
    require_distances(distance=distance)
    if resamples < 1:
        raise InputError.setting("resamples", resamples, "at least 1")
    positive = distance[distance > 0]
    floor = 1e-3 * float(np.median(positive)) if len(positive) else 1.0
    logs = np.log(np.maximum(distance, floor).astype(np.float64))
    dip, p_value = dip_test(logs)
    grid, counts, width = _histogram(logs)
    place = _deepest_minimum(counts, width)
    rng = np.random.default_rng(seed)
    again = [
        _deepest_minimum(rng.multinomial(len(logs), counts / len(logs)), width) for _ in range(resamples)
    ]
    places = np.exp(grid[[found for found in again if found is not None]])
    if place is None or p_value > significance or not len(places):
        return Valley(None, None, None, dip, p_value, len(places) / resamples)
    low, high = np.quantile(places, [0.025, 0.975])
    threshold = float(np.exp(grid[place]))
    return Valley(
        threshold,
        min(float(low), threshold),
        max(float(high), threshold),
        dip,
        p_value,
        len(places) / resamples,
    )


@takes_arrays
def find_valleys(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " other"],
    *,
    one_for_both: bool = False,
    seed: NotNegative = 0,
) -> Thresholds:
    """Both thresholds by the valley rule, as the paper set them by eye (its Figs. 5-8).

    Args:
      one_for_both: where only the distances to the training set have a valley, take it for δ_s too.
    Raises:
      NoValley: a set of distances looks unimodal; the sentence names which.
    """
    m = valley(train_distance, seed=seed)
    s = valley(synthetic_distance, seed=seed)
    if m.threshold is None:
        raise _no_valley("training set", m)
    if s.threshold is None:
        if not one_for_both:
            raise _no_valley("samples", s)
        rule = "valley of the distances to the training set, used for both (none among the samples)"
        return Thresholds(m.threshold, m.threshold, rule, m.interval, m.interval)
    return Thresholds(m.threshold, s.threshold, "valley", m.interval, s.interval)


def _no_valley(name: str, found: Valley) -> NoValley:
    return NoValley(
        f"no valley: the distances to the nearest of the {name} look unimodal (dip {found.dip:.4f}, "
        f"p = {found.p_value:.2g}), so they name no threshold"
    )


def _histogram(logs: Float[np.ndarray, " sample"]):
    """Fine histogram and Silverman's kernel width in its bins."""
    quarter = np.subtract(*np.quantile(logs, [0.75, 0.25])) / 1.34
    spread = min(logs.std(), quarter) if quarter > 0 else logs.std()
    width = max(0.9 * spread * len(logs) ** -0.2, 1e-9)
    edges = np.linspace(logs.min() - 4 * width, logs.max() + 4 * width, 1025)
    counts, _ = np.histogram(logs, edges)
    return (edges[1:] + edges[:-1]) / 2, counts, width / (edges[1] - edges[0])


def _deepest_minimum(counts: np.ndarray, width: float) -> int | None:
    density = gaussian_filter1d(counts.astype(np.float64), width, mode="constant")
    left_peak = np.maximum.accumulate(density)
    right_peak = np.maximum.accumulate(density[::-1])[::-1]
    drop = np.minimum(left_peak, right_peak) - density
    mass = np.cumsum(counts) / counts.sum()
    drop[(mass < 0.01) | (mass > 0.99)] = 0
    # A valley without samples is flat: its middle, in the log distance, is the least arbitrary.
    deepest = np.flatnonzero(drop >= drop.max() * (1 - 1e-9))
    place = int(deepest[len(deepest) // 2])
    return place if drop[place] > 1e-6 * density.max() else None
