import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from memgen_jax import phases, statistics
from memgen_jax.errors import InputError


def test_each_phase_by_hand_with_both_thresholds_inclusive():
    train = np.array([0.0, 1.0, 1.5, 1.5, 0.5, 9.0])
    synthetic = np.array([9.0, 9.0, 0.7, 0.8, 0.1, np.inf])
    labels = phases.classify(train, synthetic, delta_m=1.0, delta_s=0.7)
    assert [phases.NAMES[label] for label in labels] == [
        "memorized",
        "memorized",
        "spurious",
        "generalized",
        "memorized",  # a copy that also repeats is a copy
        "generalized",
    ]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), delta_m=st.floats(0, 2), delta_s=st.floats(0, 2))
def test_the_three_fractions_sum_to_one_and_move_one_way_with_a_threshold(seed, delta_m, delta_s):
    train, synthetic = np.random.default_rng(seed).uniform(0, 2, (2, 50))
    counts = np.bincount(phases.classify(train, synthetic, delta_m, delta_s), minlength=3)
    assert counts.sum() == 50
    wider = np.bincount(phases.classify(train, synthetic, delta_m + 0.1, delta_s), minlength=3)
    assert wider[phases.MEMORIZED] >= counts[phases.MEMORIZED]
    repeats = np.bincount(phases.classify(train, synthetic, delta_m, delta_s + 0.1), minlength=3)
    assert repeats[phases.MEMORIZED] == counts[phases.MEMORIZED]
    assert repeats[phases.SPURIOUS] >= counts[phases.SPURIOUS]


@pytest.mark.parametrize(("delta_m", "delta_s"), [(-1.0, 1.0), (1.0, float("nan")), (float("inf"), 1.0)])
def test_a_threshold_that_is_no_distance_is_refused(delta_m, delta_s):
    with pytest.raises(InputError, match="is not a distance"):
        phases.classify(np.ones(2), np.ones(2), delta_m, delta_s)


def test_a_distance_that_is_not_a_number_is_refused():
    with pytest.raises(InputError, match="NaN"):
        phases.classify(np.array([1.0, np.nan]), np.ones(2), 1.0, 1.0)


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (1, 10), (5, 10), (10, 10), (7, 2000)])
@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_wilsons_interval_agrees_with_scipy(successes, trials, confidence):
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert statistics.wilson_interval(successes, trials, confidence) == pytest.approx(
        (expected.low, expected.high), abs=1e-12
    )


@pytest.mark.parametrize("arguments", [(1, 0), (3, 2), (-1, 2), (1, 2, 1.0)])
def test_an_impossible_fraction_has_no_interval(arguments):
    with pytest.raises(InputError):
        statistics.wilson_interval(*arguments)


def test_the_bound_on_an_unseen_case_is_the_rule_of_three():
    assert statistics.zero_bound(1000) == pytest.approx(3 / 1000, rel=4e-3)
    # The chance of seeing none at the bound is exactly 5%.
    assert (1 - statistics.zero_bound(17)) ** 17 == pytest.approx(0.05)
