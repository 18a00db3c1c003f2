"""When the samples of a step are as good as unseen items: a rule with two sides."""

import pytest

from memgen_jax.programs.transition import steps

HONEST = {"held_out_distance": 2.0, "sample_distance": 2.1, "coverage": 0.8, "coverage_expected": 0.85}


def row(step, **changes):
    return {"num_train": 64, "step": step, "memorized": 0.0, "num_synthetic": 100} | HONEST | changes


def test_samples_like_unseen_items_are_good():
    assert steps.is_good(row(1))


@pytest.mark.parametrize(
    "changes",
    [
        {"sample_distance": 0.1, "coverage": 0.2},  # copies of a few
        {"sample_distance": 0.1},  # copies of the whole training set, which reach everything
        {"coverage": 0.01},  # one new thing again and again, at the right distance
        {"sample_distance": 4.0},  # noise
        {"held_out_distance": None},
        {"coverage_expected": None, "coverage": None},
    ],
)
def test_copies_collapse_and_noise_are_not(changes):
    assert not steps.is_good(row(1, **changes))


def test_the_time_of_generalization_is_the_first_step_that_is_good_on_both_sides():
    rows = [row(100, sample_distance=4.0), row(200, coverage=0.1), row(400), row(800, sample_distance=0.2)]
    assert steps.training_times(rows)["tau"] == [{"num_train": 64, "tau_mem": None, "tau_gen": 400}]
