import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from memgen_jax import statistics
from memgen_jax.errors import InputError


def test_the_share_nearer_to_train_is_half_for_honest_samples_and_one_for_copies():
    rng = np.random.default_rng(0)
    train, unseen, new = (rng.normal(size=(400, 8)) for _ in range(3))

    def nearest(items, among):
        return np.linalg.norm(items[:, None] - among[None], axis=2).min(axis=1)

    share = statistics.nearer_to_train(nearest(new, train), nearest(new, unseen))
    low, high = statistics.wilson_interval(round(400 * share), 400)
    assert low < 0.5 < high
    copies = train + 1e-3
    assert statistics.nearer_to_train(nearest(copies, train), nearest(copies, unseen)) == 1


def test_auth_pct_by_hand():
    own = np.array([1.0, 2.0])  # the nearest other training item of each training item
    distance, index = np.array([0.5, 1.5, 1.5, 2.5]), np.array([0, 0, 1, 1])
    assert statistics.auth_pct(distance, index, own) == 50


def test_data_copying_is_the_z_score_of_the_mann_whitney_test():
    rng = np.random.default_rng(0)
    unseen, samples = rng.normal(1.0, 1.0, 300), rng.normal(0.5, 1.0, 200)
    z = statistics.data_copying(unseen, samples)
    test = mannwhitneyu(samples, unseen, method="asymptotic", use_continuity=False)
    assert z < -3
    from scipy.special import ndtr

    assert 2 * ndtr(z) == pytest.approx(test.pvalue, rel=1e-6)


def test_data_copying_is_centred_for_samples_like_unseen_items_and_positive_far_off():
    rng = np.random.default_rng(1)
    scores = [statistics.data_copying(*rng.normal(size=(2, 50))) for _ in range(200)]
    assert abs(np.mean(scores)) < 0.25 and np.std(scores) == pytest.approx(1, abs=0.2)
    assert statistics.data_copying(rng.normal(size=50), 9 + rng.normal(size=50)) > 5
    with pytest.raises(InputError):
        statistics.data_copying(np.ones(1), np.ones(5))


def test_the_lowest_cell_finds_a_copied_mode_that_one_cell_hides():
    """Two modes: one copied exactly, samples of the other spread too wide."""
    random = np.random.default_rng(0)
    modes = np.array([[0.0, 0.0], [20.0, 0.0]])

    def draw(count, spread=1.0):
        return np.concatenate([mode + spread * random.standard_normal((count, 2)) for mode in modes])

    train, unseen = draw(200), draw(200)
    samples = np.concatenate([train[:100], modes[1] + 5 * random.standard_normal((300, 2))])

    def to_train(items):
        return np.sqrt(((items[:, None] - train[None]) ** 2).sum(-1)).min(1)

    cells = statistics.Cells(train, 2)
    whole = statistics.data_copying(to_train(unseen), to_train(samples))
    lowest = statistics.lowest_cell(to_train(unseen), to_train(samples), cells.of(unseen), cells.of(samples))
    assert whole > 2
    assert lowest < -8
    assert (
        statistics.lowest_cell(to_train(unseen), to_train(samples), cells.of(unseen) + 9, cells.of(samples))
        is None
    )


@pytest.mark.parametrize("wrong", [np.nan, -1.0])
def test_statistics_of_what_is_no_distance_are_refused(wrong):
    good, bad = np.linspace(1, 2, 30), np.append(np.linspace(1, 2, 29), wrong)
    places = np.zeros(30, int)
    for found in (
        lambda: statistics.auth_pct(bad, places, good),
        lambda: statistics.nearer_to_train(good, bad),
    ):
        with pytest.raises(InputError, match=f"holds {wrong} at place 29, and a distance is 0 or more"):
            found()
    for found in (
        lambda: statistics.data_copying(np.append(good, np.nan), good),
        lambda: statistics.lowest_cell(np.append(good, np.nan), good, np.append(places, 0), places),
    ):
        with pytest.raises(InputError, match="unseen_distance holds NaN at place 30"):
            found()
    with pytest.raises(InputError, match="train_index holds 0 to 40, and there are 30 training items"):
        statistics.auth_pct(good, np.append(places[1:], 40), good)


def test_a_phase_without_samples_has_no_lowest_cell():
    unseen, nothing = np.linspace(1.0, 2.0, 40), np.empty(0)
    cells = np.repeat([0, 1], 20)
    assert statistics.lowest_cell(unseen, nothing, cells, np.empty(0, int)) is None
