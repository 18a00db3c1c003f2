"""The metric on samples: copiers are seen, generalizers are seen, and shares are measured."""

import numpy as np
import pytest

from memgen_jax.errors import InputError
from memgen_jax.onset import VIEWS, Unseen, bootstrap_delta, compare

RNG = np.random.default_rng(0)
BASIS = RNG.standard_normal((6, 40))
K = 30


def real(count):
    """Points of a source with six directions of variance and a little of everything else."""
    return (RNG.standard_normal((count, 6)) @ BASIS + 0.2 * RNG.standard_normal((count, 40))).astype(
        np.float32
    )


TRAIN, HELD_OUT, FRESH = real(K), real(600), real(8 * K)


@pytest.mark.parametrize("view", VIEWS)
def test_what_is_kept_of_unseen_items_changes_no_bit(view):
    unseen = Unseen(HELD_OUT[:100], view=view)
    for train, samples in ((TRAIN, FRESH), (TRAIN[:9], FRESH), (TRAIN, FRESH[:50])):
        found = unseen.compare(train, samples, width_at=20, resamples=5)
        alone = compare(train, samples, HELD_OUT[:100], view=view, width_at=20, resamples=5)
        assert found.row() == alone.row()
        np.testing.assert_array_equal(found.replicates, alone.replicates)


@pytest.mark.parametrize("view", VIEWS)
def test_pairs_of_a_set_with_itself_are_those_of_a_copy_of_it_to_the_bit(view):
    """Tiles below the diagonal are not computed."""
    unseen = Unseen(HELD_OUT, view=view)
    itself = unseen._overlaps(unseen.items, unseen.items, 0.3)
    np.testing.assert_array_equal(itself, unseen._overlaps(unseen.items, unseen.items.copy(), 0.3))
    many = np.resize(unseen.items, (1600, unseen.items.shape[1])) * np.linspace(0.5, 2, 1600)[:, None]
    many = many.astype(np.float32)
    np.testing.assert_array_equal(unseen._overlaps(many, many, 0.3), unseen._overlaps(many, many.copy(), 0.3))


@pytest.mark.parametrize("view", VIEWS)
def test_a_copier_is_below_and_fresh_data_are_above_zero(view):
    copier = compare(TRAIN, np.repeat(TRAIN, 4, 0), HELD_OUT, view=view, resamples=200)
    fresh = compare(TRAIN, FRESH[: 4 * K], HELD_OUT, view=view, resamples=200)
    assert copier.row()["p_delta_positive"] == 0 and copier.row()["delta_high"] < 0
    assert fresh.row()["p_delta_positive"] == 1 and fresh.row()["delta_low"] > 0


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("copied", [0.25, 0.5, 0.75])
def test_the_relative_difference_measures_the_share_of_copies(view, copied):
    """ρ_G = c ρ_T + (1-c) ρ_O gives Δ = (1 - 2c) E_TO."""
    many = 8 * K
    copies = np.resize(TRAIN, (round(copied * many), 40))
    samples = np.concatenate([copies, FRESH[: many - len(copies)]])
    row = compare(TRAIN, samples, HELD_OUT, view=view, resamples=20).row()
    assert row["relative_delta"] == pytest.approx(1 - 2 * copied, abs=0.25)


