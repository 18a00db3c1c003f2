"""The difference of two independent estimates, from their intervals."""

import math
from typing import NamedTuple

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError


class Interval(NamedTuple):
    """An estimate with the two ends of its interval."""

    value: float
    low: float
    high: float


@takes_arrays
def difference(first: Interval, second: Interval) -> Interval:
    """`second` - `first`, with an interval of the level that both have (Zou & Donner 2008, "MOVER").

    The variances of the two estimates are recovered from their intervals, near the end that matters for each
    end of the difference, so that lopsided intervals stay lopsided:
    low = d - sqrt((high_1 - v_1)^2 + (v_2 - low_2)^2), high = d + sqrt((v_1 - low_1)^2 + (high_2 - v_2)^2).

    Args:
      first, second: independent estimates on the same scale, low ≤ value ≤ high.
    Raises:
      InputError: a value lies outside its interval, or is not finite.
    """
    for estimate in (first, second):
        if not (math.isfinite(estimate.low) and math.isfinite(estimate.high)) or not (
            estimate.low <= estimate.value <= estimate.high
        ):
            raise InputError(
                f"{estimate.value} does not lie in its interval {estimate.low} to {estimate.high}."
            )
    value = second.value - first.value
    return Interval(
        value,
        value - math.hypot(first.high - first.value, second.value - second.low),
        value + math.hypot(first.value - first.low, second.high - second.value),
    )


@takes_arrays
def ratio(first: Interval, second: Interval) -> Interval:
    """`second` / `first`, two positive independent estimates: the difference of their logarithms.

    Raises:
      InputError: an end is not positive, or a value lies outside its interval.
    """
    if min(first.low, second.low) <= 0:
        raise InputError("the ratio of two estimates needs positive ones.")
    logs = (Interval(*(math.log(part) for part in estimate)) for estimate in (first, second))
    return Interval(*(math.exp(part) for part in difference(*logs)))
