"""The rank test against scipy and against known orders; means with infinite values by rule."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from memgen_jax.statistics import holm, mean_interval, trend_test


def test_with_two_groups_it_is_the_mann_whitney_test():
    random = np.random.default_rng(1)
    values = np.concatenate([random.normal(0.2, 1, 25), random.normal(0, 1, 30)])
    groups = np.repeat([0, 1], [25, 30])
    ours = trend_test(values, groups, resamples=20_000)
    theirs = mannwhitneyu(values[:25], values[25:], alternative="greater")
    assert ours.superiority == pytest.approx(theirs.statistic / (25 * 30))
    assert 0.02 < theirs.pvalue < 0.5  # where 20,000 permutations resolve it
    assert ours.p == pytest.approx(theirs.pvalue, abs=0.012)


def test_the_statistic_counts_ordered_pairs_with_ties_as_halves():
    values = np.array([3.0, 2.0, 2.0, 1.0, 5.0, -np.inf, -np.inf])
    groups = np.array([0, 1, 0, 2, 2, 1, 2])
    expected = pairs = 0.0
    for i in range(7):
        for j in range(7):
            if groups[i] < groups[j]:
                pairs += 1
                expected += 1.0 if values[i] > values[j] else 0.5 if values[i] == values[j] else 0.0
    result = trend_test(values, groups)
    assert result.pairs == pairs and result.superiority == pytest.approx(expected / pairs)


def test_p_values_are_uniform_where_there_is_no_order():
    random = np.random.default_rng(2)
    groups = np.repeat([0, 1, 2], 8)
    p = [trend_test(random.normal(size=24), groups, resamples=199, seed=i).p for i in range(200)]
    assert 0.02 <= np.mean(np.array(p) <= 0.1) <= 0.19


def test_a_difference_between_strata_is_not_an_order_of_groups():
    random = np.random.default_rng(3)
    strata = np.repeat([0, 1], 40)
    groups = np.concatenate([np.repeat([0, 1], [35, 5]), np.repeat([0, 1], [5, 35])])
    values = random.normal(size=80) + 10 * (strata == 0)
    assert trend_test(values, groups).p < 0.01
    assert trend_test(values, groups, strata).p > 0.05


def test_a_perfect_order_of_infinite_and_finite_values_is_seen():
    values = np.array([5.0, 6.0, 7.0, 1.0, 2.0, 3.0, -np.inf, -np.inf, -np.inf])
    result = trend_test(values, np.repeat([0, 1, 2], 3))
    assert result.superiority == 1 and result.p < 0.01


def test_copies_of_one_item_are_one_observation():
    """Sixteen copies each of two items per group say as little as two items do."""
    random = np.random.default_rng(5)
    groups, units = np.repeat([0, 1], 32), np.tile(np.repeat([0, 1], 16), 2)
    alone, together = [], []
    for i in range(100):
        values = random.normal(size=(4, 1)) + 0.01 * random.normal(size=(4, 16))
        options = {"resamples": 199, "seed": i}
        alone.append(trend_test(values.ravel(), groups, **options).p)
        together.append(trend_test(values.ravel(), groups, units=units, **options).p)
    assert np.mean(np.array(alone) < 0.05) > 0.2  # nothing is there to be found
    assert min(together) > 0.1  # four observations: 1 of 6 ways at the least


def test_a_unit_counts_once_by_its_median_and_leaves_unmeasured_samples_out():
    values = np.array([9.0, np.nan, 1.0, -np.inf, 2.0, -np.inf, np.nan])
    groups, units = np.array([0, 0, 0, 1, 1, 1, 1]), np.array([5, 5, 5, 5, 5, 6, 7])
    found = trend_test(values, groups, units=units)
    # 5 of group 0; the median of -inf and 2, and -inf, of group 1; nothing of unit 7.
    assert found.pairs == 2 and found.superiority == 1


def test_holms_correction_is_by_hand_and_holds_the_chance_of_any_false_rejection():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])
    np.testing.assert_allclose(holm(np.array([0.5, np.nan, 0.9])), [1, np.nan, 1])
    assert len(holm(np.array([]))) == 0
    random = np.random.default_rng(6)
    wrong = np.mean([holm(random.uniform(size=20)).min() < 0.05 for _ in range(2000)])
    assert 0.03 < wrong < 0.07  # 64% without it


def test_one_group_alone_has_no_order():
    result = trend_test(np.ones(4), np.zeros(4, int))
    assert result.pairs == 0 and np.isnan(result.p)


def test_means_leave_out_infinite_values_and_say_how_many():
    result = mean_interval(np.array([1.0, 3.0, -np.inf, np.nan]))
    assert (result.count, result.infinite, result.mean, result.median) == (3, 1, 2.0, 1.0)
    assert result.low <= 2 <= result.high
    nothing = mean_interval(np.array([-np.inf, -np.inf]))
    assert nothing.infinite == 2 and np.isnan(nothing.mean) and nothing.median == -np.inf
    assert mean_interval(np.array([])).count == 0


def test_the_interval_covers_the_mean():
    random = np.random.default_rng(4)
    covered = 0
    for i in range(200):
        result = mean_interval(random.normal(2.0, 1.0, 40), seed=i)
        covered += result.low <= 2 <= result.high
    assert 175 <= covered <= 200
