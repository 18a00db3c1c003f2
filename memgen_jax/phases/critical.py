"""Where the curves turn: the sizes at which shares cross one half or peak, and what leaves each of them open.

Three things do, each named in the result: *sampling* (other samples of the same networks), *thresholds* (they were
calibrated on finitely many items) and *trainings* (other networks, where there are several).
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import isotonic_regression

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import as_array, require_items, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.labels import MEMORIZED
from memgen_jax.phases.transition import Fractions, count_labels
from memgen_jax.statistics import Share, share_by_nearest, student_interval

Ends = tuple[float, float]


class PhaseShares(NamedTuple):
    """The three shares of one synthetic set."""

    memorized: Share
    spurious: Share
    generalized: Share


Table = Sequence[Sequence[PhaseShares]]  # for every K those of each replicate (seed)


@takes_arrays
def critical_sizes(
    num_train: Sequence[int] | np.ndarray,
    labels: Sequence[Any],
    *,
    resamples: Positive = 1000,
    seed: NotNegative = 0,
) -> dict[str, Any]:
    """`critical_from_shares` of labels alone, whose samples then count as independent.

    Args:
      num_train: the sizes K, increasing.
      labels: for every K a list of label arrays, one for each replicate (seed); or one array where there is one.

    Raises:
      InputError: sizes not increasing, a size without labels, or labels that are none.

    >>> from memgen_jax import phases
    >>> copies, new = [0] * 90 + [2] * 10, [0] * 10 + [2] * 90
    >>> found = phases.critical_sizes([16, 64], [copies, new])
    >>> round(found["memorized_half"]["num_train"])  # half way between, in log K
    32
    """
    sizes = as_array("num_train", num_train).reshape(-1)
    if not hasattr(labels, "__len__"):
        raise InputError(f"labels is {type(labels).__name__}: give those of every size, in a list")
    if len(labels) != len(sizes):
        raise InputError(
            f"there are {len(sizes)} sizes and labels for {len(labels)}: give those of every size"
        )
    shares = [
        [plain_shares(one, f"labels[{i}]") for one in replicates_of(own, f"labels[{i}]")]
        for i, own in enumerate(labels)
    ]
    return critical_from_shares(sizes.tolist(), shares, resamples=resamples, seed=seed)


def replicates_of(labels: Any, name: str) -> list:
    """The label arrays of one size: one a replicate, or `labels` itself where it is one array."""
    if not hasattr(labels, "__len__") or not len(labels):
        raise InputError(f"{name} holds no labels: give at least one array of at least one label")
    alone = np.ndim(labels[0] if isinstance(labels, list | tuple) else as_array(name, labels)[0]) == 0
    return [labels] if alone else list(labels)


@takes_arrays
def plain_shares(labels: Any, name: str = "labels") -> PhaseShares:
    """The shares of labels, taken to be independent.

    Raises:
      InputError: there is no label, or one that names no phase.
    """
    counts = count_labels(name, labels)
    labels, values = np.asarray(labels).reshape(-1), counts / counts.sum()
    return PhaseShares(*(Share(float(p), float(p * (1 - p)) / len(labels), len(labels)) for p in values))


@takes_arrays
def grouped_shares(
    labels: np.ndarray, nearest_index: np.ndarray, nearest: np.ndarray, second: np.ndarray, delta_s: float
) -> PhaseShares:
    """The shares of labels, of which those of repeats know that these come in groups.

    Args:
      labels: `classify`'s, [sample].
      nearest_index, nearest: the nearest other sample of each, and its distance.
      second: distance to the second nearest other sample; see `statistics.share_by_nearest`.
      delta_s: the threshold of the labels.
    """
    found = nearest_index, nearest, second, delta_s
    new = labels != MEMORIZED
    repeats = (share_by_nearest(new, *found, repeated=whether) for whether in (True, False))
    return PhaseShares(plain_shares(labels).memorized, *repeats)


@takes_arrays
def with_grouped_repeats(fractions: Fractions, shares: PhaseShares) -> Fractions:
    """The fractions with intervals of repeats as wide as their coming in groups makes them, and never narrower."""
    wider = {}
    for phase in ("spurious", "generalized"):
        low, high = getattr(shares, phase).interval()
        wider[f"{phase}_low"] = min(getattr(fractions, f"{phase}_low"), low)
        wider[f"{phase}_high"] = max(getattr(fractions, f"{phase}_high"), high)
    return dataclasses.replace(fractions, **wider)


@takes_arrays
def critical_from_shares(
    num_train: Sequence[int],
    shares: Table,
    *,
    shifted: Iterable[tuple[Table, Table]] = (),
    resamples: Positive = 1000,
    seed: NotNegative = 0,
) -> dict[str, Any]:
    """Where the curves cross one half, and where spurious samples peak, with 95% intervals and their parts.

    The memorized share is made non-increasing in K and the generalized one non-decreasing, by isotonic regression
    weighted with the number of samples; the crossing of 0.5 is interpolated linearly in log K. The spurious peak is
    the K of the largest share as it stands (the smallest such K where several tie); a sweep without spurious samples
    has none.

    The parts of an interval, each [low, high] or None:
    - `sampling`: quantiles over shares drawn again with the variance that each has, the networks staying.
    - `thresholds`: each threshold moved to the ends of its own interval, one at a time; root sum of squares.
    - `trainings`: Student's over the replicates' own crossings, in log K, which holds their sampling too. With two
      replicates it is very wide, as it must be.
    Together, `low` and `high`: the root sum of squares, on either side and in log K, of the thresholds' part and the
    wider of the other two.

    Args:
      num_train: the sizes K, increasing.
      shares: for every K those of each replicate.
      shifted: for each threshold, the same at the lower and at the upper end of its interval.
      resamples: draws.
      seed: of the draws.

    Returns:
      A dict that JSON takes: `memorized_half` and `generalized_half`, each
      `{"num_train", "low", "high", "crossed", "sampling", "thresholds", "trainings"}` (None where the curve does not
      cross within the sizes; `crossed` is the share of draws that do, and `sampling` is over those), and
      `spurious_peak`, the same without `crossed`, with `fraction`, `fraction_low` and `fraction_high`, the share at
      that K (its interval in K reaches to the neighbouring sizes on either side; K is None at share 0), and
      `replicates`, the smallest number of them at any K.

    Raises:
      InputError: sizes not increasing or below 1, or no resamples.
    """
    sizes = as_array("num_train", num_train).astype(np.float64).reshape(-1)
    if not hasattr(shares, "__len__") or len(shares) != len(sizes):
        raise InputError(f"there are {len(sizes)} sizes: give the shares of each replicate of every size")
    for of_size in shares:
        if not all(isinstance(one, PhaseShares) for one in of_size):
            raise InputError("shares must hold a list of PhaseShares for each size")
    if len(sizes) == 0 or (np.diff(sizes) <= 0).any():
        raise InputError(f"sizes {sizes.tolist()} are not increasing; sort them, each once")
    if not (np.isfinite(sizes).all() and sizes[0] >= 1):
        raise InputError(f"sizes {sizes.tolist()} must be numbers of training items, at least 1")
    if not resamples >= 1:
        raise InputError.setting("resamples", resamples, "at least 1")
    moved = list(shifted)
    random = np.random.default_rng(seed)
    weight = np.array([sum(one.memorized.num_samples for one in own) for own in shares], np.float64)
    result: dict[str, Any] = {}
    for name, phase, increasing in (
        ("memorized_half", "memorized", False),
        ("generalized_half", "generalized", True),
    ):

        def crossing(curve: np.ndarray, increasing: bool = increasing) -> float:
            return half_crossing(sizes, curve, weight, increasing=increasing)

        def reach(curve: np.ndarray, increasing: bool = increasing) -> float:
            """The crossing, or the end of the sweep beyond which it must lie."""
            beyond = isotonic_regression(curve, weights=weight, increasing=increasing).x[0] > 0.5
            return float(np.nan_to_num(crossing(curve), nan=sizes[0 if beyond == increasing else -1]))

        curves = _Curves(shares, phase)
        drawn = np.array([crossing(curve) for curve in curves.redrawn(random, resamples)])
        inside = drawn[np.isfinite(drawn)]
        value = crossing(curves.mean)
        parts = (
            _quantiles(inside),
            _root_sum(value, (_moved(pair, phase, reach) for pair in moved), np.log),
            _student([crossing(curve) for curve in curves.each], sizes),
        )
        result[name] = _joined(value, parts, sizes) | {"crossed": len(inside) / resamples}
    result["spurious_peak"] = _peak(sizes, shares, moved, random, resamples)
    result["replicates"] = min(len(own) for own in shares)
    return result


def _peak(
    sizes: np.ndarray,
    shares: Table,
    moved: Sequence[tuple[Table, Table]],
    random: np.random.Generator,
    resamples: Positive,
) -> dict[str, Any]:
    """Place and height of the spurious peak; the height is that at the place found."""
    curves = _Curves(shares, "spurious")

    def place(curve: np.ndarray) -> float:
        return float(sizes[int(curve.argmax())])

    top = int(curves.mean.argmax())
    height = float(curves.mean[top])
    drawn = list(curves.redrawn(random, resamples))
    parts = (
        _quantiles(np.array([place(curve) for curve in drawn])),
        _root_sum(sizes[top], (_moved(pair, "spurious", place) for pair in moved), np.log),
        _student([place(curve) for curve in curves.each], sizes),
    )
    heights = (
        _quantiles(np.array([curve[top] for curve in drawn])),
        _root_sum(height, (_moved(pair, "spurious", lambda curve: curve[top]) for pair in moved)),
        student_interval([curve[top] for curve in curves.each]) if len(curves.each) > 1 else None,
    )
    low, high = _together(height, heights)
    found = _joined(sizes[top] if height > 0 else math.nan, parts, sizes)
    if height > 0:  # a peak on a grid is no more exact than the grid
        found["num_train"] = int(sizes[top])
        below, above = np.searchsorted(sizes, found["low"]), np.searchsorted(sizes, found["high"], "right")
        found["low"] = float(sizes[max(int(below) - 1, 0)])
        found["high"] = float(sizes[min(int(above), len(sizes) - 1)])
    return found | {"fraction": height, "fraction_low": max(low, 0.0), "fraction_high": min(high, 1.0)}


class _Curves:
    """One phase's share against K: the mean over the replicates, each by itself, and redrawn.

    `each` is empty where the sizes do not all have the same number of replicates, more than one.
    """

    def __init__(self, shares: Table, phase: str):
        self._shares = [[getattr(one, phase) for one in own] for own in shares]
        self.mean = np.array([_weighted([s.value for s in own], own) for own in self._shares])
        counts = {len(own) for own in self._shares}
        paired = len(counts) == 1 and counts != {1}
        self.each = (
            [np.array([s.value for s in own]) for own in zip(*self._shares, strict=True)] if paired else []
        )

    def redrawn(self, random: np.random.Generator, times: int) -> Iterable[Float[np.ndarray, " size"]]:
        """The mean curve, `times` times, of sets drawn again from the same networks.

        A share is binomial, of as many independent samples as have its variance.
        """
        drawn = np.empty((times, len(self._shares)))
        for place, own in enumerate(self._shares):
            again = [random.binomial(share.effective, share.value, times) / share.effective for share in own]
            drawn[:, place] = _weighted(again, own)
        return drawn


def _weighted(values: Sequence[Any], shares: Sequence[Share]) -> Any:
    """The mean over replicates, by their numbers of samples."""
    return np.average(np.asarray(values), axis=0, weights=[share.num_samples for share in shares])


def _moved(pair: tuple[Table, Table], phase: str, landmark: Callable[[np.ndarray], float]) -> Ends:
    low, high = (landmark(_Curves(table, phase).mean) for table in pair)
    return min(low, high), max(low, high)


def _quantiles(drawn: np.ndarray) -> Ends | None:
    if not len(drawn):
        return None
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _student(values: Sequence[float], sizes: np.ndarray) -> Ends | None:
    """Over the replicates that cross, in log K; a size beyond the sweep is not told from its end."""
    known = [math.log(value) for value in values if math.isfinite(value)]
    if len(known) < 2:
        return None
    low, high = np.exp(np.clip(student_interval(known), *np.log(sizes[[0, -1]])))
    return float(low), float(high)


def _root_sum(
    value: float, parts: Iterable[Ends | None], scale: Callable[[Any], Any] = lambda x: x
) -> Ends | None:
    """The ends of independent parts together: the root sum of squares of their reaches, on either side."""
    known = [part for part in parts if part is not None]
    if not known or not math.isfinite(value):
        return None
    ends = np.array([[min(low, value), max(high, value)] for low, high in known])
    reach = np.sqrt(np.sum((scale(ends) - scale(value)) ** 2, axis=0))
    low, high = scale(value) - reach[0], scale(value) + reach[1]
    return (float(np.exp(low)), float(np.exp(high))) if scale is np.log else (float(low), float(high))


def _together(
    value: float, parts: tuple[Ends | None, ...], scale: Callable[[Any], Any] = lambda x: x
) -> Ends:
    """Sampling or trainings, whichever reaches farther on a side, and the thresholds."""
    sampling, thresholds, trainings = parts
    known = [part for part in (sampling, trainings) if part is not None]
    wider = (min(low for low, _ in known), max(high for _, high in known)) if known else None
    return _root_sum(value, (wider, thresholds), scale) or (value, value)


def _joined(value: float, parts: tuple[Ends | None, ...], sizes: np.ndarray) -> dict[str, Any]:
    names = ("sampling", "thresholds", "trainings")
    if not math.isfinite(value):
        return {"num_train": None, "low": None, "high": None} | dict.fromkeys(names)
    low, high = _together(value, parts, np.log)
    # Rounding of the logarithm must not shut the value out.
    ends = {"low": max(min(low, value), float(sizes[0])), "high": min(max(high, value), float(sizes[-1]))}
    inside = (None if part is None else np.clip(part, sizes[0], sizes[-1]).tolist() for part in parts)
    named = dict(zip(names, inside, strict=True))
    return {"num_train": float(value)} | ends | named


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

    >>> import numpy as np
    >>> from memgen_jax import phases
    >>> round(phases.half_crossing(np.array([10.0, 1000.0]), np.array([1.0, 0.0]), np.ones(2), increasing=False))
    100
    """
    require_items(num_train=num_train)
    if not (weight > 0).all() or not (num_train > 0).all():
        raise InputError("num_train and weight must be above 0 throughout")
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
