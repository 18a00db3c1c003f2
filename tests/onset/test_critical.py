"""P(Δ>0) and the size at which it turns."""

import numpy as np
import pytest

from memgen_jax.errors import InputError
from memgen_jax.onset import critical_size, probability_positive
from memgen_jax.statistics import wilson_interval


def test_ties_count_half_and_widen_the_interval():
    value, low, high = probability_positive(np.array([1.0, -1.0, 0.0, 2.0]))
    assert value == 2.5 / 4
    assert low == wilson_interval(2, 4)[0] and high == wilson_interval(3, 4)[1]
    assert probability_positive(np.zeros(6))[0] == 0.5


def test_independent_repetitions_locate_the_crossing_of_their_mean():
    """P = Φ(log(n/20)): the crossing is at 20, and its interval shrinks with the repetitions."""
    sizes = [5, 10, 15, 30, 60]
    rng = np.random.default_rng(0)
    shift = np.log(np.array(sizes) / 20)[:, None]
    few, many = (critical_size(sizes, shift + rng.standard_normal((5, r))) for r in (50, 5000))
    assert many["low"] < 20.5 and many["high"] > 19.5 and many["num_train"] == pytest.approx(20, rel=0.1)
    assert many["high"] / many["low"] < few["high"] / few["low"]
    assert few["low"] <= few["num_train"] <= few["high"]


def test_the_spread_of_a_bootstrap_is_the_spread_of_its_crossings():
    """Δ = log(n/20) + noise of spread 0.1, the same for all sizes: so do the crossings."""
    sizes = np.unique(np.geomspace(5, 80, 200).astype(int))
    noise = np.random.default_rng(1).standard_normal(400) * 0.1
    found = critical_size(sizes.tolist(), np.log(sizes / 20)[:, None] + noise[None, :], bootstrap=True)
    assert found["num_train"] == pytest.approx(20, rel=0.06)
    low, high = 20 * np.exp(np.quantile(-noise, [0.025, 0.975]))
    assert found["low"] == pytest.approx(low, rel=0.07)
    assert found["high"] == pytest.approx(high, rel=0.07)


def test_a_jump_from_zero_to_one_says_no_more_than_between_which_sizes():
    signs = np.array([[-1.0] * 9, [1.0] * 9, [1.0] * 9])
    for bootstrap in (True, False):
        found = critical_size([4, 16, 64], signs, bootstrap=bootstrap)
        assert found == {"num_train": pytest.approx(8), "low": 4, "high": 16, "crossed": 1}


def test_no_crossing_is_none():
    assert critical_size([1, 2], -np.ones((2, 5)))["num_train"] is None
    with pytest.raises(InputError, match="ascend"):
        critical_size([2, 1], np.ones((2, 5)))


def test_a_crossing_at_the_largest_size_does_not_leave_the_sizes_by_rounding():
    """exp(log 100) is 100.00000000000004."""
    signs = np.array([[-1.0, -1.0, 1.0, -1.0], [1.0, 1.0, -1.0, -1.0]])
    found = critical_size((10, 100), signs, bootstrap=False, resamples=200, seed=0)
    assert found["num_train"] == 100.0 and 10 <= found["low"] <= found["high"] == 100
