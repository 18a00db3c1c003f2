"""The line integral of the potential's gradient against the potential of the exact density."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import geometry
from memgen_jax.diffusion import DDPM, OU, VE
from memgen_jax.errors import InputError
from memgen_jax.memory import exact_denoiser, log_density

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.mark.parametrize(
    ("process", "t"), [(DDPM(), 300.0), (VE(), 0.3), (OU(), 0.3)], ids=["ddpm", "ve", "ou"]
)
def test_the_gap_is_the_difference_of_the_exact_potential(process, t, key):
    patterns = jax.random.normal(key, (6, 4))
    t = jnp.float32(t)

    def potential(x):
        # f = -c x with c = -f(1): the drift's own potential is -c |x|^2 / 2.
        drift = process.drift(jnp.ones(4), t)[0]
        return drift * jnp.sum(x**2) / 2 - process.diffusion(t) ** 2 * log_density(x, patterns, t, process)

    gap, profile = geometry.energy_gap(
        patterns[0], patterns[1], t, exact_denoiser(patterns, process), process, points=2001
    )
    assert profile.shape == (2001,) and float(profile[0]) == 0 and float(profile[-1]) == float(gap)
    expected = potential(patterns[1]) - potential(patterns[0])
    np.testing.assert_allclose(gap, expected, rtol=2e-3, atol=2e-4 * float(process.diffusion(t)) ** 2)
    middle = (patterns[0] + patterns[1]) / 2**0.5
    np.testing.assert_allclose(
        profile[1000],
        potential(middle) - potential(patterns[0]),
        rtol=2e-3,
        atol=2e-4 * float(process.diffusion(t)) ** 2,
    )


def test_an_arc_of_one_point_is_refused():
    with pytest.raises(InputError, match="points=1 must be at least 2"):
        geometry.energy_gap(jnp.zeros(2), jnp.ones(2), jnp.float32(1), lambda x, t: x, DDPM(), points=1)


def test_a_memory_lies_lower_than_a_point_off_it(key):
    process, patterns = DDPM(), jax.random.normal(key, (3, 20))
    gap, _ = geometry.energy_gap(
        patterns[0], patterns.mean(axis=0), jnp.float32(100), exact_denoiser(patterns, process), process
    )
    assert float(gap) > 0
