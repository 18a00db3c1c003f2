"""Curvature of the exact score, whose Jacobian is closed-form, and of spectra written by hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import geometry
from memgen_jax.diffusion import DDPM, OU, VE
from memgen_jax.errors import InputError
from memgen_jax.memory import exact_denoiser, exact_jacobian

pytestmark = pytest.mark.usefixtures("quick_compilation")


def flat_patterns(free: int, dim: int = 5) -> jax.Array:
    """A dense grid on a `free`-dimensional plane through the origin of `dim` dimensions, tilted."""
    side = jnp.linspace(-1.0, 1.0, 41)
    grid = jnp.stack([axis.ravel() for axis in jnp.meshgrid(*[side] * free)], axis=1)
    rotation, _ = jnp.linalg.qr(jax.random.normal(jax.random.key(7), (dim, dim)))
    return grid @ rotation[:free]


@pytest.mark.parametrize(
    ("process", "t"), [(DDPM(), 60.0), (VE(), 0.05), (OU(), 0.05)], ids=["ddpm", "ve", "ou"]
)
def test_the_matrix_is_the_closed_form_jacobian_of_the_exact_score(process, t, key):
    patterns = 0.4 * jax.random.normal(key, (30, 2, 2, 1))
    clean, t = patterns[3] + 0.05, jnp.float32(t)
    got = geometry.curvature_matrix(clean, t, exact_denoiser(patterns, process), process)
    exact = exact_jacobian(process.mean_coefficient(t) * clean, patterns, t, process)
    assert np.abs(np.asarray(got) - np.eye(4)).max() > 0.05  # not merely a point attractor
    np.testing.assert_allclose(got, -(process.std(t) ** 2) * exact, atol=1e-4)


def test_chunks_of_columns_give_the_same_matrix(key):
    weights = jax.random.normal(key, (7, 7)) / 7**0.5

    def network(x, t):
        return jnp.tanh(weights @ x) * t

    arguments = (jnp.linspace(-1.0, 1.0, 7), jnp.float32(0.3), network, OU())
    whole = geometry.curvature_matrix(*arguments)
    for chunk in (1, 3, 7, 100):
        np.testing.assert_allclose(
            geometry.curvature_matrix(*arguments, columns_per_chunk=chunk), whole, atol=1e-6
        )
    by_vjp = jax.jacrev(lambda x: x - OU().mean_coefficient(0.3) * network(x, 0.3))(
        OU().mean_coefficient(0.3) * arguments[0]
    )
    np.testing.assert_allclose(whole, by_vjp, atol=1e-6)


def test_a_memory_budget_bounds_the_chunk(key):
    clean, t, process = jnp.ones(64), jnp.float32(0.3), OU()
    weights = jax.random.normal(key, (64, 512))

    def network(x, t):
        return jnp.tanh(jnp.tanh(x @ weights) @ weights.T)

    chunks = [geometry.columns_within(b, clean, t, network, process) for b in (40_000, 120_000, 10**9)]
    assert 1 <= chunks[0] < chunks[1] <= chunks[2] == 64
    with pytest.raises(InputError, match="64 x 64"):
        geometry.columns_within(1000, clean, t, network, process)


def test_a_single_pattern_is_a_point_attractor(key):
    process, pattern = DDPM(), jax.random.normal(key, (1, 9))
    result = geometry.spectrum(pattern[0], jnp.float32(50), exact_denoiser(pattern, process), process)
    np.testing.assert_allclose(result.singular_values, 1, atol=1e-6)
    np.testing.assert_allclose(result.eigenvalues, 1, atol=1e-6)
    np.testing.assert_allclose([result.trace, result.scaled_score], [9, 0], atol=1e-4)
    values = np.asarray(result.singular_values)
    assert geometry.near_zero(values) == 0 and geometry.local_dimension(values) == 0
    np.testing.assert_allclose(geometry.log_determinant(values), 0, atol=1e-5)
    np.testing.assert_allclose(
        geometry.flipd(np.asarray(result.trace), np.asarray(result.scaled_score), 9), 0, atol=1e-4
    )


@pytest.mark.parametrize("free", [1, 2])
def test_a_line_has_one_and_a_plane_two_free_directions(free, key):
    process, dim, t = VE(), 5, jnp.float32(0.01)  # noise of 0.1 on a grid of spacing 0.05
    denoiser = exact_denoiser(flat_patterns(free, dim), process)
    clean = jnp.zeros(dim)
    result, sharp = jax.jit(
        lambda clean: (
            geometry.spectrum(clean, t, denoiser, process),
            jnp.mean(geometry.sharpness(key, clean, t, denoiser, process, draws=4000)),
        )
    )(clean)
    values = np.asarray(result.singular_values)
    assert geometry.near_zero(values) == free and geometry.local_dimension(values) == free
    dimension = geometry.flipd(np.asarray(result.trace), np.asarray(result.scaled_score), dim)
    assert float(dimension) == pytest.approx(free, abs=0.01)
    # The normal directions are the only ones in which the noise is pulled back.
    assert float(sharp) == pytest.approx((dim - free) / dim, rel=0.05)


def test_sharpness_around_the_centre_of_a_gaussian_is_the_mean_fourth_power_of_the_curvature(key):
    process, t, spread = VE(), jnp.float32(0.5), jnp.array([0.1, 0.5, 2.0])

    def denoiser(x, t):  # E[x_0 | x_t] of N(0, diag(spread))
        return spread / (spread + t) * x

    curvature = t / (spread + t)
    draws = np.asarray(geometry.sharpness(key, jnp.zeros(3), t, denoiser, process, draws=100_000))
    # t^3 |H score|^2 = t^3 x^2 / (spread + t)^4 a coordinate, and x is N(0, t) around the centre.
    np.testing.assert_allclose(draws.mean(), np.mean(np.asarray(curvature) ** 4), rtol=0.02)


def test_the_two_decompositions_of_a_spectrum_never_run_at_once():
    """In the compiled program the second takes a number of the first: side by side they can hang XLA's CPU."""

    def spectrum(x):
        return geometry.spectrum(x, jnp.float32(50), lambda x, t: jnp.tanh(x), DDPM())

    compiled = jax.jit(jax.vmap(spectrum)).lower(jnp.zeros((3, 8))).compile().as_text()
    entry = compiled[compiled.index("ENTRY") :].splitlines()
    operands = {
        line.split("=")[0].strip(): set(re.findall(r"%[\w.-]+", line.split("=", 1)[-1])) for line in entry
    }
    first, second = (
        next(line.split("=")[0].strip() for line in entry if f'custom_call_target="lapack_{name}' in line)
        for name in ("sgesdd", "ssyevd")
    )
    reached, waiting = set(), {second}
    while waiting:
        reached |= waiting
        waiting = set().union(*(operands.get(name, set()) for name in waiting)) - reached
    assert first in reached


def test_the_largest_gap_counts_what_lies_below_it():
    assert geometry.local_dimension(np.array([1.0, 0.95, 0.9, 0.1, 0.05])) == 2
    assert geometry.local_dimension(np.array([1.0, 0.9, 0.95])) == 0
    assert geometry.local_dimension(np.array([1e-3, 2e-3])) == 2
    assert geometry.local_dimension(np.array([2.5, 1.4, 0.9, 0.2])) == 3  # a value far above 1 is curved too
    np.testing.assert_array_equal(
        geometry.local_dimension(np.array([[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]])), [1, 2]
    )


def test_a_flat_direction_costs_the_determinant_a_finite_amount():
    values = np.array([1.0, 0.5, 0.0])
    floor = 3 * np.finfo(np.float32).eps
    np.testing.assert_allclose(geometry.log_determinant(values), np.log(0.5) + np.log(floor))
    assert np.isfinite(geometry.log_determinant(np.zeros(3)))
