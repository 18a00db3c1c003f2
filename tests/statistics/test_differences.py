import numpy as np
import pytest

from memgen_jax.errors import InputError
from memgen_jax.statistics import Interval, difference, ratio


def test_symmetric_intervals_add_their_squares():
    found = difference(Interval(1.0, 1.0 - 3.0, 1.0 + 3.0), Interval(2.0, 2.0 - 4.0, 2.0 + 4.0))
    assert found == Interval(1.0, 1.0 - 5.0, 1.0 + 5.0)


def test_lopsided_intervals_stay_lopsided():
    """Only the upper end of the second is uncertain, so only the upper end of the difference is."""
    assert difference(Interval(1.0, 1.0, 1.0), Interval(2.0, 2.0, 5.0)) == Interval(1.0, 1.0, 4.0)


def test_the_interval_of_a_ratio_of_two_poisson_counts_covers():
    """Counts with log-normal intervals: 95% asked, at least 93% and at most 97.5% got."""
    rng, true, covered = np.random.default_rng(0), 80 / 50, 0
    for a, b in zip(rng.poisson(50, 4000), rng.poisson(80, 4000), strict=True):
        one, two = (Interval(n, n * np.exp(-1.96 / n**0.5), n * np.exp(1.96 / n**0.5)) for n in (a, b))
        found = ratio(one, two)
        covered += found.low <= true <= found.high
    assert 0.93 <= covered / 4000 <= 0.975


def test_a_value_outside_its_interval_is_refused():
    with pytest.raises(InputError, match="does not lie in its interval"):
        difference(Interval(3.0, 1.0, 2.0), Interval(1.0, 0.0, 2.0))
    with pytest.raises(InputError, match="positive"):
        ratio(Interval(1.0, 0.0, 2.0), Interval(1.0, 0.5, 2.0))
