"""The onset paper's estimate from small random sets, pixel by pixel."""

import numpy as np
import pytest
from scipy.stats import norm

from memgen_jax.errors import InputError
from memgen_jax.onset import compare_small_sets

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
TRAIN, SYNTHETIC, ORIGINAL = (RNG.normal(0.5, 0.1, (count, 3)).astype(np.float32) for count in (4, 5, 8))


def density(items, width, points):
    """[dim, point]: the density of every coordinate."""
    return norm(items.T[:, :, None], width).pdf(points).mean(1)


@pytest.mark.parametrize(
    ("integral", "points"),
    [("closed", np.linspace(-0.5, 1.5, 4001)), ("grid", (np.arange(16) + 0.5) / 16)],
)
def test_distances_are_sums_over_coordinates_of_the_integrated_square(integral, points):
    """All items are drawn, so the sets are known; ε = σ/n with each set's own n (Onset 2024, Fig. 4)."""
    found = compare_small_sets(
        TRAIN, SYNTHETIC, ORIGINAL, sigma=0.1, sizes=(4, 5, 8), integral=integral, num_simulations=2
    )
    t, g, o = (density(items, 0.1 / len(items), points) for items in (TRAIN, SYNTHETIC, ORIGINAL))
    step = points[1] - points[0]
    np.testing.assert_allclose(found.e_tg, np.sum((t - g) ** 2) * step, rtol=1e-4)
    np.testing.assert_allclose(found.e_og, np.sum((o - g) ** 2) * step, rtol=1e-4)


def test_every_simulation_draws_anew_and_a_seed_draws_the_same():
    one, same, other = (
        compare_small_sets(
            TRAIN, SYNTHETIC, ORIGINAL, sigma=0.1, sizes=(2, 2, 3), num_simulations=6, seed=seed
        )
        for seed in (1, 1, 2)
    )
    assert len(set(one.e_og)) > 1
    np.testing.assert_array_equal(one.e_og, same.e_og)
    assert not np.array_equal(one.e_og, other.e_og)


def test_more_than_there_is_cannot_be_drawn():
    with pytest.raises(InputError, match="5 train items are to be drawn; choose between 2 and 4"):
        compare_small_sets(TRAIN, SYNTHETIC, ORIGINAL, sigma=0.1, sizes=(5, 5, 8))
    with pytest.raises(InputError, match="'romberg'"):
        compare_small_sets(TRAIN, SYNTHETIC, ORIGINAL, sigma=0.1, sizes=(2, 2, 2), integral="romberg")
