import numpy as np
import pytest

from memgen_jax import phases
from memgen_jax.errors import InputError


def two_modes(seed, copies, others, low=0.3, high=6.0):
    rng = np.random.default_rng(seed)
    return np.exp(np.r_[rng.normal(np.log(low), 0.3, copies), rng.normal(np.log(high), 0.3, others)])


def test_the_papers_table_is_kept_and_tied_to_its_metric():
    assert phases.paper("mnist", "l2").delta_s == 3.5
    assert phases.paper("cifar10", "lpips").delta_m == 0.03
    assert phases.paper("lsun_church", "lpips").delta_m == 0.12
    assert phases.paper("fashion_mnist", "l2").delta_m == 4.5
    with pytest.raises(InputError, match="lpips distances, not l2"):
        phases.paper("cifar10", "l2")
    with pytest.raises(InputError, match="choose one of"):
        phases.paper("imagenet", "l2")


@pytest.mark.parametrize("copies", [150, 500, 900])
def test_the_valley_parts_two_groups_and_its_interval_holds_it(copies):
    distance = two_modes(0, copies, 1000 - copies)
    found = phases.valley(distance)
    assert found.threshold is not None and found.p_value < 0.05
    assert found.low <= found.threshold <= found.high
    # Almost no item of either group lies on the other's side.
    assert abs((distance <= found.threshold).sum() - copies) <= 5


def test_the_valley_is_at_the_minimum_of_the_density_that_made_the_distances():
    distance = two_modes(1, 20_000, 20_000, low=1.0, high=3.0)
    # Two equal bells at log 1 and log 3: the minimum lies half way, at sqrt(3).
    assert phases.valley(distance).threshold == pytest.approx(np.sqrt(3), rel=0.08)


def test_one_group_has_no_valley_and_the_sentence_says_what_is_needed():
    distance = np.exp(np.random.default_rng(2).normal(size=800))
    found = phases.valley(distance)
    assert found.threshold is None and found.low is None and found.p_value > 0.05
    with pytest.raises(InputError, match=r"training set look unimodal.*no threshold"):
        phases.find_valleys(distance, two_modes(3, 300, 300))
    with pytest.raises(InputError, match="samples look unimodal"):
        phases.find_valleys(two_modes(3, 300, 300), distance)


def test_exact_copies_at_distance_zero_make_a_mode_of_their_own():
    distance = np.r_[np.zeros(200), two_modes(4, 0, 500)]
    threshold = phases.valley(distance).threshold
    assert 0 < threshold < distance[200:].min() * 1.05


def test_a_valley_scales_with_the_distances():
    distance = two_modes(5, 300, 500)
    one, other = phases.valley(distance), phases.valley(7 * distance)
    assert other.threshold == pytest.approx(7 * one.threshold, rel=1e-6)


def test_too_few_distances_for_a_valley_are_refused():
    with pytest.raises(InputError, match="at least 10"):
        phases.valley(np.ones(9))


@pytest.mark.parametrize("rate", [0.01, 0.05])
def test_held_out_calibration_holds_its_false_positive_rate_on_new_images(rate):
    rng = np.random.default_rng(6)
    wrong = [
        (
            rng.exponential(size=500)
            <= phases.held_out(rng.exponential(size=999), np.ones(999), rate).delta_m
        ).mean()
        for _ in range(300)
    ]
    # The mean over calibrations is floor(rate (n + 1)) / (n + 1) = rate, with s.e. below rate/20.
    assert np.mean(wrong) == pytest.approx(rate, rel=0.15)


def test_the_calibrated_threshold_is_the_stated_order_statistic():
    found = phases.held_out(np.arange(1.0, 200.0), np.arange(1.0, 100.0) / 10, 0.01)
    assert found.delta_m == 2.0 and found.delta_s == pytest.approx(0.1)
    assert found.delta_m_interval[0] <= 2.0 <= found.delta_m_interval[1]


@pytest.mark.parametrize("count", [99, 150, 360, 2000])
def test_the_interval_of_a_calibrated_threshold_holds_the_true_quantile(count):
    """Of uniform distances the quantile at 1% is 0.01; a share of 95% or more, within sampling noise."""
    rng = np.random.default_rng(7)
    drawn = [phases.held_out(rng.random(count), np.ones(99)).delta_m_interval for _ in range(1000)]
    held = np.mean([low <= 0.01 <= high for low, high in drawn])
    assert 0.93 <= held <= 0.995


