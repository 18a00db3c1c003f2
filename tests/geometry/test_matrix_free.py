"""The matrix-free estimates against the full matrix of the same function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import geometry
from memgen_jax.diffusion import OU, VE
from memgen_jax.errors import InputError
from memgen_jax.memory import exact_denoiser

pytestmark = pytest.mark.usefixtures("quick_compilation")


def network(x, t):
    """A network with an asymmetric Jacobian whose singular values fall off."""
    weights = jax.random.normal(jax.random.key(3), (2, 40, 40)) / 40**0.5
    scale = jnp.exp(-jnp.arange(40.0) / 5)
    return jnp.tanh(scale * (weights[0] @ x.reshape(-1))) @ weights[1] @ jnp.diag(scale).T


def flat(x, t):
    return network(x, t).reshape(x.shape)


def test_top_singular_values_agree_with_the_full_decomposition(key):
    clean, t, process = jnp.linspace(-1.0, 1.0, 40).reshape(8, 5), jnp.float32(0.1), OU()
    slope = jnp.eye(40) - geometry.curvature_matrix(clean, t, flat, process)
    push, pull = geometry.slope_products(clean, t, flat, process)
    top = geometry.top_singular(key, push, pull, 40, 6)
    few = geometry.top_singular(key, push, pull, 40, 6, columns_at_once=4)
    np.testing.assert_allclose(few.values, top.values, rtol=1e-5)
    full = np.linalg.svd(np.asarray(slope, np.float64))
    np.testing.assert_allclose(top.values, full[1][:6], rtol=1e-3)
    np.testing.assert_allclose(np.abs(np.sum(np.asarray(top.vectors) * full[2][:6].T, 0)), 1, atol=1e-3)


def test_flat_directions_agree_with_the_small_end_of_the_full_spectrum(key):
    side = jnp.linspace(-1.0, 1.0, 41)
    plane = jnp.zeros((41, 41, 12)).at[..., 2].set(side[:, None]).at[..., 7].set(side[None]).reshape(-1, 12)
    process, t = VE(), jnp.float32(0.02)
    denoiser = exact_denoiser(plane, process)
    clean = plane[41 * 30 + 12]
    full, free = jax.jit(
        lambda clean: (
            geometry.spectrum(clean, t, denoiser, process),
            geometry.flat_directions(key, clean, t, denoiser, process, rank=5),
        )
    )(clean)
    np.testing.assert_allclose(free.singular_values, np.asarray(full.singular_values)[::-1][:5], atol=1e-3)
    np.testing.assert_allclose(1 - free.slopes, np.asarray(full.eigenvalues)[::-1][:5], atol=1e-3)
    assert geometry.near_zero(np.asarray(free.singular_values)) == 2


def test_small_singular_values_of_an_asymmetric_matrix_are_bounded_from_above(key):
    clean, t, process = jnp.linspace(-1.0, 1.0, 40), jnp.float32(0.1), OU()
    full = np.asarray(geometry.spectrum(clean, t, network, process).singular_values)[::-1]
    free = geometry.flat_directions(key, clean, t, network, process, rank=4)
    assert np.all(np.asarray(free.singular_values) >= full[:4] - 1e-5)


def test_hutchinson_is_exact_for_a_diagonal_and_within_its_error_bar_otherwise(key):
    diagonal = jnp.arange(30.0)
    exact = geometry.trace(key, lambda v: diagonal * v, 30, probes=4)
    np.testing.assert_allclose([exact.mean, exact.standard_error], [435, 0], atol=1e-3)
    clean, t, process = jnp.linspace(-1.0, 1.0, 40), jnp.float32(0.1), OU()
    full = float(geometry.spectrum(clean, t, network, process).trace)
    keys = jax.random.split(key, 40)
    estimates = jax.vmap(lambda k: geometry.curvature_trace(k, clean, t, network, process, probes=64))(keys)
    z = (np.asarray(estimates.mean) - full) / np.asarray(estimates.standard_error)
    assert abs(z.mean()) < 4 / 40**0.5 and 0.7 < z.std() < 1.4


def test_the_estimates_agree_with_the_full_ones_to_a_thousandth(key):
    clean, t, process = jnp.linspace(-1.0, 1.0, 40), jnp.float32(0.1), OU()
    full = geometry.spectrum(clean, t, network, process)
    estimate = geometry.curvature_trace(key, clean, t, network, process, probes=4096)
    assert float(estimate.standard_error) < 1e-3 * 40
    np.testing.assert_allclose(estimate.mean, full.trace, rtol=1e-3)


def test_a_rank_beyond_the_dimension_is_refused(key):
    with pytest.raises(InputError, match="rank=5"):
        geometry.top_singular(key, lambda v: v, lambda v: v, 4, 5)
