"""Time features against their formulas."""

import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import models
from memgen_jax.errors import InputError


def test_sinusoidal_features_follow_the_formula_of_ho_et_al():
    features = models.sinusoidal(jnp.asarray(250.0), 6)
    frequencies = [1.0, 1e-2, 1e-4]  # from 1 down to 1/10,000
    expected = [np.sin(250 * f) for f in frequencies] + [np.cos(250 * f) for f in frequencies]
    np.testing.assert_allclose(features, expected, atol=1e-4)


def test_fourier_features_lie_on_circles_and_turn_at_gaussian_rates():
    features = models.gaussian_fourier(jnp.asarray(1e-4), 4096, scale=16.0)
    sine, cosine = np.split(np.asarray(features, np.float64), 2)
    np.testing.assert_allclose(sine**2 + cosine**2, 1, atol=1e-5)
    rates = np.arctan2(sine, cosine) / (2 * np.pi * 1e-4)
    np.testing.assert_allclose(rates.std(), 16, rtol=0.05)
    assert abs(rates.mean()) < 1.5


@pytest.mark.parametrize("dim", [0, 3, 2])
def test_a_number_of_features_that_cannot_be_paired_is_refused(dim):
    with pytest.raises(InputError, match=f"num_features={dim} must be an even number"):
        models.sinusoidal(jnp.asarray(0.0), dim)