def test_several_training_sets_do_not_make_more_unseen_items_of_few():
    random = np.random.default_rng(9)
    held = []
    for _ in range(300):
        item = random.random((360, 1))
        several = np.clip(
            item + 1e-3 * random.normal(size=(360, 5)), 0, None
        )  # five sets, nearly one distance
        low, high = phases.held_out(several, np.ones(99), 0.05).delta_m_interval
        held.append(low <= 0.05 <= high)
    assert np.mean(held) >= 0.93


def test_too_few_held_out_images_for_a_rate_are_refused_with_the_number_needed():
    with pytest.raises(InputError, match="at least 99"):
        phases.held_out(np.ones(98), np.ones(1000), 0.01)
    assert phases.held_out(np.ones(99), np.ones(99), 0.01).delta_m == 1.0
    with pytest.raises(InputError, match="must be inside"):
        phases.held_out(np.ones(98), np.ones(1000), 1.5)


def test_the_rank_is_not_lost_to_rounding_where_the_rate_times_the_count_is_whole():
    assert phases.held_out(np.arange(1.0, 100.0), np.ones(99), 0.29).delta_m == 29.0


def test_the_ratio_rule_by_hand():
    first, second = np.array([1.0, 1.0, 0.0, 2.0]), np.array([3.1, 2.9, 0.0, 2.0])
    assert phases.copies_by_ratio(first, second).tolist() == [True, False, True, False]
    with pytest.raises(InputError, match="outside"):
        phases.copies_by_ratio(first, second, 0.0)


def test_of_sets_of_any_size_the_rate_that_was_asked_are_repeats():
    """By the rule of one rate; a mean of each set's own quantile would let half as many pass in sets of 128."""
    random = np.random.default_rng(8)
    points = random.normal(size=(600, 3))

    def own_distance(items):
        apart = np.linalg.norm(points[items, None] - points[None, items], axis=-1)
        np.fill_diagonal(apart, np.inf)
        return apart.min(1)

    for size in (128, 300, 600):
        found = phases.held_out_rate(np.linspace(0, 1, 200), own_distance, len(points), size, 0.02)
        fresh = [own_distance(random.choice(600, size, replace=False)) for _ in range(60)]
        assert 0.015 <= np.mean(np.array(fresh) <= found.delta_s) <= 0.025
        assert found.delta_s_interval[0] <= found.delta_s <= found.delta_s_interval[1]


@pytest.mark.parametrize("wrong", [np.nan, -1.0, np.inf])
def test_no_rule_takes_what_is_no_distance(wrong):
    good = np.random.default_rng(0).uniform(1, 2, 200)
    bad = np.append(good[1:], wrong)
    said = f"holds {wrong} at place 199, and a distance is finite and 0 or more"
    for rule in (
        lambda: phases.held_out(bad, good),
        lambda: phases.held_out(good, bad),
        lambda: phases.held_out(np.stack([good, bad], axis=1), good),
        lambda: phases.held_out_rate(good, lambda items: bad[items], 200, 200),
        lambda: phases.valley(bad),
        lambda: phases.find_valleys(good, bad),
    ):
        with pytest.raises(InputError, match=r"holds|is") as refused:
            rule()
        assert (
            said in str(refused.value)
            or "place 399" in str(refused.value)
            or "look unimodal" in str(refused.value)
        )
    with pytest.raises(InputError, match="not a distance"):
        phases.given(wrong, 1.0)
    if wrong != np.inf:  # of a sample without another
        for label in (
            lambda: phases.classify(good, bad, 1.0, 1.0),
            lambda: phases.copies_by_ratio(bad, good),
        ):
            with pytest.raises(InputError, match="distance"):
                label()


def test_of_small_sets_so_many_are_drawn_that_a_usual_rate_can_be_shown():
    drawn = {size: phases.real_sets(1797, size) for size in (4, 16, 128)}
    assert {size: len(sets) for size, sets in drawn.items()} == {4: 256, 16: 64, 128: 64}
    with pytest.raises(InputError, match=r"256 real items, in 64 sets of 4, .*sets of at least 6"):
        phases.repeat_threshold(np.ones((4, 64)), 1797, 0.003)


def test_the_distances_of_one_set_may_be_one_list_and_a_users_own_a_column():
    one = np.linspace(0.5, 1.0, 99)
    assert phases.repeat_threshold(one, 99, 0.1) == phases.repeat_threshold(one[:, None], 99, 0.1)
    unseen = np.linspace(1.0, 2.0, 99)
    listed = phases.held_out_rate(unseen, lambda items: one, 99, 99, 0.1)
    assert phases.held_out_rate(unseen, lambda items: one[:, None], 99, 99, 0.1) == listed
    with pytest.raises(InputError, match="own_distance gives"):
        phases.held_out_rate(unseen, lambda items: one[:3], 99, 99, 0.1)
