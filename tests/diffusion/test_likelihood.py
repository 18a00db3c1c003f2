"""The likelihood by the probability-flow ODE against densities that are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion, memory
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("quick_compilation")

CENTRE, SPREAD = 0.6, 0.5


def gaussian_case(process):
    """Denoiser and log p_t of data N(CENTRE, SPREAD^2 I)."""

    def total(t):
        return process.mean_coefficient(t) ** 2 * SPREAD**2 + process.std(t) ** 2

    def denoiser(x, t):
        mean = process.mean_coefficient(t)
        return CENTRE + mean * SPREAD**2 / total(t) * (x - mean * CENTRE)

    def log_density(x, t):
        deviation = x - process.mean_coefficient(t) * CENTRE
        return -0.5 * jnp.sum(deviation**2) / total(t) - 0.5 * x.size * jnp.log(2 * np.pi * total(t))

    return denoiser, log_density


def ring_points(count):
    angles = np.random.default_rng(3).uniform(0, 2 * np.pi, count)
    return jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)


def test_with_the_exact_score_it_equals_the_empirical_density_to_1e_minus_5():
    """Pham et al. 2025, Eq. 21 gives Eq. 5 back, from t = 0.15 on a grid of points, in float64."""
    with jax.enable_x64(True):
        process, t = diffusion.VE(), 0.15
        patterns = ring_points(1000).astype(jnp.float64)
        axis = np.linspace(-1.5, 1.5, 4)
        grid = jnp.asarray(np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2))

        @jax.jit
        @functools.partial(jax.vmap, in_axes=(0, None))
        def both(x, num_train):
            density = functools.partial(
                memory.log_density, patterns=patterns, process=process, num_valid=num_train
            )
            answer = diffusion.log_likelihood(
                x,
                t,
                memory.exact_denoiser(patterns, process, num_valid=num_train),
                process,
                lambda x: density(x, t=process.t_max),
                rtol=1e-7,
                atol=1e-7,
            )
            return answer, density(x, t=t)

        for num_train in (2, 9, 1000):
            answer, exact = both(grid, num_train)
            assert np.all(answer.solved)
            np.testing.assert_allclose(answer.log_density, exact, atol=1e-5)


def test_in_float32_it_agrees_to_five_digits_and_the_gaussian_prior_would_not(key):
    """With sigma = 1 the true p_1 is data * N(0, I): the choice of the prior shows in every energy."""
    process, t, patterns = diffusion.VE(), 0.15, ring_points(9)
    denoiser = memory.exact_denoiser(patterns, process)
    prior = lambda x: memory.log_density(x, patterns, process.t_max, process)  # noqa: E731

    @jax.jit
    @jax.vmap
    def solve(x):
        answer = diffusion.log_likelihood(x, t, denoiser, process, prior)
        # The flow does not know the prior, so one solution serves both.
        shift = diffusion.gaussian_prior(process)(answer.end) - prior(answer.end)
        return answer.log_density, memory.log_density(x, patterns, t, process), -2 * t * shift

    ours, exact, energy_shift = solve(1.5 * jax.random.normal(key, (16, 2)))
    np.testing.assert_allclose(ours, exact, rtol=1e-5, atol=1e-4)
    assert np.ptp(energy_shift) > 0.1


@pytest.mark.parametrize("process, t", [(diffusion.VE(), 1e-3), (diffusion.OU(), 0.05)], ids=["VE", "OU"])
def test_a_continuous_process_gives_the_density_of_gaussian_data(key, process, t):
    denoiser, log_density = gaussian_case(process)
    prior = lambda x: log_density(x, process.t_max)  # noqa: E731
    x = jax.random.normal(key, (3,))
    answer = jax.jit(lambda x: diffusion.log_likelihood(x, t, denoiser, process, prior))(x)
    np.testing.assert_allclose(answer.log_density, log_density(x, t), atol=1e-3)


def test_the_corners_of_the_ddpm_rate_cost_neither_accuracy_nor_steps(key):
    """A solver that steps in t crosses 17 corners here: 466 steps and an error of 1e-3 at this tolerance."""
    process, t = diffusion.DDPM(num_steps=20, beta_last=0.5), 3.5
    denoiser, log_density = gaussian_case(process)
    with jax.enable_x64(True):
        x = jax.random.normal(key, (3,), jnp.float64)
        run = lambda x: diffusion.log_likelihood(  # noqa: E731
            x, t, denoiser, process, lambda x: log_density(x, 20.0), rtol=1e-7, atol=1e-7
        )
        answer = jax.jit(run)(x)
        np.testing.assert_allclose(answer.log_density, log_density(x, t), atol=1e-5)
    assert answer.num_steps < 60


def test_the_probes_of_hutchinson_are_unbiased_and_exact_for_an_isotropic_jacobian(key):
    process = diffusion.VE()
    patterns, t = ring_points(4), 0.3
    isotropic, log_density = gaussian_case(process)
    x = jnp.array([0.4, -0.2])
    run = jax.jit(
        lambda key, denoiser, prior: (
            diffusion.log_likelihood(
                x, t, denoiser, process, prior, divergence="hutchinson", key=key
            ).log_density
        ),
        static_argnums=(1, 2),
    )
    # Rademacher probes have z.z = N exactly, so a Jacobian c I needs only one of them.
    one = run(key, isotropic, lambda x: log_density(x, 1.0))
    np.testing.assert_allclose(one, log_density(x, t), atol=1e-4)

    exact = jax.jit(lambda x: memory.log_density(x, patterns, t, process))(x)
    prior = lambda x: memory.log_density(x, patterns, 1.0, process)  # noqa: E731
    denoiser = memory.exact_denoiser(patterns, process)
    many = jax.vmap(lambda key: run(key, denoiser, prior))(jax.random.split(key, 256))
    error = np.std(many) / np.sqrt(256)
    assert 0 < error < 0.05
    assert abs(np.mean(many) - exact) < 4 * error


def test_the_gaussian_prior_is_the_normal_density():
    process = diffusion.VE(sigma=2.0)
    x = jnp.array([0.3, -1.0, 2.0])
    expected = -0.5 * np.sum(np.square(x)) / 4 - 1.5 * np.log(2 * np.pi * 4)
    np.testing.assert_allclose(diffusion.gaussian_prior(process)(x), expected, rtol=1e-6)


def test_bits_per_dim_of_the_uniform_density_is_the_number_of_bits():
    """Uniform over [-1, 1]^N: 1/2 per dimension, so about 8 - 0.006 bits for 255 level widths."""
    np.testing.assert_allclose(
        diffusion.bits_per_dim(jnp.array(-12 * np.log(2.0)), 12), np.log2(255), rtol=1e-6
    )


def test_a_score_that_is_not_finite_is_reported_not_returned_as_a_density():
    process = diffusion.VE()
    broken = lambda x, t: jnp.where(t > 0.5, jnp.nan, x)  # noqa: E731
    prior = diffusion.gaussian_prior(process)
    answer = jax.jit(lambda x: diffusion.log_likelihood(x, 0.1, broken, process, prior, max_steps=200))(
        jnp.ones(2)
    )
    assert not answer.solved


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"t": 0.0}, r"t=0.0 must be in \(0, 1\]"),
        ({"t": 1.5}, r"t=1.5 must be in \(0, 1\]"),
        ({"t": jnp.float32(1.5)}, r"t=1.5 must be in \(0, 1\]"),
        ({"rtol": 0.0}, "rtol=0.0 must be positive"),
        ({"divergence": "hutchinson", "key": jax.random.key(0), "num_probes": 0}, "num_probes=0 must be"),
        ({"divergence": "skilling"}, "'skilling' must be one of exact, hutchinson"),
        ({"divergence": "hutchinson"}, "give a key"),
    ],
)
def test_wrong_settings_are_one_sentence(settings, message):
    process = diffusion.VE()
    arguments = {"t": 0.5} | settings
    with pytest.raises(InputError, match=message):
        diffusion.log_likelihood(
            jnp.ones(2),
            denoiser=lambda x, t: x,
            process=process,
            prior=diffusion.gaussian_prior(process),
            **arguments,
        )
    with pytest.raises(InputError, match="num_dims=0"):
        diffusion.bits_per_dim(jnp.ones(()), 0)
