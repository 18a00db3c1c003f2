"""The circle's closed forms against SciPy in float64, quadrature and very many patterns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special

from memgen_jax import diffusion, memory
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("quick_compilation")

BETAS = (0.1, 1.0, 10 / 3, 20.0, 5e2, 5e4, 1e5)
RADII = (0.0, 1e-4, 0.3, 0.9, 1.0, 1.3, 2.5)


def reference_energy(radius, beta):
    return (radius - 1) ** 2 - np.log(special.i0e(2 * beta * radius)) / beta


def reference_radial_score(radius, beta):
    z = 2 * beta * radius
    return 2 * beta * (special.i1e(z) / special.i0e(z) - radius)


@pytest.mark.parametrize("beta", BETAS)
def test_energy_and_score_are_right_from_hot_to_very_cold(beta):
    x = jnp.stack([jnp.asarray(RADII) * 0.6, jnp.asarray(RADII) * -0.8], -1)
    energy, score = jax.jit(
        lambda x, beta: (
            jax.vmap(memory.circle_energy, (0, None))(x, beta),
            jax.vmap(memory.circle_score, (0, None))(x, beta),
        )
    )(x, jnp.float32(beta))
    radii = np.array(RADII)
    np.testing.assert_allclose(energy, reference_energy(radii, beta), rtol=2e-6, atol=2e-6 / min(beta, 1))
    radial = reference_radial_score(radii, beta)
    expected = radial[:, None] * np.array([0.6, -0.8])
    np.testing.assert_allclose(score, expected, rtol=1e-5, atol=1e-6 * 2 * beta)
    assert not np.any(np.asarray(score)[0])


def test_the_score_carries_the_factor_beta_that_the_paper_lost():
    score = memory.circle_score(jnp.array([1.3, 0.0]), 20.0)
    np.testing.assert_allclose(score, [-12.3865, 0], rtol=1e-5)


def test_the_score_is_the_gradient_of_the_log_density_also_at_the_centre():
    x = jnp.array([[0.0, 0.0], [1e-3, 0.0], [0.5, -0.9]])
    functions = memory.circle_score, jax.grad(memory.circle_log_density)
    both = jax.jit(jax.vmap(lambda x, beta: [f(x, beta) for f in functions], (0, None)))
    for beta in (0.5, 20.0):
        score, gradient = both(x, jnp.float32(beta))
        np.testing.assert_allclose(score, gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("beta", [0.1, 1.0, 20.0, 1e4])
def test_the_density_integrates_to_one(beta):
    width = 1 / np.sqrt(2 * beta)
    with jax.enable_x64(True):
        density = lambda radius: (  # noqa: E731
            2 * np.pi * radius * np.exp(memory.circle_log_density(jnp.array([radius, 0.0]), beta))
        )
        total, _ = integrate.quad(density, max(0.0, 1 - 12 * width), 1 + 12 * width, epsabs=1e-9)
    np.testing.assert_allclose(total, 1, rtol=1e-7)


def test_very_many_patterns_on_the_circle_are_the_closed_form(key):
    """Evenly spaced, they differ from the integral by a power of e^-K only (trapezoid rule)."""
    angles = np.arange(2000) * (2 * np.pi / 2000)
    patterns = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)
    process = diffusion.VE()
    x = jnp.array([0.7, -0.9])

    @jax.jit
    def both(t):
        finite = memory.log_density(x, patterns, t, process), memory.exact_denoiser(patterns, process)(x, t)
        return finite, (memory.circle_log_density(x, 0.5 / t), memory.circle_denoised(x, 0.5 / t))

    for t in (0.001, 0.15, 1.0):
        (log_density, denoised), (closed_log_density, closed_denoised) = both(t)
        np.testing.assert_allclose(log_density, closed_log_density, rtol=1e-5, atol=1e-4)
        np.testing.assert_allclose(denoised, closed_denoised, atol=1e-5)


def test_the_ring_of_minima_has_the_radius_of_the_errata():
    betas = np.array([20.0, 10 / 3, 2.0, 1.5, 1.0, 0.3])
    np.testing.assert_allclose(
        memory.ring_radius(betas), [0.9873, 0.9138, 0.8315, 0.7242, 0.0, 0.0], atol=5e-5
    )
    np.testing.assert_allclose(memory.ring_radius(1e4), 1 - 1 / 4e4, atol=1e-8)
    np.testing.assert_allclose(memory.ring_radius(1 + 1e-6), np.sqrt(2e-6), rtol=1e-3)


def test_the_ring_is_a_minimum_along_the_radius():
    for beta in (1.2, 10 / 3, 50.0):
        radius = memory.ring_radius(beta)
        energies = reference_energy(radius + np.array([-1e-3, 0, 1e-3]), beta)
        assert energies[1] < min(energies[0], energies[2])


def test_a_temperature_that_is_not_positive_is_one_sentence():
    with pytest.raises(InputError, match=r"beta=0.0 must be positive"):
        memory.circle_energy(jnp.ones(2), 0.0)
    with pytest.raises(InputError, match=r"beta=-1.0 must be positive"):
        memory.circle_score(jnp.ones(2), jnp.float32(-1.0))
    for beta in (-2.0, np.nan):
        with pytest.raises(InputError, match=rf"beta={float(beta)} must be positive"):
            memory.ring_radius(np.array([1.0, beta]))
