"""Every process is what its SDE says, and its conversions undo each other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROCESSES = [diffusion.VE(), diffusion.VE(sigma=0.5), diffusion.OU(), diffusion.DDPM()]
IDS = ["VE", "VE-half", "OU", "DDPM"]


def inner_times(process, count=7):
    """Times inside the process, off the integers at which DDPM's rate jumps."""
    times = np.linspace(process.t_min, process.t_max, count + 2)[1:-1]
    return np.floor(times) + 0.37 if isinstance(process, diffusion.DDPM) else times


def test_alpha_bar_is_the_product_of_one_minus_the_linear_betas():
    process = diffusion.DDPM()
    betas = np.linspace(1e-4, 2e-2, 1000)
    alpha_bar = np.ones(1001)
    for step in range(1000):
        alpha_bar[step + 1] = alpha_bar[step] * (1 - betas[step])
    times = jnp.arange(0.0, 1001.0)
    mean, std = jax.jit(lambda t: (jax.vmap(process.mean_coefficient)(t), jax.vmap(process.std)(t)))(times)
    np.testing.assert_allclose(np.float64(mean) ** 2, alpha_bar, rtol=2e-6)
    np.testing.assert_allclose(np.float64(std) ** 2, 1 - alpha_bar, rtol=2e-6)
    # The value that every implementation of Ho et al.'s schedule ends with.
    np.testing.assert_allclose(alpha_bar[-1], 4.0358e-5, rtol=1e-4)


def test_between_integers_the_log_of_alpha_bar_is_linear():
    process = diffusion.DDPM(num_steps=10)
    for start in (0, 4, 9):
        ends = process.log_alpha_bar[start : start + 2]
        # From the variance: near clean data the mean's logarithm has lost its digits.
        middle = jnp.log1p(-(process.std(start + 0.25) ** 2))
        np.testing.assert_allclose(middle, ends[0] + 0.25 * (ends[1] - ends[0]), rtol=1e-4)


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_drift_and_diffusion_generate_the_mean_and_the_variance(process):
    """dm/dt = a m and ds^2/dt = 2 a s^2 + g^2 where the drift is a(t) x (Song et al. 2021, Eqs. 29-30)."""
    with jax.enable_x64(True):
        step = 1e-5 * min(1.0, process.t_max)
        mean = jax.jit(process.mean_coefficient)
        variance = jax.jit(lambda t: process.std(t) ** 2)
        for t in inner_times(process):
            rate = process.drift(jnp.ones(1), t)[0]
            mean_slope = (mean(t + step) - mean(t - step)) / (2 * step)
            variance_slope = (variance(t + step) - variance(t - step)) / (2 * step)
            np.testing.assert_allclose(mean_slope, rate * mean(t), atol=1e-8)
            np.testing.assert_allclose(
                variance_slope, 2 * rate * variance(t) + process.diffusion(t) ** 2, rtol=1e-6, atol=1e-9
            )


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_the_clock_runs_forward_and_tells_the_time(process):
    times = jnp.linspace(process.t_min, process.t_max, 23)
    clock = jax.vmap(process.clock)(times)
    assert np.all(np.diff(clock) > 0)
    np.testing.assert_allclose(jax.vmap(process.time_at)(clock), times, rtol=1e-5)


def test_in_the_clock_of_ddpm_the_rate_is_one():
    process = diffusion.DDPM()
    with jax.enable_x64(True):
        for t in (0.5, 300.2, 999.9):
            np.testing.assert_allclose(jax.grad(process.clock)(t), process.diffusion(t) ** 2, rtol=1e-9)


def test_ou_is_variance_preserving_with_alpha_bar_e_to_minus_2t():
    process = diffusion.OU()
    for t in (1e-3, 0.5, 3.0):
        np.testing.assert_allclose(process.mean_coefficient(t) ** 2, np.exp(-2 * t), rtol=1e-5)
        np.testing.assert_allclose(process.std(t) ** 2, -np.expm1(-2 * t), rtol=1e-5)


