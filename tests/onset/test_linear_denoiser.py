"""The linear denoiser: least squares, the singular case, and the large-n limit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax.errors import InputError
from memgen_jax.onset import (
    fit,
    generated,
    hellinger_floor,
    isotropic,
    limit_variance,
    squared_hellinger,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

TIME, SCALE = 2.0, float(np.exp(-4))


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


def data(num_train, dim, seed=0, mean=10.0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(mean + rng.standard_normal((num_train, dim))), jnp.asarray(
        rng.standard_normal((num_train, dim))
    )


def noisy(clean, noise):
    return np.exp(-TIME) * clean + np.sqrt(SCALE * (1 - np.exp(-2 * TIME))) * noise


def test_with_many_points_it_is_the_least_squares_solution():
    clean, noise = data(30, 4)
    denoiser = fit(clean, noise, TIME, SCALE)
    design = np.column_stack([np.ones(30), noisy(clean, noise)])
    expected, *_ = np.linalg.lstsq(design, np.asarray(clean), rcond=None)
    np.testing.assert_allclose(denoiser.offset, expected[0], rtol=1e-9)
    np.testing.assert_allclose(denoiser.weight, expected[1:].T, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("num_train", [8, 14])
def test_with_few_points_it_interpolates_with_rank_n_minus_one(num_train):
    """With a mean of 10 the usual cut of pinv keeps a rounding-noise direction at n = 8 and 14."""
    clean, noise = data(num_train, 16, seed=num_train)
    denoiser = fit(clean, noise, TIME, SCALE)
    predicted = denoiser.offset[None, :] + noisy(clean, noise) @ denoiser.weight.T
    np.testing.assert_allclose(predicted, clean, atol=1e-9)
    made = generated(denoiser)
    assert int(jnp.sum(made.variances > 0)) == num_train - 1
    # The minimum norm: nothing outside the span of the centred inputs moves the output.
    inputs = np.asarray(noisy(clean, noise))
    basis = np.linalg.svd(inputs - np.mean(inputs, 0))[2][num_train - 1 :]
    np.testing.assert_allclose(denoiser.weight @ basis.T, 0, atol=1e-9)


@pytest.mark.parametrize("num_train", [3, 20])
def test_rows_beyond_the_count_are_ignored(num_train):
    clean, noise = data(30, 5)
    counted = fit(clean, noise, TIME, SCALE, jnp.asarray(num_train))
    alone = fit(clean[:num_train], noise[:num_train], TIME, SCALE)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9), counted, alone)


def test_generated_density_is_that_of_denoised_gaussian_inputs():
    clean, noise = data(40, 3)
    denoiser = fit(clean, noise, TIME, SCALE)
    made = generated(denoiser)
    rng = np.random.default_rng(1)
    inputs = np.asarray(denoiser.input_mean) + np.sqrt(float(denoiser.input_variance)) * rng.standard_normal(
        (400_000, 3)
    )
    outputs = np.asarray(denoiser.offset) + inputs @ np.asarray(denoiser.weight).T
    np.testing.assert_allclose(made.mean, outputs.mean(0), atol=0.01)
    np.testing.assert_allclose(made.covariance, np.cov(outputs.T), atol=0.01)


def test_the_printed_covariance_has_the_same_spectrum_along_other_axes():
    clean, noise = data(20, 4)
    denoiser = fit(clean, noise, TIME, SCALE)
    printed = generated(denoiser, "printed").covariance
    weight, scale = np.asarray(denoiser.weight), float(denoiser.input_variance)
    np.testing.assert_allclose(printed, scale * weight.T @ weight, rtol=1e-10, atol=1e-12)
    derived = generated(denoiser, "derived").covariance
    np.testing.assert_allclose(derived, scale * weight @ weight.T, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(derived), np.linalg.eigvalsh(printed), rtol=1e-9)
    assert np.abs(derived - printed).max() > 0.01


@pytest.mark.parametrize(("dim", "floor"), [(16, 0.36805), (100, 0.94321)])
def test_the_floor_of_the_hellinger_distance_is_that_of_the_shrunk_variance(dim, floor):
    assert limit_variance(TIME, SCALE) == pytest.approx(0.50462, abs=5e-6)
    assert hellinger_floor(dim, TIME, SCALE) == pytest.approx(floor, abs=5e-6)
    shrunk = isotropic(jnp.zeros(dim), jnp.sqrt(limit_variance(TIME, SCALE)))
    distance = squared_hellinger(isotropic(jnp.zeros(dim), 1.0), shrunk)
    assert float(distance) == pytest.approx(floor, abs=5e-6)


def test_the_fit_reaches_the_floor_with_many_points():
    clean, noise = data(200_000, 4)
    made = generated(fit(clean, noise, TIME, SCALE))
    distance = squared_hellinger(isotropic(jnp.full(4, 10.0), 1.0), made)
    assert float(distance) == pytest.approx(hellinger_floor(4, TIME, SCALE), abs=1e-3)
    np.testing.assert_allclose(made.variances, limit_variance(TIME, SCALE), rtol=0.02)


def test_another_reading_of_the_covariance_is_refused():
    denoiser = fit(*data(5, 2), TIME, SCALE)
    with pytest.raises(InputError, match="covariance='transposed' must be one of"):
        generated(denoiser, "transposed")
