"""Pipelines as JAX functions against PyTorch itself, on tiny random ones."""

import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import bridges, diffusion

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROMPTS = ["a red fox", "the same old words"]


@pytest.fixture(scope="module")
def ddpm_path(build_ddpm, tmp_path_factory):
    return build_ddpm(tmp_path_factory.mktemp("ddpm") / "pipeline")


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def sd_path(request, build_stable_diffusion, tmp_path_factory):
    return build_stable_diffusion(tmp_path_factory.mktemp("sd") / "pipeline", request.param)


def random_items(shape, count):
    return np.random.default_rng(5).normal(size=(count, *shape)).astype(np.float32)


def test_network_jvp_and_vjp_agree_with_pytorch(ddpm_path, torch):
    import diffusers

    pipeline = bridges.load(ddpm_path)
    theirs = diffusers.DDPMPipeline.from_pretrained(ddpm_path).unet.eval().requires_grad_(False)
    x, tangent, cotangent = random_items(pipeline.item_shape, 3)
    timestep = 321.0

    def ours(x):
        return pipeline.unet(pipeline.params["unet"], x[None], jnp.float32([timestep]), None)[0]

    def reference(x):
        return theirs(x[None], torch.tensor([timestep])).sample[0]

    out, slope = jax.jit(lambda x, v: jax.jvp(ours, (x,), (v,)))(x, tangent)
    pulled = jax.jit(lambda x, u: jax.vjp(ours, x)[1](u)[0])(x, cotangent)
    # By two vjps: PyTorch's attention has no forward rule, and only its plain kernel a second derivative.
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        expected, expected_slope = torch.autograd.functional.jvp(
            reference, torch.tensor(x), torch.tensor(tangent)
        )
    leaf = torch.tensor(x, requires_grad=True)
    (expected_pulled,) = torch.autograd.grad(reference(leaf), leaf, torch.tensor(cotangent))
    np.testing.assert_allclose(out, expected, atol=1e-4)
    np.testing.assert_allclose(slope, expected_slope, atol=1e-4)
    np.testing.assert_allclose(pulled, expected_pulled, atol=1e-4)


@pytest.mark.parametrize("guidance_scale", [1.0, 7.5])
def test_one_guided_ddim_step_is_the_pipelines_own(sd_path, guidance_scale, torch):
    import diffusers

    pipeline = bridges.load(sd_path)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(sd_path)
    contexts = pipeline.contexts(PROMPTS)
    with torch.no_grad():
        own, empty = theirs.encode_prompt(PROMPTS, "cpu", 1, True)
    np.testing.assert_allclose(contexts, torch.stack([empty, own], 1), atol=1e-5)

    times = bridges.sampling_times(pipeline.folder.scheduler, 20)
    theirs.scheduler.set_timesteps(20)
    np.testing.assert_array_equal(times[:-1] - 1, theirs.scheduler.timesteps)
    step = bridges.own_step(pipeline.folder.scheduler_name, pipeline.folder.scheduler)

    @jax.jit
    def ours(x, context, t, u):
        denoiser = pipeline.denoiser(pipeline.params, context, guidance_scale)
        return step(jax.random.key(0), x, t, u, denoiser, pipeline.process)

    x = random_items(pipeline.item_shape, 2)
    for number in (0, 9, 19):  # the last one ends at the last alpha kept, not at 1
        got = jax.vmap(ours, (0, 0, None, None))(
            x, contexts, jnp.float32(times[number]), jnp.float32(times[number + 1])
        )
        t = theirs.scheduler.timesteps[number]
        with torch.no_grad():
            noise_own = theirs.unet(torch.tensor(x), t, own).sample
            noise_empty = theirs.unet(torch.tensor(x), t, empty).sample
            noise = noise_empty + guidance_scale * (noise_own - noise_empty)
            expected = theirs.scheduler.step(noise, t, torch.tensor(x)).prev_sample
        np.testing.assert_allclose(got, expected, atol=1e-4)


