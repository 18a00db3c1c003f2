"""Where a distance counts as "the same image": δ_m to the training set, δ_s within the samples.

Four rules, each by name: the paper's table, the valley between two modes, calibration on unseen
real images, and (in `copies_by_ratio`) the ratio of the two nearest training distances.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import gaussian_filter1d
from scipy.stats import binom

from memgen_jax.errors import InputError
from memgen_jax.phases.labels import check_thresholds
from memgen_jax.statistics.dip import dip_test

ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996


class PaperThresholds(NamedTuple):
    delta_m: float
    delta_s: float
    metric: str  # "l2" on pixels in [-1, 1], or "lpips" (AlexNet v0.1, squared)


# Pham et al. 2025, Table 2. The paper does not state the pixel range of its L2; [-1, 1] is taken.
PAPER = {
    "cifar10": PaperThresholds(0.03, 0.018, "lpips"),
    "lsun_church": PaperThresholds(0.12, 0.05, "lpips"),
    "fashion_mnist": PaperThresholds(4.5, 2.5, "l2"),
    "mnist": PaperThresholds(4.5, 3.5, "l2"),
}


@dataclass(frozen=True)
class Thresholds:
    """Both thresholds, in the metric's own scale, and where they come from.

    rule: "given", "paper: NAME", "valley" or "held-out at 1% false positives".
    delta_m_interval, delta_s_interval: 95% interval of each; None where the rule leaves no doubt.
    """

    delta_m: float
    delta_s: float
    rule: str
    delta_m_interval: tuple[float, float] | None = None
    delta_s_interval: tuple[float, float] | None = None


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


def given(delta_m: float, delta_s: float) -> Thresholds:
    """Explicit numbers."""
    check_thresholds(delta_m, delta_s)
    return Thresholds(float(delta_m), float(delta_s), "given")


def paper(name: str, metric: str) -> Thresholds:
    """The paper's thresholds for one data set (Pham et al. 2025, Table 2).

    Raises:
      InputError: no such data set, or its thresholds belong to the other metric.
    """
    if name not in PAPER:
        raise InputError(f"no paper thresholds for {name!r}; choose one of {', '.join(PAPER)}")
    delta_m, delta_s, needed = PAPER[name]
    if metric != needed:
        raise InputError(
            f"the paper's thresholds for {name} are {needed} distances, not {metric}; "
            f"measure with metric {needed} or give delta_m and delta_s"
        )
    return Thresholds(delta_m, delta_s, f"paper: {name}")


def valley(
    distance: Float[np.ndarray, " sample"],
    *,
    significance: float = 0.05,
    resamples: int = 200,
    seed: int = 0,
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
      InputError: fewer than 10 distances.
    """
    if len(distance) < 10:
        raise InputError(f"{len(distance)} distances are too few to look for two modes; give at least 10")
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


def find_valleys(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " other"],
    *,
    seed: int = 0,
) -> Thresholds:
    """Both thresholds by the valley rule, as the paper set them by eye (its Figs. 5-8).

    Raises:
      InputError: one of the two sets of distances looks unimodal; the sentence names which.
    """
    found = {
        "training set": valley(train_distance, seed=seed),
        "samples": valley(synthetic_distance, seed=seed),
    }
    for name, one in found.items():
        if one.threshold is None:
            raise InputError(
                f"no valley: the distances to the nearest of the {name} look unimodal (dip "
                f"{one.dip:.4f}, p = {one.p_value:.2g}), so they name no threshold; give held-out "
                "images, delta_m and delta_s, or thresholds by name"
            )
    m, s = found.values()
    assert m.threshold is not None and s.threshold is not None
    return Thresholds(m.threshold, s.threshold, "valley", m.interval, s.interval)


def held_out(
    unseen_distance: Float[np.ndarray, " unseen"],
    real_distance: Float[np.ndarray, " real"],
    false_positive_rate: float = 0.01,
) -> Thresholds:
    """Thresholds at which real, unseen images are rarely called copies or repeats.

    δ_m is the j-th smallest of the n distances from unseen real images to the training set, with
    j = ⌊rate (n + 1)⌋: a further unseen image falls at or below it with probability at most the
    rate, whatever the distribution. δ_s is the same rank among distances from real images to their
    nearest other real image. A real set smaller than the sample set makes δ_s too wide, for
    nearest distances shrink as a set grows: take the two of like size.

    The interval of each is that of the quantile which it estimates, at 95% or more whatever the distribution;
    its lower end is 0 where the distances are too few for a bound from below.

    Args:
      unseen_distance: from each held-out item to its nearest training item.
      real_distance: from each of a set of real items to its nearest other in that set.
      false_positive_rate: in (0, 1).

    Raises:
      InputError: too few distances for the rate.
    """
    if not 0 < false_positive_rate < 1:
        raise InputError(f"false_positive_rate = {false_positive_rate} is outside (0, 1); 0.01 is usual")
    delta_m, interval_m = _low_quantile("held-out", unseen_distance, false_positive_rate)
    delta_s, interval_s = _low_quantile("real", real_distance, false_positive_rate)
    rule = f"held-out at {100 * false_positive_rate:.3g}% false positives"
    return Thresholds(delta_m, delta_s, rule, interval_m, interval_s)


def fewest_held_out(false_positive_rate: float) -> int:
    """The fewest distances of either kind from which `held_out` can calibrate: 99 at 1%."""
    return math.ceil(1 / false_positive_rate - 1 - ROUNDING)


def copies_by_ratio(
    first: Float[np.ndarray, " sample"],
    second: Float[np.ndarray, " sample"],
    ratio: float = 1 / 3,
) -> Bool[np.ndarray, " sample"]:
    """Whether the nearest training item stands out from the second nearest: d1/d2 < ratio.

    The rule of Yoon et al. 2023. A sample at distance exactly 0 counts as a copy even
    where the training set holds the item twice (d1 = d2 = 0).

    Args:
      first, second: distances to the nearest and second-nearest training item, L2 (of a squared
        distance the ratio would be squared too).
      ratio: in (0, 1].
    """
    if not 0 < ratio <= 1:
        raise InputError(f"ratio = {ratio} is outside (0, 1]; 0.333 is usual")
    return (first < ratio * second) | (first == 0)


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


def _low_quantile(
    name: str, distance: Float[np.ndarray, " item"], rate: float
) -> tuple[float, tuple[float, float]]:
    count = len(distance)
    if count < fewest_held_out(rate):
        raise InputError(
            f"{count} {name} images cannot show a rate of {rate:g}; give at least "
            f"{fewest_held_out(rate)} or raise the rate"
        )
    rank = int(rate * (count + 1) + ROUNDING)
    ordered = np.sort(distance)
    # The true quantile lies between the low-th and the (high + 1)-th distance with the chance that a binomial
    # count lies in low..high. Where few distances are expected below it, no distance bounds it from below.
    low, high = binom.ppf([0.025, 0.975], count, rate).astype(int)
    if low == 0 and binom.cdf(high, count, rate) - binom.pmf(0, count, rate) >= 0.95:
        low = 1
    interval = float(ordered[low - 1]) if low else 0.0, float(ordered[min(high, count - 1)])
    return float(ordered[rank - 1]), interval
