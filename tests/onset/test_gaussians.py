"""Hellinger distance between Gaussians, against quadrature and by invariance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal, ortho_group

from memgen_jax.onset import Gaussian, isotropic, squared_hellinger

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def from_covariance(mean, covariance):
    variances, axes = np.linalg.eigh(np.asarray(covariance, np.float64))
    variances = np.where(variances > 1e-12 * variances[-1], variances, 0.0)
    return Gaussian(*(jnp.asarray(part, jnp.float64) for part in (mean, axes, variances)))


def on_plane(mean, covariance, axis):
    """The density of N(mean, covariance) on a square grid."""
    points = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1)
    return multivariate_normal(mean, covariance).pdf(points)


FIRST = ([0.2, -0.1], [[1.0, 0.3], [0.3, 0.5]])
SECOND = ([-0.4, 0.5], [[0.4, -0.2], [-0.2, 1.2]])


def test_agrees_with_quadrature_on_the_plane():
    axis, step = np.linspace(-9, 9, 901, retstep=True)
    overlap = np.sum(np.sqrt(on_plane(*FIRST, axis) * on_plane(*SECOND, axis))) * step**2
    value = squared_hellinger(from_covariance(*FIRST), from_covariance(*SECOND))
    assert float(value) == pytest.approx(1 - overlap, abs=1e-10)


def test_is_symmetric_zero_for_equals_and_unchanged_by_a_linear_map():
    p, q = from_covariance(*FIRST), from_covariance(*SECOND)
    value = float(squared_hellinger(p, q))
    assert float(squared_hellinger(q, p)) == pytest.approx(value, abs=1e-14)
    assert float(squared_hellinger(p, p)) == pytest.approx(0, abs=1e-14)
    stretch = np.array([[2.0, 0.7], [-0.3, 0.4]])
    moved = [
        from_covariance(stretch @ np.array(mean) + 3, stretch @ np.array(covariance) @ stretch.T)
        for mean, covariance in (FIRST, SECOND)
    ]
    assert float(squared_hellinger(*moved)) == pytest.approx(value, abs=1e-12)


def test_directions_flat_in_both_drop_out():
    turn = ortho_group.rvs(5, random_state=0)
    lifted = []
    for mean, covariance in (FIRST, SECOND):
        full = np.zeros((5, 5))
        full[:2, :2] = covariance
        lifted.append(from_covariance(turn[:, :2] @ np.array(mean), turn @ full @ turn.T))
    expected = squared_hellinger(from_covariance(*FIRST), from_covariance(*SECOND))
    assert float(squared_hellinger(*lifted)) == pytest.approx(float(expected), abs=1e-10)


def test_is_one_when_only_one_is_flat_or_when_parallel_planes_lie_apart():
    flat = from_covariance([0.0, 0.0], [[1.0, 1.0], [1.0, 1.0]])
    assert float(squared_hellinger(flat, isotropic(jnp.zeros(2), 1.0))) == 1
    assert float(squared_hellinger(isotropic(jnp.zeros(2), 1.0), flat)) == 1
    beside = flat._replace(mean=jnp.asarray([1e-3, -1e-3]))
    assert float(squared_hellinger(flat, beside)) == 1
    along = flat._replace(mean=jnp.asarray([1e-3, 1e-3]))
    assert float(squared_hellinger(flat, along)) < 1e-6


def test_a_hundred_dimensions_neither_overflow_nor_lose_the_small_difference():
    wide, wider = isotropic(jnp.zeros(100), 1e3), isotropic(jnp.zeros(100), 1e3 * 1.001)
    expected = 1 - (2 * 1.001 / (1 + 1.001**2)) ** 50
    assert float(squared_hellinger(wide, wider)) == pytest.approx(expected, rel=1e-6)
