"""Squared-L² distances of kernel densities and Gaussians, against quadrature and double loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, ortho_group

from memgen_jax.onset import (
    Gaussian,
    LogOverlaps,
    log_cross_overlap,
    log_gaussian_overlap,
    log_ratio,
    log_self_overlap,
    log_squared_distance,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def gaussian(mean, covariance):
    variances, axes = np.linalg.eigh(covariance)
    return Gaussian(jnp.asarray(mean), jnp.asarray(axes), jnp.asarray(variances))


MEAN, COVARIANCE = np.array([0.3, -0.2]), np.array([[0.9, 0.4], [0.4, 0.6]])
POINTS = np.random.default_rng(0).standard_normal((7, 2))


def test_distances_agree_with_quadrature_on_the_plane():
    width = 0.45
    axis, step = np.linspace(-9, 9, 901, retstep=True)
    plane = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    kernels = np.mean([multivariate_normal(x, width**2).pdf(plane) for x in POINTS], 0)
    model = multivariate_normal(MEAN, COVARIANCE).pdf(plane)
    expected = np.sum((kernels - model) ** 2) * step**2
    widths, made = jnp.asarray([width]), gaussian(MEAN, COVARIANCE)
    value = log_squared_distance(
        log_self_overlap(jnp.asarray(POINTS), widths),
        log_gaussian_overlap(made)[None],
        log_cross_overlap(jnp.asarray(POINTS), widths, made),
    )
    assert float(jnp.exp(value[0])) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("tile", [1, 3, 7, 100])
def test_the_tiled_pair_sum_is_the_double_loop_for_every_tile_and_width(tile):
    widths = np.array([0.2, 0.9])
    expected = [
        np.log(np.mean([[multivariate_normal(x, 2 * e**2).pdf(y) for x in POINTS] for y in POINTS]))
        for e in widths
    ]
    value = log_self_overlap(jnp.asarray(10 + POINTS), jnp.asarray(widths), tile=tile)
    np.testing.assert_allclose(value, expected, rtol=1e-11)


def test_rows_beyond_the_count_are_ignored():
    rng = np.random.default_rng(5)
    rows, widths = jnp.asarray(rng.standard_normal((9, 2))), jnp.asarray([0.4, 0.8])
    made = gaussian(MEAN, COVARIANCE)
    np.testing.assert_allclose(
        log_self_overlap(rows, widths, jnp.asarray(5), tile=4), log_self_overlap(rows[:5], widths)
    )
    np.testing.assert_allclose(
        log_cross_overlap(rows, widths, made, jnp.asarray(5)), log_cross_overlap(rows[:5], widths, made)
    )


def test_permuting_the_points_or_turning_the_space_changes_nothing():
    rng = np.random.default_rng(1)
    points, turn = rng.standard_normal((40, 5)), ortho_group.rvs(5, random_state=2)
    root = rng.standard_normal((5, 5))
    covariance, mean, widths = root @ root.T, rng.standard_normal(5), jnp.asarray([0.6])
    made = gaussian(mean, covariance)
    turned = gaussian(turn @ mean, turn @ covariance @ turn.T)
    other = jnp.asarray(rng.permutation(points) @ turn.T)
    points = jnp.asarray(points)
    np.testing.assert_allclose(
        log_self_overlap(points, widths, tile=16), log_self_overlap(other, widths, tile=16), rtol=1e-12
    )
    np.testing.assert_allclose(
        log_cross_overlap(points, widths, made), log_cross_overlap(other, widths, turned), rtol=1e-12
    )


def test_in_a_hundred_dimensions_logarithms_stay_finite_where_densities_do_not():
    points = np.random.default_rng(3).standard_normal((20, 100))
    widths = jnp.asarray([1e-4])
    made = Gaussian(jnp.zeros(100), jnp.eye(100), jnp.ones(100))
    # Kernels this narrow do not meet: the diagonal alone is left, (4πε²)^{-d/2} / n.
    diagonal = -50 * np.log(4 * np.pi * 1e-8) - np.log(20)
    np.testing.assert_allclose(log_self_overlap(jnp.asarray(points), widths), [diagonal], rtol=1e-13)
    logs = [multivariate_normal(np.zeros(100), 1 + 1e-8).logpdf(x) for x in points]
    expected = np.logaddexp.reduce(logs) - np.log(20)
    np.testing.assert_allclose(log_cross_overlap(jnp.asarray(points), widths, made), [expected])


def test_a_flat_model_has_an_infinite_self_overlap_and_a_finite_cross_overlap():
    flat = Gaussian(jnp.zeros(2), jnp.eye(2), jnp.asarray([1.0, 0.0]))
    assert float(log_gaussian_overlap(flat)) == np.inf
    cross = log_cross_overlap(jnp.asarray(POINTS), jnp.asarray([0.5]), flat)
    expected = np.mean(multivariate_normal(np.zeros(2), np.diag([1.25, 0.25])).pdf(POINTS))
    assert float(jnp.exp(cross[0])) == pytest.approx(expected)


def test_the_sign_of_delta_is_that_of_the_difference_of_distances():
    rng = np.random.default_rng(4)
    tt, oo, tg, og = (jnp.asarray(rng.uniform(-2, 2, 200)) for _ in range(4))
    difference = (np.exp(tt) - 2 * np.exp(tg)) - (np.exp(oo) - 2 * np.exp(og))
    np.testing.assert_array_equal(np.sign(log_ratio(LogOverlaps(tt, oo, tg, og))), np.sign(difference))


def test_equal_densities_are_at_distance_zero():
    zero = log_squared_distance(jnp.asarray([0.3]), jnp.asarray([0.3]), jnp.asarray([0.3]))
    assert float(zero[0]) == -np.inf or float(jnp.exp(zero[0])) < 1e-15
