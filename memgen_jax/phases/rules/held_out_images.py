"""The rule "held_out": real images that the model has not seen rarely count as copies or repeats."""

import math

import numpy as np
from jaxtyping import Float
from scipy.stats import binom

from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.errors import FIELD, InputError
from memgen_jax.phases.rules.thresholds import Thresholds

ROUNDING = 1e-9  # 0.29 * 100 is 28.999999999999996


@takes_arrays
def held_out(
    unseen_distance: Float[np.ndarray, " unseen *subset"],
    real_distance: Float[np.ndarray, " real *draw"],
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
      unseen_distance: from each held-out item to its nearest training item; to several training sets of one size
        [unseen, subset]. These do not make more items of them: the interval is that of one.
      real_distance: from each of a set of real items to its nearest other in that set; of several sets of one size
        [real, draw]. Both items of a pair have one distance, so of one small set the nearest pair decides alone.
      false_positive_rate: in (0, 1).

    Raises:
      InputError: too few distances for the rate, or one that is negative, infinite or NaN.

    >>> import numpy as np
    >>> from memgen_jax import held_out
    >>> unseen, real = np.linspace(1.0, 2.0, 99), np.linspace(0.5, 1.0, 99)
    >>> found = held_out(unseen, real, false_positive_rate=0.1)
    >>> round(found.delta_m, 3), round(found.delta_s, 3)  # the tenth smallest of each
    (1.092, 0.546)
    """
    if not 0 < false_positive_rate < 1:
        raise InputError.setting("false_positive_rate", false_positive_rate, "inside (0, 1); 0.01 is usual")
    require_distances(unseen_distance=unseen_distance, real_distance=real_distance)
    delta_m, interval_m = _low_quantile("held-out", unseen_distance, false_positive_rate)
    delta_s, interval_s = _low_quantile("real", real_distance, false_positive_rate)
    rule = f"held-out at {100 * false_positive_rate:.3g}% false positives"
    return Thresholds(delta_m, delta_s, rule, interval_m, interval_s)


@takes_arrays
def fewest_held_out(false_positive_rate: float) -> int:
    """The fewest distances of either kind from which `held_out` can calibrate: 99 at 1%.

    Raises:
      InputError: the rate is not inside (0, 1).
    """
    if not 0 < false_positive_rate < 1:
        raise InputError.setting("false_positive_rate", false_positive_rate, "inside (0, 1); 0.01 is usual")
    return math.ceil(1 / false_positive_rate - 1 - ROUNDING)


def _low_quantile(
    name: str, distance: Float[np.ndarray, " item *draw"], rate: float
) -> tuple[float, tuple[float, float]]:
    count = len(distance)  # of one set
    # Sets drawn anew are other items, what several training sets are told of one held-out item is not.
    known = distance.size if name == "real" else count
    require_enough(name, distance, known, rate)
    every = np.sort(distance, axis=None)
    ordered = np.sort(distance.reshape(count, -1), axis=0).mean(axis=1)  # of one set, on average
    low, high = ranks_around(rate, count)
    interval = float(ordered[low - 1]) if low else 0.0, float(ordered[min(high, count - 1)])
    return float(every[rank_of(rate, len(every)) - 1]), interval


def require_enough(name: str, distance: Float[np.ndarray, " item *draw"], known: int, rate: float) -> None:
    """Refuses fewer distances than can show the rate, with the size of the sets where there are several.

    Args:
      known: how many distances count.
    """
    fewest, size = fewest_held_out(rate), len(distance)
    if known >= fewest:
        return
    sets = distance.size // max(1, size)
    several = known > size
    what = f"{known} {name} items, in {sets} sets of {size}," if several else f"{known} {name} items"
    enough = f"sets of at least {math.ceil(fewest / sets)}" if several else f"at least {fewest}"
    raise InputError(
        f"{what} cannot show a rate of {rate:g}; give {enough}, or a larger {FIELD[0]}", "false_positive_rate"
    )


def rank_of(rate: float, count: int) -> int:
    """⌊rate (count + 1)⌋: a further distance is at or below the one of that rank with at most this chance."""
    return int(rate * (count + 1) + ROUNDING)


def ranks_around(rate: float, count: int) -> tuple[int, int]:
    """(low, high): the quantile lies between the low-th and the (high + 1)-th of so many distances in 95% of cases.

    That is the chance that a binomial count lies in low..high. Where few distances are expected below the quantile, low
    is 0: no distance bounds it from below.
    """
    low, high = binom.ppf([0.025, 0.975], count, rate).astype(int)
    if low == 0 and binom.cdf(high, count, rate) - binom.pmf(0, count, rate) >= 0.95:
        low = 1
    return int(low), int(high)
