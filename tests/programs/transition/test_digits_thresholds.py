"""What the thresholds of the demo's digits are, and which share of real, unseen digits passes them at every size."""

import numpy as np
import pytest

from configs import digits
from memgen_jax import phases
from memgen_jax.programs.transition.settings import TransitionRun


@pytest.fixture(scope="module")
def run():
    return TransitionRun(digits.get_config())


def nearest(run, items, others=None):
    options = {"exclude_self": True} if others is None else {}
    return run.metric.search(items, items if others is None else others, **options).distance[:, 0]


def test_a_fixed_distance_is_passed_by_ever_more_unseen_digits_and_a_fixed_rate_is_another_distance_at_every_size(
    run,
):
    unseen = run.comparable_held_out
    fixed = phases.held_out(nearest(run, unseen, run.comparable_train), nearest(run, run.comparable_train))
    assert fixed.delta_m == pytest.approx(1.02, abs=0.005)
    assert fixed.delta_s == pytest.approx(1.215, abs=0.001)
    passed, rate = [], []
    for size in (16, 64, 128, 1437):
        distance = nearest(run, unseen, run.comparable_train[:size])
        passed.append(100 * np.mean(distance <= fixed.delta_m))
        rate.append(phases.held_out(distance, np.ones(99)).delta_m)
    assert passed == pytest.approx([0, 0.28, 0.28, 100 * 3 / 360], abs=0.005)  # rank 3 of 361 is within 1%
    assert rate == pytest.approx([1.85, 1.60, 1.45, 1.02], abs=0.005)


def test_delta_s_of_the_digits_is_the_wider_the_smaller_the_sets(run):
    real = np.concatenate([run.comparable_train, run.comparable_held_out])

    def of_size(size):
        sets = phases.real_sets(len(real), size)
        return phases.repeat_threshold(
            np.stack([nearest(run, real[items]) for items in sets], axis=1), len(real)
        )

    found = {size: of_size(size) for size in (128, 256, 512, 1024, 1437)}
    deltas = [delta for delta, _ in found.values()]
    assert deltas == sorted(deltas, reverse=True)
    assert 1.15 < deltas[-1] < 1.25 and deltas[1] > 1.3  # 1.215 among the 1,437 to train on
    assert all(low < delta < high for delta, (low, high) in found.values())
    assert of_size(2000) == of_size(len(real))


@pytest.mark.parametrize("size", [256, 512])
def test_of_honest_digits_the_asked_rate_are_repeats_in_sets_of_any_size_by_the_rule_of_one_rate(run, size):
    real = np.concatenate([run.comparable_train, run.comparable_held_out])
    random = np.random.default_rng(3)
    found = phases.held_out_rate(np.ones(99), lambda chosen: nearest(run, real[chosen]), len(real), size)
    fresh = [nearest(run, real[random.choice(len(real), size, replace=False)]) for _ in range(40)]
    assert 0.005 <= np.mean(np.array(fresh) <= found.delta_s) <= 0.015
    assert (
        np.mean(np.array(fresh) <= 1.215) < 0.005
    )  # of all 1,437 training digits: too narrow for smaller sets