def test_a_whole_guided_sample_is_the_pipelines_own_from_the_same_noise(sd_path, torch):
    import diffusers

    pipeline = bridges.load(sd_path)
    ours = bridges.sample_latents(
        pipeline, 2, contexts=pipeline.contexts(PROMPTS), guidance_scale=7.5, num_steps=10, seed=3
    )
    keys = [jax.random.fold_in(jax.random.key(3), i) for i in range(2)]
    start = np.stack([diffusion.draw_prior(k, pipeline.item_shape, pipeline.process) for k in keys])
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(sd_path)
    theirs.set_progress_bar_config(disable=True)
    expected = theirs(
        PROMPTS,
        latents=torch.tensor(start),
        guidance_scale=7.5,
        num_inference_steps=10,
        output_type="latent",
    ).images
    np.testing.assert_allclose(ours, expected, atol=1e-4 * float(expected.abs().max()))


@pytest.mark.parametrize("variance", ["fixed_small", "fixed_large"])
def test_one_ancestral_step_is_the_schedulers_own_with_the_same_noise(
    variance, build_ddpm, tmp_path, torch, monkeypatch
):
    import diffusers

    path = build_ddpm(tmp_path / "pipeline", variance_type=variance)
    pipeline = bridges.load(path)
    theirs = diffusers.DDPMPipeline.from_pretrained(path)
    times = bridges.sampling_times(pipeline.folder.scheduler, 100)
    theirs.scheduler.set_timesteps(100)
    step = bridges.own_step(pipeline.folder.scheduler_name, pipeline.folder.scheduler)
    (x,) = random_items(pipeline.item_shape, 1)
    key = jax.random.key(3)
    noise = torch.tensor(np.asarray(jax.random.normal(key, x.shape)))[None]
    monkeypatch.setattr("diffusers.schedulers.scheduling_ddpm.randn_tensor", lambda *a, **k: noise)

    @jax.jit
    def ours(x, t, u):
        denoiser = pipeline.in_range(pipeline.denoiser(pipeline.params))
        return step(key, x, t, u, denoiser, pipeline.process)

    for number in (0, 50, 98, 99):
        got = ours(x, jnp.float32(times[number]), jnp.float32(times[number + 1]))
        t = theirs.scheduler.timesteps[number]
        with torch.no_grad():
            output = theirs.unet(torch.tensor(x)[None], t).sample
            expected = theirs.scheduler.step(output, t, torch.tensor(x)[None]).prev_sample[0]
        np.testing.assert_allclose(got, expected, atol=1e-4)


@pytest.mark.parametrize(
    "settings",
    [{"clip_sample": True}, {"clip_sample": True, "clip_sample_range": 0.5}, {"clip_sample": False}, {}],
)
def test_a_pixel_ddim_draws_what_its_pipeline_draws_from_the_same_noise(
    settings, build_ddpm, tmp_path, torch, monkeypatch
):
    """`clip_sample` is true where it is not given."""
    import diffusers

    path = build_ddpm(tmp_path / "pipeline", "DDIMScheduler", **settings)
    if not settings:
        file = path / "scheduler/scheduler_config.json"
        kept = {k: v for k, v in json.loads(file.read_text()).items() if not k.startswith("clip_sample")}
        file.write_text(json.dumps(kept))
    pipeline = bridges.load(path)
    ours = bridges.sample_latents(pipeline, 2, num_steps=10, seed=3)
    keys = [jax.random.fold_in(jax.random.key(3), i) for i in range(2)]
    start = np.stack([diffusion.draw_prior(k, pipeline.item_shape, pipeline.process) for k in keys])
    theirs = diffusers.DDIMPipeline.from_pretrained(path)
    theirs.set_progress_bar_config(disable=True)
    monkeypatch.setattr(
        "diffusers.pipelines.ddim.pipeline_ddim.randn_tensor", lambda *a, **k: torch.tensor(start)
    )
    drawn = theirs(batch_size=2, num_inference_steps=10, output_type="np").images
    np.testing.assert_allclose(np.clip(ours.transpose(0, 2, 3, 1) / 2 + 0.5, 0, 1), drawn, atol=1e-4)


def test_the_bound_at_which_a_scheduler_clips_is_its_own(torch):
    import diffusers

    for name in bridges.schedule.SCHEDULERS:
        theirs = getattr(diffusers, name)().config
        expected = theirs["clip_sample_range"] if theirs.get("clip_sample", False) else None
        assert bridges.clip_limit(name, dict(theirs)) == expected, name
        assert bridges.clip_limit(name, {}) == expected, name
    assert bridges.clip_limit("HeunDiscreteScheduler", {"clip_sample": True, "clip_sample_range": 2.0}) == 2.0
    assert bridges.clip_limit("PNDMScheduler", {"clip_sample": True}) is None