def test_ve_keeps_the_mean_and_adds_sigma_squared_t():
    process = diffusion.VE(sigma=0.5)
    np.testing.assert_allclose(process.mean_coefficient(0.3), 1.0)
    np.testing.assert_allclose(process.std(0.3) ** 2, 0.25 * 0.3, rtol=1e-6)


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_a_perfect_prediction_of_any_kind_gives_back_the_clean_item(key, process):
    clean, noise = jax.random.normal(key, (2, 5, 3))

    @jax.jit
    def back(t):
        x = process.perturb(clean, noise, t)
        return [
            process.denoised_from_output(kind, process.target(kind, clean, noise, t), x, t)
            for kind in diffusion.PREDICTIONS
        ]

    for t in inner_times(process, 4):
        # Dividing by m loses the digits that m = 0.006 pushed out of x_t.
        tolerance = 2e-6 / float(process.mean_coefficient(t))
        for recovered in back(jnp.float32(t)):
            np.testing.assert_allclose(recovered, clean, atol=tolerance)


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_score_noise_and_denoised_of_gaussian_data_are_one_quantity(process):
    """Data N(0, c^2): p_t = N(0, m^2 c^2 + s^2), so score = -x / that."""
    spread = 0.7
    for t in inner_times(process, 4):
        t = jnp.float32(t)
        x = jnp.array([0.3, -1.2])
        mean, std = process.mean_coefficient(t), process.std(t)
        total = mean**2 * spread**2 + std**2
        denoised = mean * spread**2 / total * x
        np.testing.assert_allclose(process.score_from_denoised(denoised, x, t), -x / total, rtol=2e-4)
        np.testing.assert_allclose(process.noise_from_denoised(denoised, x, t), std * x / total, rtol=2e-4)
        np.testing.assert_allclose(
            process.denoised_from_score(-x / total, x, t), denoised, rtol=2e-4, atol=1e-4
        )


@pytest.mark.parametrize("process", PROCESSES, ids=IDS)
def test_training_times_are_uniform_over_the_process(key, process):
    times = np.asarray(jax.vmap(process.draw_time)(jax.random.split(key, 20_000)))
    assert times.min() >= process.t_min and times.max() <= process.t_max
    if isinstance(process, diffusion.DDPM):
        assert set(times) == set(range(1, 1001))
    shares = np.histogram(times, bins=10, range=(process.t_min, process.t_max))[0] / len(times)
    np.testing.assert_allclose(shares, 0.1, atol=4 * np.sqrt(0.09 / len(times)))


def test_the_loss_is_the_mean_squared_error_of_the_prediction(key):
    process, t = diffusion.DDPM(), jnp.float32(300)
    clean, noise = jax.random.normal(key, (2, 4, 4, 1))
    for kind in diffusion.PREDICTIONS:
        target = process.target(kind, clean, noise, t)
        loss = diffusion.denoising_loss(lambda x, t: jnp.zeros_like(x), process, kind, clean, noise, t)
        np.testing.assert_allclose(loss, np.mean(np.square(target)), rtol=1e-5)
        perfect = diffusion.denoising_loss(lambda x, t: target, process, kind, clean, noise, t)
        assert perfect == 0


def test_the_network_sees_the_noised_item_and_its_time(key):
    process, t = diffusion.VE(), jnp.float32(0.25)
    clean, noise = jax.random.normal(key, (2, 3))
    seen = []
    diffusion.denoising_loss(lambda x, t: seen.append((x, t)) or x, process, "noise", clean, noise, t)
    np.testing.assert_allclose(seen[0][0], clean + 0.5 * noise, rtol=1e-6)
    assert seen[0][1] == t


def test_clipping_bounds_the_denoised_item():
    denoiser = diffusion.clipped(lambda x, t: 3.0 * x)
    clipped = denoiser(jnp.array([-1.0, 0.1, 0.5]), jnp.float32(0.0))
    np.testing.assert_array_equal(clipped, np.float32([-1.0, 0.3, 1.0]))


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: diffusion.VE(sigma=0.0), "sigma=0.0 must be positive"),
        (lambda: diffusion.VE(t_min=1.0), "such that 0 <= t_min < t_max"),
        (lambda: diffusion.OU(t_max=-1.0), "such that 0 <= t_min < t_max"),
        (lambda: diffusion.DDPM(num_steps=0), "num_steps=0 must be at least 1"),
        (lambda: diffusion.DDPM(beta_last=1.0), "0 < beta_first <= beta_last < 1"),
        (lambda: diffusion.VE().target("x0", jnp.ones(2), jnp.ones(2), 0.5), "'x0' must be one of noise"),
        (
            lambda: diffusion.VE().denoised_from_output("eps", jnp.ones(2), jnp.ones(2), 0.5),
            "'eps' must be one of noise",
        ),
    ],
)
def test_wrong_settings_are_one_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -1.0])
def test_settings_that_are_no_numbers_are_refused(wrong):
    whole = (wrong, 2.5)
    for call in (
        lambda: diffusion.VE(sigma=wrong),
        lambda: diffusion.VE(t_max=wrong),
        lambda: diffusion.OU(t_min=wrong),
        lambda: diffusion.DDPM(beta_first=wrong),
        *(lambda n=n: diffusion.time_grid(diffusion.VE(), n) for n in whole),
        *(lambda n=n: diffusion.bits_per_dim(jnp.zeros(()), n) for n in whole),
        lambda: diffusion.make_step("ddim", eta=wrong),
        lambda: diffusion.clipped(lambda x, t: x, wrong, -2.0),
    ):
        with pytest.raises(InputError):
            call()
    for steps in (0, -1):
        with pytest.raises(InputError, match=f"process.num_steps={steps} must be at least 1"):
            diffusion.DDPM(num_steps=steps)
