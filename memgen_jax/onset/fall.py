"""Where the generalization error begins to fall, and whether the model turns before, there, or after it.

Onset 2024 claims that P(Δ > 0) rises at the onset of E_OG's rapid fall: its scenario c of Fig. 1. In a the model turns
while the error is still flat, in b the error has been falling before.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.onset.critical import positive
from memgen_jax.phases import half_crossing


class Fall(NamedTuple):
    """The onset of a fall.

    Attributes:
      num_train: the training-set size n; None where the error does not fall.
      low, high: ends of its 95% interval.
      at_most: whether the error falls fast from the smallest size on, so that the onset may lie below it.
    """

    num_train: float | None
    low: float | None
    high: float | None
    at_most: bool


@takes_arrays
def onset_of_fall(
    num_train: Float[np.ndarray, " size"],
    log_error: Float[np.ndarray, "_ replicate"],
    *,
    resamples: Positive = 1000,
    seed: NotNegative = 0,
) -> Fall:
    """Where -d log(error) / d log(n) first exceeds half its largest value.

    The slope is that of the mean between neighbouring sizes, at their geometric middle, and linear in log n between
    these. An error that is infinite up to some size falls there: the onset lies between that size and the next.

    Args:
      num_train: sizes in ascending order, at least two.
      log_error: logarithm of the error, to any base; infinite where the error is. Replicates are independent
        repetitions: simulations, or trainings on sets of their own.
      resamples: of the replicates, for the interval; with one replicate there is none.
      seed: of the resampling.
    Raises:
      InputError: the sizes do not ascend or do not match.
    """
    sizes = num_train
    if len(sizes) < 2 or len(sizes) != len(log_error) or (np.diff(sizes) <= 0).any():
        raise InputError(
            f"sizes {list(num_train)} must be at least two, ascend and match {len(log_error)} rows."
        )
    value, low, high = _onset(sizes, log_error.mean(1))
    if low == high:
        low = high = None
    at_most = value is not None and value <= math.sqrt(sizes[0] * sizes[1])
    count = log_error.shape[1]
    if value is None or count < 2:
        return Fall(value, low, high, at_most)
    chosen = np.random.default_rng(seed).integers(count, size=(resamples, count))
    drawn = [_onset(sizes, log_error[:, index].mean(1)) for index in chosen]
    ends = [np.log([one[end] for one in drawn if one[0] is not None]) for end in (1, 2)]
    low, high = np.quantile(ends[0], 0.025), np.quantile(ends[1], 0.975)
    # Noise crosses half the largest slope too early, in a resample as in the sample: hence also the basic bootstrap.
    centre = math.log(value)
    low, high = min(low, 2 * centre - high, centre), max(high, 2 * centre - low, centre)
    within = np.clip(np.exp([low, high]), sizes[0], sizes[-1])
    return Fall(value, float(within[0]), float(within[1]), at_most)


@takes_arrays
def turn_window(
    num_train: Float[np.ndarray, " size"], signs: Float[np.ndarray, "size replicate"]
) -> tuple[float | None, float | None]:
    """The sizes between which P(Δ > 0), made non-decreasing, rises from 5% to 95%; None where it does not within them.

    Args:
      num_train: sizes in ascending order.
      signs: Δ, or anything with its sign, one a replicate.
    """
    share, weight = positive(signs).mean(1), np.ones(len(num_train))
    ends = (half_crossing(num_train, share + shift, weight, increasing=True) for shift in (0.45, -0.45))
    first, last = (end if math.isfinite(end) else None for end in ends)
    return first, last


@takes_arrays
def scenario(fall: Fall, window: tuple[float | None, float | None]) -> str | None:
    """The paper's "a", "b" or "c" (Onset 2024, Fig. 1), by where the fall begins; None where that is not known.

    "b": before P(Δ > 0) rises above 5%; "c": while it rises; "a": after it has passed 95%.

    >>> from memgen_jax import onset
    >>> onset.scenario(onset.Fall(30.0, 28.0, 33.0, False), (20.0, 40.0))
    'c'
    """
    first, last = window
    if fall.num_train is None or first is None or last is None:
        return None
    if fall.num_train < first:
        return "b"
    return "c" if fall.num_train <= last else "a"


def _onset(sizes: np.ndarray, log_error: np.ndarray) -> tuple[float, float, float] | tuple[None, None, None]:
    """The onset, and the sizes between which it lies where no more is known."""
    infinite = np.flatnonzero(np.isposinf(log_error))
    if len(infinite):
        if infinite[-1] + 1 == len(sizes):
            return None, None, None
        low, high = sizes[infinite[-1]], sizes[infinite[-1] + 1]
        return math.sqrt(low * high), float(low), float(high)
    log_size = np.log(sizes)
    slope = -np.diff(log_error) / np.diff(log_size)
    middle = (log_size[1:] + log_size[:-1]) / 2
    half = slope.max() / 2
    if half <= 0:
        return None, None, None
    first = int(np.argmax(slope >= half))
    if first == 0:
        found = float(np.exp(middle[0]))
        return found, float(sizes[0]), found
    share = (half - slope[first - 1]) / (slope[first] - slope[first - 1])
    found = float(np.exp(middle[first - 1] + share * (middle[first] - middle[first - 1])))
    return found, found, found
