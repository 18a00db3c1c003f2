"""Our DDPM steps against the schedulers of Hugging Face diffusers, one step at a time.

Their timestep k = 0..999 is our t = k + 1: they count betas, we count noising steps.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

from memgen_jax import diffusion  # noqa: E402  (after the skips)

SCHEDULE = {"num_train_timesteps": 1000, "beta_start": 1e-4, "beta_end": 2e-2, "beta_schedule": "linear"}
PROCESS = diffusion.DDPM()


@pytest.fixture
def noise_as_key(monkeypatch):
    """Lets a test hand a step its noise: `noise_as_key(noise)` is the key that draws it."""
    handed = []
    monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: handed[-1])

    def as_key(noise):
        handed.append(jnp.asarray(noise))
        return jax.random.key(0)

    return as_key


def images(seed):
    return np.random.default_rng(seed).normal(size=(2, 1, 3, 4, 4)).astype(np.float32)


def our_denoiser(output, clip):
    denoiser = diffusion.denoiser_from_network(lambda x, t: jnp.asarray(output), PROCESS, "noise")
    return diffusion.clipped(denoiser) if clip else denoiser


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("variance, theirs", [("posterior", "fixed_small"), ("transition", "fixed_large")])
def test_the_ancestral_step_is_ddpm_scheduler_step(noise_as_key, variance, theirs, clip):
    scheduler = diffusers.DDPMScheduler(**SCHEDULE, variance_type=theirs, clip_sample=clip)
    step = diffusion.make_step("ancestral", variance=variance)
    for timestep in (999, 500, 20, 1, 0):
        x, output = images(timestep)
        generator = torch.Generator().manual_seed(timestep)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(timestep)).numpy()
        expected = scheduler.step(
            torch.from_numpy(output), timestep, torch.from_numpy(x), generator=generator
        ).prev_sample.numpy()
        t, u = jnp.float32(timestep + 1), jnp.float32(timestep)
        ours = step(noise_as_key(noise), jnp.asarray(x), t, u, our_denoiser(output, clip), PROCESS)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


def test_the_papers_sampler_is_ddpm_scheduler_as_it_comes(noise_as_key):
    """The code of Pham et al. 2025 samples with DDPMScheduler() and set_timesteps(1000)."""
    from memgen_jax.configs import cifar10

    settings = cifar10.get_config().sampler
    scheduler = diffusers.DDPMScheduler()
    scheduler.set_timesteps(1000)
    times = diffusion.time_grid(PROCESS, settings.num_steps)
    np.testing.assert_array_equal(times[:-1] - 1, scheduler.timesteps)
    step = diffusion.make_step(settings.name, variance=settings.variance)
    for index in (0, 400, 990, 999):
        x, output = images(index)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(index)).numpy()
        expected = scheduler.step(
            torch.from_numpy(output),
            scheduler.timesteps[index],
            torch.from_numpy(x),
            generator=torch.Generator().manual_seed(index),
        ).prev_sample.numpy()
        t, u = jnp.float32(times[index]), jnp.float32(times[index + 1])
        ours = step(noise_as_key(noise), jnp.asarray(x), t, u, our_denoiser(output, settings.clip), PROCESS)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("eta", [0.0, 0.7, 1.0])
@pytest.mark.parametrize("clip, clipped_noise", [(False, True), (False, False), (True, True), (True, False)])
def test_the_ddim_step_is_ddim_scheduler_step(noise_as_key, eta, clip, clipped_noise):
    scheduler = diffusers.DDIMScheduler(
        **SCHEDULE, clip_sample=clip, set_alpha_to_one=True, timestep_spacing="trailing"
    )
    scheduler.set_timesteps(20)
    grid = diffusion.time_grid(PROCESS, 20)
    np.testing.assert_array_equal(scheduler.timesteps.numpy() + 1, grid[:-1])
    step = diffusion.make_step("ddim", eta=eta, clipped_noise=clipped_noise)
    for index in (0, 7, 18, 19):
        x, output = images(index)
        noise = images(index + 100)[0]
        expected = scheduler.step(
            torch.from_numpy(output),
            int(scheduler.timesteps[index]),
            torch.from_numpy(x),
            eta=eta,
            use_clipped_model_output=clipped_noise,
            variance_noise=torch.from_numpy(noise) if eta else None,
        ).prev_sample.numpy()
        t, u = jnp.float32(grid[index]), jnp.float32(grid[index + 1])
        ours = step(noise_as_key(noise), jnp.asarray(x), t, u, our_denoiser(output, clip), PROCESS)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("karras", [False, True])
def test_dpm_solver_walks_as_dpm_solver_multistep_scheduler(karras):
    """A whole walk of 18 steps, as the scheduler looks back: midpoint, order 2, to clean data."""
    scheduler = diffusers.DPMSolverMultistepScheduler(
        **SCHEDULE, timestep_spacing="trailing", use_karras_sigmas=karras, final_sigmas_type="zero"
    )
    scheduler.set_timesteps(18)
    theirs = scheduler.timesteps.numpy()
    times = np.append(theirs + 1, 0).astype(np.float32)
    weight = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)
    x = start = images(1)[0]
    for timestep in scheduler.timesteps:
        noise = torch.from_numpy(np.tanh(np.einsum("ij,njhw->nihw", weight, x)) * float(timestep) / 1000)
        x = scheduler.step(noise, timestep, torch.from_numpy(x)).prev_sample.numpy()

    def network(x, t):
        return jnp.tanh(jnp.einsum("ij,njhw->nihw", weight, x)) * (t - 1) / 1000

    step = diffusion.make_step("dpm_solver")
    denoiser = diffusion.denoiser_from_network(network, PROCESS, "noise")
    place = diffusion.begin(step, jnp.asarray(start))
    end = diffusion.advance(jax.random.key(0), place, jnp.asarray(times), 0, step, denoiser, PROCESS)
    # Karras: their sigma between the schedule's is not that of the whole time which they tell the network.
    tolerance = 2e-2 if karras else 2e-4
    np.testing.assert_allclose(diffusion.item_of(end), x, atol=tolerance * np.abs(x).max())


def test_noising_and_velocity_are_the_schedulers():
    scheduler = diffusers.DDPMScheduler(**SCHEDULE)
    clean, noise = images(0)
    for timestep in (0, 321, 999):
        t = jnp.float32(timestep + 1)
        index = torch.tensor([timestep])
        arguments = (torch.from_numpy(clean), torch.from_numpy(noise), index)
        np.testing.assert_allclose(
            PROCESS.perturb(jnp.asarray(clean), jnp.asarray(noise), t),
            scheduler.add_noise(*arguments),
            atol=2e-6,
        )
        np.testing.assert_allclose(
            PROCESS.target("velocity", jnp.asarray(clean), jnp.asarray(noise), t),
            scheduler.get_velocity(*arguments),
            atol=2e-6,
        )
