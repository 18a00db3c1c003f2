import numpy as np
import pytest

from memgen_jax import statistics
from memgen_jax.errors import InputError


def neighbors_of(points, radius):
    near = np.abs(points[:, None] - points[None, :]) <= radius
    return near.sum(1) - 1


def test_the_share_at_a_smaller_size_is_that_of_sets_drawn_at_that_size():
    random = np.random.default_rng(0)
    points = random.choice(np.arange(60.0), 150)
    counted = random.random(150) < 0.7
    share = statistics.share_of_repeats(neighbors_of(points, 0.1), counted, 40).value
    drawn = []
    for _ in range(4000):
        chosen = random.choice(150, 40, replace=False)
        drawn.append(np.mean((neighbors_of(points[chosen], 0.1) > 0) & counted[chosen]))
    assert share == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / np.sqrt(len(drawn)))


def test_at_its_own_size_the_share_is_the_plain_one():
    neighbors = np.array([0, 1, 1, 0, 4])
    counted = np.array([True, True, False, True, True])
    assert statistics.share_of_repeats(neighbors, counted, 5).value == pytest.approx(2 / 5)
    assert statistics.share_of_repeats(neighbors, counted, 5, repeated=False).value == pytest.approx(2 / 5)
    assert statistics.share_of_repeats(neighbors, counted, 1).value == 0


@pytest.mark.parametrize("size", [0, 6])
def test_a_size_beyond_the_set_is_refused(size):
    with pytest.raises(InputError, match="from 1 to the 5 samples"):
        statistics.share_of_repeats(np.zeros(5, int), np.ones(5, bool), size)


@pytest.mark.parametrize("size", [100, 300])
@pytest.mark.parametrize("places", [300, 2000, 20_000])
def test_intervals_of_a_process_that_pairs_samples_cover(places, size):
    """Samples that fall on a place of their own or on one of `places` shared ones, redrawn 400 times."""
    random = np.random.default_rng(places)

    def draw():
        own = np.arange(places, places + 300)
        points = np.where(random.random(300) < 0.3, own, random.integers(0, places, 300)).astype(float)
        return neighbors_of(points, 0.1)

    everyone = np.ones(300, bool)
    truth = np.mean([statistics.share_of_repeats(draw(), everyone, size).value for _ in range(2000)])
    covered = [
        low <= truth <= high
        for low, high in (statistics.share_of_repeats(draw(), everyone, size).interval() for _ in range(400))
    ]
    assert np.mean(covered) >= 0.93


def test_powers_of_two_from_128():
    assert statistics.powers_of_two(5748) == [128, 256, 512, 1024, 2048, 4096]
    assert statistics.powers_of_two(128) == [128]
    assert statistics.powers_of_two(100) == []