def test_the_decoder_is_the_pipelines_own(build_stable_diffusion, tmp_path, torch):
    import diffusers

    path = build_stable_diffusion(tmp_path / "pipeline")
    pipeline = bridges.load(path)
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(path)
    x = random_items(pipeline.item_shape, 1)
    with torch.no_grad():
        image = theirs.vae.decode(torch.tensor(x) / theirs.vae.config.scaling_factor).sample
    expected = image.clamp(-1, 1).permute(0, 2, 3, 1)
    got = jax.jit(jax.vmap(functools.partial(pipeline.decode, pipeline.params)))(x)
    assert got.shape == (1, 16, 16, 3)
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_generated_pictures_do_not_depend_on_the_batch(build_stable_diffusion, tmp_path, torch):
    pipeline = bridges.load(build_stable_diffusion(tmp_path / "pipeline"))
    settings = {"prompts": PROMPTS, "num_steps": 3, "guidance_scale": 2.0}
    together = bridges.generate(pipeline, 3, batch_size=3, **settings)
    one_by_one = bridges.generate(pipeline, 3, batch_size=2, **settings)
    assert together.shape == (3, 16, 16, 3) and together.dtype == np.uint8
    assert np.abs(together.astype(int) - one_by_one).max() <= 1  # rounding of another batch shape
    assert np.abs(together[0].astype(int) - together[1]).max() > 1


@pytest.mark.slow
def test_a_pipeline_is_a_denoiser_like_any_other(ddpm_path, key):
    """Basins and curvature see only the callable; the parameters stay an argument of what is compiled."""
    from memgen_jax import geometry

    pipeline = bridges.load(ddpm_path)
    clean = jnp.asarray(random_items(pipeline.item_shape, 1)[0])

    @jax.jit
    def measure(params, clean, t):
        denoiser = pipeline.denoiser(params)
        matrix = geometry.curvature_matrix(clean, t, denoiser, pipeline.process, columns_per_chunk=64)
        trace = geometry.curvature_trace(key, clean, t, denoiser, pipeline.process, probes=8)
        return jnp.trace(matrix), trace

    trace, estimate = measure(pipeline.params, clean, jnp.float32(50))
    assert abs(float(trace - estimate.mean)) < 6 * float(estimate.standard_error)
    levels = jnp.float32([50, 100])
    basin = jax.jit(
        lambda params: geometry.Basins(
            pipeline.in_range(pipeline.denoiser(params)),
            pipeline.process,
            levels,
            delta=1.0,
            copies=2,
            num_steps=2,
        )(key, clean)
    )(pipeline.params)
    assert np.all(np.isfinite(basin.distance))


def test_the_bridge_stays_usable_under_strict_rules_of_promotion(ddpm_path):
    pipeline = bridges.load(ddpm_path)  # tests run with strict promotion: tests/conftest.py
    assert jax.config.jax_numpy_dtype_promotion == "strict"
    x = jnp.zeros(pipeline.item_shape)
    assert np.all(np.isfinite(jax.jit(pipeline.denoiser(pipeline.params))(x, jnp.float32(10))))


def test_the_exported_schedule_is_pytorchs(build_ddpm, tmp_path, torch):
    import diffusers

    for name, settings in [
        ("DDIMScheduler", {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}),
        ("DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2"}),
        ("DDPMScheduler", {"beta_schedule": "linear", "num_train_timesteps": 50}),
    ]:
        theirs = getattr(diffusers, name)(**settings)
        ours = bridges.process_of(name, dict(theirs.config))
        assert isinstance(ours, diffusion.DDPM)
        np.testing.assert_allclose(
            np.exp(ours.log_alpha_bar[1:]), theirs.alphas_cumprod, rtol=1e-4, atol=1e-7
        )
        for num_steps in (5, 10, 25):
            for spacing in ("leading", "trailing", "linspace"):
                again = type(theirs).from_config(theirs.config, timestep_spacing=spacing)
                again.set_timesteps(num_steps)
                times = bridges.sampling_times(dict(again.config), num_steps)
                np.testing.assert_array_equal(times[:-1] - 1, again.timesteps)
