"""Density and coverage against what is known for any distribution, and against collapse, copies and noise."""

import numpy as np
import pytest

from memgen_jax import neighbors, statistics
from memgen_jax.errors import InputError


def measured(unseen, samples, size):
    radius = neighbors.search(unseen, unseen, k=5, exclude_self=True).distance[:, -1:].astype(np.float64)
    inside = neighbors.count_within(unseen, samples, radius)[:, 0]
    return statistics.density_and_coverage(inside, len(samples), size)


def test_honest_samples_have_the_density_and_the_coverage_that_theory_says():
    random = np.random.default_rng(0)
    found = [
        measured(*(random.standard_normal((count, 3)).astype(np.float32) for count in (200, 300)), size=120)
        for _ in range(30)
    ]
    density, coverage = np.mean(found, axis=0)
    errors = np.std(found, axis=0) / np.sqrt(len(found))
    assert density == pytest.approx(1, abs=4 * errors[0])
    assert coverage == pytest.approx(statistics.expected_coverage(200, 120), abs=4 * errors[1])


def test_the_coverage_of_a_smaller_set_is_the_mean_over_sets_drawn_from_the_samples():
    random = np.random.default_rng(1)
    inside = random.random((50, 80)) < 0.05 * random.random((50, 1))
    found = statistics.density_and_coverage(inside.sum(1), 80, 20).coverage
    drawn = [inside[:, random.choice(80, 20, replace=False)].any(1).mean() for _ in range(3000)]
    assert found == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(3000))


def test_a_collapsed_model_copies_of_few_items_and_noise_cover_little():
    random = np.random.default_rng(2)
    unseen = random.standard_normal((300, 8)).astype(np.float32)
    honest = statistics.expected_coverage(300, 256)
    collapsed = np.repeat(random.standard_normal((1, 8)).astype(np.float32), 256, 0)
    copies = np.resize(random.standard_normal((8, 8)).astype(np.float32), (256, 8))
    noise = 5 * random.standard_normal((256, 8)).astype(np.float32)
    for samples in (collapsed, copies, noise):
        assert measured(unseen, samples, 256).coverage < 0.5 * honest
    assert measured(unseen, noise, 256).density < 0.5


def test_class_means_in_place_of_samples_cover_less_than_honest_data_and_crowd_in_the_middle():
    random = np.random.default_rng(3)
    means = 3 * random.standard_normal((10, 8))

    def draw():
        return (np.repeat(means, 40, 0) + random.standard_normal((400, 8))).astype(np.float32)

    unseen, honest = draw(), measured(draw(), draw(), 256)
    found = measured(unseen, np.resize(means, (400, 8)).astype(np.float32), 256)
    assert found.coverage < 0.8 * honest.coverage
    assert found.density > 3 * honest.density


def test_a_size_beyond_the_samples_is_refused():
    with pytest.raises(InputError, match="from 1 to the 4 samples"):
        statistics.density_and_coverage(np.zeros(3, int), 4, 5)


@pytest.mark.parametrize("inside", [[0, -1], [0, 5]])
def test_balls_that_hold_more_samples_than_there_are_or_fewer_than_none_are_refused(inside):
    with pytest.raises(
        InputError, match=f"inside holds {min(inside)} to {max(inside)}, and there are 4 samples"
    ):
        statistics.density_and_coverage(np.array(inside), num_samples=4, size=1)
