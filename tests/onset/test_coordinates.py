"""Densities coordinate by coordinate: closed form, and the paper's 16-point grid."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from memgen_jax.onset import coordinate_kernels, overlaps_on_grid

pytestmark = pytest.mark.usefixtures("quick_compilation")

RNG = np.random.default_rng(0)
FEW = RNG.normal(0.5, 0.1, (6, 3)).astype(np.float32)
MANY = RNG.normal(0.5, 0.1, (9, 3)).astype(np.float32)


def overlap(a, b, width_a, width_b):
    variance = jnp.float32(width_a**2 + width_b**2)
    return float(jnp.mean(coordinate_kernels(jnp.asarray(a), jnp.asarray(b), variance)))


def test_the_closed_form_is_the_integral_of_the_product_of_densities():
    def product(x, i):
        return norm(FEW[:, i], 0.03).pdf(x).mean() * norm(MANY[:, i], 0.05).pdf(x).mean()

    expected = sum(quad(product, 0, 1, args=(i,), limit=200)[0] for i in range(3))
    assert overlap(FEW, MANY, 0.03, 0.05) == pytest.approx(expected, rel=1e-5)


def test_every_pair_has_its_own_sum_over_coordinates():
    matrix = coordinate_kernels(jnp.asarray(FEW), jnp.asarray(MANY), jnp.float32(0.01))
    expected = [[norm(0, 0.1).pdf(x - y).sum() for y in MANY] for x in FEW]
    np.testing.assert_allclose(matrix, expected, rtol=2e-5)


def test_the_grid_agrees_for_wide_kernels_and_aliases_for_the_papers_narrow_ones():
    """ε = σ/n at n = 10: the true integral against the sum over 16 points (spec: 2.3 against 2.7-3.2)."""
    points = RNG.normal(0.5, 0.1, (10, 256)).astype(np.float32)

    def on_grid(width):
        return float(overlaps_on_grid(jnp.asarray(points), jnp.asarray(points), *[jnp.float32(width)] * 2))

    assert on_grid(0.1) == pytest.approx(overlap(points, points, 0.1, 0.1), rel=1e-3)
    narrow = on_grid(0.01) / overlap(points, points, 0.01, 0.01)
    assert abs(narrow - 1) > 0.02