def test_a_perfect_copy_is_at_distance_zero():
    found = compare(TRAIN, TRAIN, HELD_OUT, resamples=2)
    assert found.e_tg == pytest.approx(0, abs=1e-6) and found.e_og == pytest.approx(found.e_to, rel=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_scale_shift_order_and_constant_pixels_change_nothing(view):
    one = compare(TRAIN, FRESH, HELD_OUT, view=view, resamples=2)

    def moved(items):
        return 0.1 * RNG.permutation(items) + 3

    other = compare(moved(TRAIN), moved(FRESH), moved(HELD_OUT), view=view, resamples=2)
    assert other.e_tg == pytest.approx(one.e_tg, rel=2e-3)
    assert other.e_og == pytest.approx(one.e_og, rel=2e-3)
    if view == "components":

        def padded(items):
            return np.pad(items, ((0, 0), (0, 5)), constant_values=-1)

        other = compare(padded(TRAIN), padded(FRESH), padded(HELD_OUT), view=view, resamples=2)
        assert other.e_tg == pytest.approx(one.e_tg, rel=2e-3)


def test_the_bootstrap_is_centred_on_the_measured_difference():
    """Copies of one held-out item within a resample must not count as pairs that meet."""
    found = compare(TRAIN, FRESH, HELD_OUT, resamples=2000)
    error = found.replicates.std() / np.sqrt(2000)
    assert abs(found.replicates.mean() - (found.e_tg - found.e_og)) < 5 * error


def test_the_spread_of_the_bootstrap_is_that_of_fresh_draws():
    redrawn = [compare(TRAIN, real(120), real(150), resamples=2) for _ in range(60)]
    true_spread = np.std([one.e_tg - one.e_og for one in redrawn])
    found = np.std(compare(TRAIN, real(120), real(150), resamples=500).replicates)
    assert 0.6 < found / true_spread < 1.6


def test_resamples_match_a_double_loop_over_drawn_items():
    rng = np.random.default_rng(2)
    oo, og, tg = rng.uniform(size=(5, 5)), rng.uniform(size=(5, 4)), rng.uniform(size=4)
    oo = oo + oo.T
    np.fill_diagonal(oo, 3.0)
    drawn = np.random.default_rng(7)
    count_o = drawn.multinomial(5, np.full(5, 0.2), size=3)
    count_g = drawn.multinomial(4, np.full(4, 0.25), size=3)
    for value, o, g in zip(bootstrap_delta(0.4, tg, oo, og, 3, seed=7), count_o, count_g, strict=True):
        items_o, items_g = np.repeat(np.arange(5), o), np.repeat(np.arange(4), g)
        pairs = [oo[a, b] for a in items_o for b in items_o if a != b]
        same = np.mean(pairs)
        expected = 0.4 - 2 * tg[items_g].mean() - same + 2 * og[np.ix_(items_o, items_g)].mean()
        assert value == pytest.approx(expected)


def test_what_cannot_be_compared_is_refused_in_one_sentence():
    with pytest.raises(InputError, match="'pixels'"):
        compare(TRAIN, FRESH, HELD_OUT, view="pixels")
    with pytest.raises(InputError, match="held_out holds 1"):
        compare(TRAIN, FRESH, HELD_OUT[:1])
    with pytest.raises(InputError, match="synthetic items have 39"):
        compare(TRAIN, FRESH[:, :39], HELD_OUT)
    with pytest.raises(InputError, match="num_components=0"):
        compare(TRAIN, FRESH, HELD_OUT, view="components", num_components=0)
    with pytest.raises(InputError, match="all held-out items are the same"):
        compare(TRAIN, FRESH, np.ones_like(HELD_OUT), view="components")


@pytest.mark.parametrize("num_train,num_held_out", [(64, 1733), (512, 1285), (1024, 773)])
@pytest.mark.parametrize("copied", [0.0, 0.3, 0.5])
def test_relative_delta_is_one_less_twice_the_copied_share(num_train, num_held_out, copied):
    """The rest of the samples are fresh draws; the mean over several sets, as one is noisy at large K (σ = 0.02)."""
    found = []
    for seed in range(4):
        random = np.random.default_rng(seed)
        train, unseen, fresh = (
            random.standard_normal((count, 8)).astype(np.float32) for count in (num_train, num_held_out, 4096)
        )
        copies = random.choice(num_train, round(4096 * copied))
        samples = np.concatenate([train[copies], fresh[len(copies) :]])
        found.append(compare(train, samples, unseen, view="components", resamples=2).row()["relative_delta"])
    assert np.mean(found) == pytest.approx(1 - 2 * copied, abs=0.05)


def test_an_unseen_set_in_place_of_the_training_set_gives_one_on_average_and_one_draw_says_little():
    random = np.random.default_rng(0)
    held_out = Unseen(random.standard_normal((2000, 2)), view="components")
    off = random.standard_normal((500, 2)) * 1.3 + 0.3  # a model that is not as good as the truth
    found = [
        held_out.compare(random.standard_normal((400, 2)), off, width_at=400, resamples=2).row()
        for _ in range(30)
    ]
    relative = np.array([row["relative_delta"] for row in found])
    assert relative.std() > 0.5  # of single draws
    assert abs(relative.mean() - 1) < 3 * relative.std() * np.sqrt(1 / 30 + 400 / 2000)  # O is one draw too
