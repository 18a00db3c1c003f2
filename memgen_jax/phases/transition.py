"""The transition as curves over the training-set size: fractions, sensitivity, critical sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import isotonic_regression

from memgen_jax.arrays_in import as_array, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.labels import (
    GENERALIZED,
    MEMORIZED,
    NAMES,
    SPURIOUS,
    classify,
)
from memgen_jax.statistics import wilson_interval


@dataclass(frozen=True)
class Fractions:
    """One point of the transition: the three fractions of one synthetic set, and 95% intervals.

    `dataclasses.asdict` of it is one row of `fractions.csv`.
    """

    num_train: int
    num_synthetic: int
    memorized: float
    memorized_low: float
    memorized_high: float
    spurious: float
    spurious_low: float
    spurious_high: float
    generalized: float
    generalized_low: float
    generalized_high: float
    delta_m: float
    delta_s: float


@takes_arrays
def fractions(
    labels: Int[np.ndarray, " sample"],
    num_train: int,
    delta_m: float,
    delta_s: float,
    confidence: float = 0.95,
) -> Fractions:
    """The three fractions of one synthetic set with Wilson intervals.

    The intervals treat samples as independent draws of one model; they hold no spread over seeds.

    Args:
      labels: `classify`'s, at least one.
      num_train: size of the training set of the model that made the samples.
      delta_m, delta_s: the thresholds that made the labels, carried along.
      confidence: two-sided level of the intervals.
    """
    counts = count_labels("labels", labels)
    values: dict[str, float] = {}
    for name, count in zip(NAMES, counts.tolist(), strict=True):
        values[name] = count / len(labels)
        low, high = wilson_interval(count, len(labels), confidence)
        values[f"{name}_low"], values[f"{name}_high"] = low, high
    return Fractions(
        num_train=num_train,
        num_synthetic=len(labels),
        delta_m=float(delta_m),
        delta_s=float(delta_s),
        **values,
    )


@takes_arrays
def sensitivity(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    delta_m: Float[np.ndarray, " m"],
    delta_s: Float[np.ndarray, " s"],
) -> Float[np.ndarray, "m s phase=3"]:
    """The three fractions at every pair of thresholds: how much a result owes to their choice."""
    table = np.empty((len(delta_m), len(delta_s), len(NAMES)))
    for row, m in enumerate(delta_m):
        for column, s in enumerate(delta_s):
            labels = classify(train_distance, synthetic_distance, float(m), float(s))
            table[row, column] = np.bincount(labels, minlength=len(NAMES)) / len(labels)
    return table


def critical_sizes(
    num_train: Sequence[int] | np.ndarray,
    labels: Sequence[Any],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict:
    """Where the curves cross one half, and where spurious samples peak, with 95% intervals.

    The memorized fraction is made non-increasing in K and the generalized one non-decreasing, by
    isotonic regression weighted with the number of samples; the crossing of 0.5 is interpolated
    linearly in log K. The spurious peak is the K of the largest fraction as it stands (the
    smallest such K where several tie); a sweep without spurious samples has none.

    The interval comes from a bootstrap: for every K the replicates (seeds) are drawn with
    replacement, then the samples of each. With one replicate it holds sampling noise only.

    Args:
      num_train: the sizes K, increasing.
      labels: for every K a list of label arrays, one for each replicate (seed); or one array where there is one.
      resamples: bootstrap resamples.
      seed: of the resampling.

    Returns:
      A dict that JSON takes: `memorized_half` and `generalized_half`, each
      `{"num_train", "low", "high", "crossed"}` (None where the curve does not cross within the
      sizes; `crossed` is the share of resamples that do, and the interval is over those), and
      `spurious_peak`: `{"num_train", "low", "high", "fraction", "fraction_low", "fraction_high"}`
      (the interval of its K reaches to the neighbouring sizes on either side; K is None at fraction 0),
      and `replicates`, the smallest number of them at any K.

    Raises:
      InputError: sizes not increasing, a size without labels, or labels that are none.
    """
    sizes = as_array("num_train", num_train).astype(np.float64).reshape(-1)
    if len(sizes) == 0 or (np.diff(sizes) <= 0).any():
        raise InputError(f"sizes {list(num_train)} are not increasing; sort them, each once")
    if len(labels) != len(sizes):
        raise InputError(
            f"there are {len(sizes)} sizes and labels for {len(labels)}: give those of every size"
        )
    counts = [
        np.array([count_labels(f"labels[{i}]", one) for one in replicates_of(own, f"labels[{i}]")])
        for i, own in enumerate(labels)
    ]
    rng = np.random.default_rng(seed)
    measured = _landmarks(sizes, np.array([count.sum(0) for count in counts]))
    drawn = np.array(
        [_landmarks(sizes, np.array([_resample(rng, count) for count in counts])) for _ in range(resamples)]
    )
    result: dict = {}
    for column, name in enumerate(("memorized_half", "generalized_half")):
        crossed = drawn[np.isfinite(drawn[:, column]), column]
        value = measured[column] if np.isfinite(measured[column]) else None
        low, high = _interval(crossed, value)
        result[name] = {
            "num_train": value,
            "low": low,
            "high": high,
            "crossed": len(crossed) / resamples if resamples else None,
        }
    peak = measured[2] if measured[3] > 0 else None
    low, high = _interval(drawn[:, 2], peak)
    if low is not None and high is not None:  # a peak on a grid is no more exact than the grid
        low = float(sizes[max(int(np.searchsorted(sizes, low)) - 1, 0)])
        high = float(sizes[min(int(np.searchsorted(sizes, high, side="right")), len(sizes) - 1)])
    fraction_low, fraction_high = _interval(drawn[:, 3], measured[3])
    result["spurious_peak"] = {
        "num_train": None if peak is None else int(peak),
        "low": low,
        "high": high,
        "fraction": measured[3],
        "fraction_low": fraction_low,
        "fraction_high": fraction_high,
    }
    result["replicates"] = min(len(count) for count in counts)
    return result


def replicates_of(labels: Any, name: str) -> list:
    """The label arrays of one size: one a replicate, or `labels` itself where it is one array."""
    if not hasattr(labels, "__len__") or not len(labels):
        raise InputError(f"{name} holds no labels: give at least one array of at least one label")
    alone = np.ndim(labels[0] if isinstance(labels, list | tuple) else as_array(name, labels)[0]) == 0
    return [labels] if alone else list(labels)


def count_labels(name: str, labels: Any) -> np.ndarray:
    """How many of each phase, int64 [3].

    Raises:
      InputError: there is no label, or one that names no phase.
    """
    found = as_array(name, labels).reshape(-1)
    if not len(found):
        raise InputError(f"{name} is empty: give at least one label")
    strange = found[~np.isin(found, range(len(NAMES)))]
    if len(strange):
        raise InputError(
            f"{name} holds {strange[0]}, which names no phase: labels are 0, 1 and 2, as phases.classify has them"
        )
    return np.bincount(found.astype(np.int64), minlength=len(NAMES))


@takes_arrays
def half_crossing(
    num_train: Float[np.ndarray, " size"],
    fraction: Float[np.ndarray, " size"],
    weight: Float[np.ndarray, " size"],
    increasing: bool,
) -> float:
    """The K at which a curve, made monotone, crosses one half; NaN where it does not.

    Linear in log K between the two sizes around the crossing; the middle, in log K, of a stretch
    that lies at one half exactly.
    """
    curve = isotonic_regression(fraction, weights=weight, increasing=increasing).x
    if not increasing:
        curve = 1 - curve
    curve = np.round(curve, 12)
    if not curve[0] <= 0.5 <= curve[-1]:
        return float("nan")
    log_size = np.log(num_train)
    first_at = int(np.argmax(curve >= 0.5))
    last_at = len(curve) - 1 - int(np.argmax(curve[::-1] <= 0.5))
    start = _reach(log_size, curve, max(first_at - 1, 0), first_at)
    end = _reach(log_size, curve, last_at, min(last_at + 1, len(curve) - 1))
    # Rounding of the exponential must not leave the sizes.
    return float(np.clip(np.exp((start + end) / 2), num_train[0], num_train[-1]))


def _reach(log_size: np.ndarray, curve: np.ndarray, last: int, first: int) -> float:
    """log K where the line through two neighbouring points is at one half."""
    if last == first:
        return log_size[first]
    step = (0.5 - curve[last]) / (curve[first] - curve[last])
    return log_size[last] + step * (log_size[first] - log_size[last])


def _landmarks(sizes: np.ndarray, counts: np.ndarray) -> tuple[float, float, float, float]:
    """Memorized and generalized crossing, place and height of the spurious peak."""
    total = counts.sum(1).astype(np.float64)
    share = counts / total[:, None]
    peak = int(share[:, SPURIOUS].argmax())
    return (
        half_crossing(sizes, share[:, MEMORIZED], total, increasing=False),
        half_crossing(sizes, share[:, GENERALIZED], total, increasing=True),
        float(sizes[peak]),
        float(share[peak, SPURIOUS]),
    )


def _resample(rng: np.random.Generator, counts: np.ndarray) -> np.ndarray:
    """Counts of one bootstrap resample: replicates first, then the samples of each."""
    chosen = counts[rng.integers(len(counts), size=len(counts))]
    return np.sum([rng.multinomial(count.sum(), count / count.sum()) for count in chosen], axis=0)


def _interval(drawn: np.ndarray, value: float | None) -> tuple[float | None, float | None]:
    """95% percentile interval, widened where needed to hold the measured value."""
    if value is None or not len(drawn):
        return None, None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return min(float(low), value), max(float(high), value)
