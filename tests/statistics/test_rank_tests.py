"""The rank test against scipy and against known orders; means with infinite values by rule."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from memgen_jax.statistics import mean_interval, trend_test


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
