import numpy as np
import pytest

from memgen_jax import statistics
from memgen_jax.errors import InputError


def neighbors_of(points, radius):
    near = np.abs(points[:, None] - points[None, :]) <= radius
    return near.sum(1) - 1


def neighbors_at_one_place(points):
    """The same of points that coincide or lie far apart, quickly."""
    _, place, count = np.unique(points, return_inverse=True, return_counts=True)
    return count[place] - 1


def test_the_share_at_a_smaller_size_is_that_of_sets_drawn_at_that_size():
    random = np.random.default_rng(0)
    points = random.choice(np.arange(60.0), 150)
    counted = random.random(150) < 0.7
    share = statistics.share_of_repeats(neighbors_of(points, 0.1), counted, 40).value
    drawn = []
    for _ in range(4000):
        chosen = random.choice(150, 40, replace=False)
        drawn.append(np.mean((neighbors_at_one_place(points[chosen]) > 0) & counted[chosen]))
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
    """Samples that fall on a place of their own or on one of `places` shared ones, redrawn 300 times."""
    random = np.random.default_rng(places)

    def draw():
        own = np.arange(places, places + 300)
        points = np.where(random.random(300) < 0.3, own, random.integers(0, places, 300)).astype(float)
        return neighbors_at_one_place(points)

    everyone = np.ones(300, bool)
    truth = np.mean([statistics.share_of_repeats(draw(), everyone, size).value for _ in range(500)])
    covered = [
        low <= truth <= high
        for low, high in (statistics.share_of_repeats(draw(), everyone, size).interval() for _ in range(300))
    ]
    assert np.mean(covered) >= 0.93


def test_powers_of_two_from_128():
    assert statistics.powers_of_two(5748) == [128, 256, 512, 1024, 2048, 4096]
    assert statistics.powers_of_two(128) == [128]
    assert statistics.powers_of_two(100) == []


def two_nearest(points):
    apart = np.abs(points[:, None] - points[None, :]).astype(float)
    np.fill_diagonal(apart, np.inf)
    order = np.argsort(apart, axis=1, kind="stable")[:, :2]
    return order[:, 0], *np.take_along_axis(apart, order, axis=1).T


@pytest.mark.parametrize("repeated", [True, False])
def test_the_variance_from_two_neighbours_is_that_of_leaving_out_one_sample_after_another(repeated):
    random = np.random.default_rng(4)
    points, counted = random.choice(np.arange(40.0), 60), random.random(60) < 0.8
    found = statistics.share_by_nearest(counted, *two_nearest(points), 0.1, repeated=repeated)

    def share(kept):
        near = neighbors_of(points[kept], 0.1) > 0
        return np.mean(counted[kept] & (near == repeated))

    everyone = np.arange(60)
    left_out = [share(np.delete(everyone, i)) for i in everyone]
    assert found.value == pytest.approx(share(everyone))
    # To the jackknife's own (N - 1) / N, and the share's change with N.
    assert found.variance == pytest.approx(np.var(left_out) * 59, rel=0.03)


@pytest.mark.parametrize("places", [300, 2000])
def test_intervals_from_two_neighbours_cover(places):
    random = np.random.default_rng(places)

    def draw():
        own = np.arange(places, places + 200)
        points = np.where(random.random(200) < 0.3, own, random.integers(0, places, 200)).astype(float)
        return statistics.share_by_nearest(np.ones(200, bool), *two_nearest(points), 0.1)

    truth = np.mean([draw().value for _ in range(400)])
    covered = [low <= truth <= high for low, high in (draw().interval() for _ in range(300))]
    assert np.mean(covered) >= 0.93


def test_a_collapsed_set_is_known_to_repeat():
    found = statistics.share_by_nearest(
        np.ones(1000, bool), np.full(1000, 0), np.zeros(1000), np.zeros(1000), 0.1
    )
    assert found.value == 1 and found.interval()[0] > 0.99


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.uint16, np.uint64])
def test_counts_of_any_type_give_the_same_share(kind):
    neighbors = np.random.default_rng(0).integers(0, 100, 300)
    counted = np.arange(300) % 3 > 0
    expected = statistics.share_of_repeats(neighbors, counted, 100)
    assert statistics.share_of_repeats(neighbors.astype(kind), counted, 100) == expected
    assert statistics.share_of_repeats(np.full(300, 100, kind), np.ones(300, bool), 300).value == 1


@pytest.mark.parametrize("counts, wrong", [([0, -1, 1], "-1"), ([0, 9, 1], "9"), ([3, 1, 1], "3")])
def test_counts_that_no_set_has_are_refused(counts, wrong):
    with pytest.raises(InputError, match=f"neighbors holds {wrong}, and of 3 samples each has 0 to 2 others"):
        statistics.share_of_repeats(np.array(counts), np.ones(3, bool), 2)
    with pytest.raises(InputError, match=f"neighbors holds {wrong}"):
        statistics.chance_of_neighbor(np.array(counts), 3, 2)


def test_shares_of_what_does_not_fit_together_are_refused():
    two, yes = np.array([1, 0]), np.ones(2, bool)
    with pytest.raises(InputError, match="neighbors is empty"):
        statistics.share_of_repeats(two[:0], yes[:0], 1)
    with pytest.raises(InputError, match="nearest_index holds 0 to 2, and there are 2 samples"):
        statistics.share_by_nearest(yes, np.array([2, 0]), np.ones(2), np.ones(2), 1.0)
    with pytest.raises(InputError, match="nearest holds nan at place 1"):
        statistics.share_by_nearest(yes, two, np.array([1, np.nan]), np.ones(2), 1.0)
    with pytest.raises(InputError, match="shares is empty"):
        statistics.mean_share([])
