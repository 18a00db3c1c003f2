"""Does memorized > spurious > generalized hold for a quantity? A rank test for an order of groups.

A value of -inf counts as the smallest; NaN means "not measured" and is left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError


class Trend(NamedTuple):
    """The outcome of a rank test for an order of groups.

    Attributes:
      superiority: share of pairs of samples in the expected order, ties half; 0.5 is no order, 1 perfect.
      p: one-sided permutation p-value.
      pairs: number of pairs compared.
    """

    superiority: float
    p: float
    pairs: int


@takes_arrays
def trend_test(
    values: Float[np.ndarray, " sample"],
    groups: Int[np.ndarray, " sample"],
    strata: Int[np.ndarray, " sample"] | None = None,
    *,
    units: Int[np.ndarray, " sample"] | None = None,
    resamples: Positive = 1999,
    seed: NotNegative = 0,
) -> Trend:
    """One-sided test that values fall from group 0 to group 1 to group 2 (Jonckheere 1954; Terpstra 1952).

    The statistic counts pairs of samples of different groups, same stratum, whose earlier group has the
    larger value; ties count half. Its null distribution is by permuting the groups within each stratum, so
    that a difference between strata (training-set sizes) is not taken for one between groups. With two
    groups and one stratum it is the Mann-Whitney test.

    Args:
      values: may hold -inf; NaN is left out.
      groups: 0, 1, ... in the order in which values are expected to fall.
      strata: None puts all samples in one.
      units: samples of one stratum, group and unit are one observation, their median: copies of one training item
        say the same thing twice, and a permutation that parts them would make every p-value too small. None takes
        every sample for an observation of its own.
    Returns:
      A `Trend`; NaN superiority and p where no pair can be compared.
    """
    if resamples < 1:
        raise InputError.setting("resamples", resamples, "at least 1")
    strata = np.zeros(len(values), int) if strata is None else strata
    if units is not None:
        values, groups, strata = one_a_unit(values, groups, strata, units)
    measured = ~np.isnan(values)
    random = np.random.default_rng(seed)
    observed, null, pairs = 0.0, np.zeros(resamples), 0
    for stratum in np.unique(strata):
        inside = measured & (strata == stratum)
        v, g = values[inside], groups[inside]
        larger = (v[:, None] > v).astype(np.float64) + 0.5 * (v[:, None] == v)
        pairs += int(np.sum(g[:, None] < g))
        observed += float(_ordered(larger, g[None])[0])
        null += _ordered(larger, random.permuted(np.tile(g, (resamples, 1)), axis=1))
    if pairs == 0:
        return Trend(np.nan, np.nan, 0)
    # The slack keeps permutations that tie with the observed one from being lost to rounding.
    reached = int(np.sum(null >= observed - 1e-9))
    return Trend(observed / pairs, (1 + reached) / (1 + resamples), pairs)


def one_a_unit(
    values: Float[np.ndarray, " sample"],
    groups: Int[np.ndarray, " sample"],
    strata: Int[np.ndarray, " sample"],
    units: Int[np.ndarray, " sample"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The median of the measured values of each (stratum, group, unit), with its group and stratum."""
    measured = ~np.isnan(values)
    names = np.stack([strata, groups, units], axis=1)[measured]
    distinct, of_sample = np.unique(names, axis=0, return_inverse=True)
    of_sample = of_sample.reshape(-1)
    medians = np.array([np.median(values[measured][of_sample == unit]) for unit in range(len(distinct))])
    return medians.reshape(len(distinct)), distinct[:, 1], distinct[:, 0]


@takes_arrays
def holm(p: Float[np.ndarray, " test"]) -> Float[np.ndarray, " test"]:
    """P-values corrected for their number (Holm 1979): reject those below a level, and the chance of any false
    rejection is at most that level, however the tests depend on each other.

    NaN, no test, stays NaN and does not count.

    Raises:
      InputError: a number outside [0, 1].

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> statistics.holm(np.array([0.01, 0.04])).tolist()
    [0.02, 0.04]
    """
    outside = ~np.isnan(p) & ~((p >= 0) & (p <= 1))
    if outside.any():
        place = int(np.argmax(outside))
        raise InputError(f"p holds {p[place]} at place {place}, and a p-value lies in 0..1")
    corrected = np.full(len(p), np.nan)
    tests = np.flatnonzero(~np.isnan(p))
    order = tests[np.argsort(p[tests], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1) if len(order) else []
    return corrected


def _ordered(
    larger: Float[np.ndarray, "sample sample"], groups: Int[np.ndarray, "draw sample"]
) -> Float[np.ndarray, " draw"]:
    """Per draw of groups, the sum of `larger` over pairs of an earlier and a later group."""
    total = np.zeros(len(groups))
    for later in np.unique(groups)[1:]:
        beaten = larger @ (groups == later).T.astype(np.float64)
        total += np.sum(beaten.T * (groups < later), axis=1)
    return total
