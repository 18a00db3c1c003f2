"""Each step against its closed form on Gaussian data, orders of convergence, and the perfect memorizer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion, memory
from memgen_jax.diffusion import samplers
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("quick_compilation")

CENTRE, SPREAD = 0.6, 0.5  # Gaussian data N(0.6, 0.25 I)
CASES = [
    (diffusion.VE(), 0.8, 0.5),
    (diffusion.OU(), 1.1, 0.6),
    (diffusion.DDPM(), 600.0, 420.0),
]
IDS = ["VE", "OU", "DDPM"]


def marginal_variance(process, t):
    return process.mean_coefficient(t) ** 2 * SPREAD**2 + process.std(t) ** 2


def gaussian_denoiser(process):
    """E[x_0 | x_t] for data N(CENTRE, SPREAD^2 I), by conditioning one Gaussian on another."""

    def denoiser(x, t):
        mean = process.mean_coefficient(t)
        gain = mean * SPREAD**2 / marginal_variance(process, t)
        return CENTRE + gain * (x - mean * CENTRE)

    return denoiser


def flow(process, x, t, u):
    """The exact probability flow of Gaussian data: deviations scale with the marginal's spread."""
    stretch = jnp.sqrt(marginal_variance(process, u) / marginal_variance(process, t))
    return process.mean_coefficient(u) * CENTRE + stretch * (x - process.mean_coefficient(t) * CENTRE)


def conditional(process, t, u, x, clean):
    """Mean and variance of x_u given x_t = x and x_0 = clean, from the joint Gaussian (x_t, x_u) | x_0."""
    m_t, m_u, s_t, s_u = (float(f(v)) for f in (process.mean_coefficient, process.std) for v in (t, u))
    covariance = np.array([[s_t**2, m_t / m_u * s_u**2], [m_t / m_u * s_u**2, s_u**2]])
    gain = covariance[1, 0] / covariance[0, 0]
    return m_u * clean + gain * (x - m_t * clean), covariance[1, 1] - gain * covariance[0, 1]


@pytest.fixture
def noise_as_key(monkeypatch):
    """Lets a test hand a step its noise, to see or to share it: `noise_as_key(noise)` is the key that draws it."""
    handed = []
    monkeypatch.setattr(jax.random, "normal", lambda key, shape, dtype: handed[-1])

    def as_key(noise):
        handed.append(noise)
        return jax.random.key(0)

    return as_key


@pytest.mark.parametrize("process, t, u", CASES, ids=IDS)
@pytest.mark.parametrize("name, eta", [("ancestral", 0.0), ("ddim", 1.0)])
def test_an_ancestral_step_draws_from_the_posterior(noise_as_key, process, t, u, name, eta):
    x, clean = jnp.array([0.4, -1.0]), jnp.array([0.2, 0.7])
    step = diffusion.make_step(name, eta=eta)
    mean, variance = conditional(process, t, u, np.array(x), np.array(clean))
    t, u = jnp.float32(t), jnp.float32(u)
    still = step(noise_as_key(jnp.zeros(2)), x, t, u, lambda x, t: clean, process)
    np.testing.assert_allclose(still, mean, atol=2e-5)
    moved = step(noise_as_key(jnp.ones(2)), x, t, u, lambda x, t: clean, process)
    np.testing.assert_allclose(moved - mean, np.sqrt(variance), rtol=1e-3)


@pytest.mark.parametrize("process, t, u", CASES, ids=IDS)
def test_the_transition_variance_is_that_of_x_t_given_x_u(process, t, u):
    """x_t = r x_u + noise, r = m_t / m_u: variances add, s_t^2 = r^2 s_u^2 + v."""
    ratio = process.mean_coefficient(t) / process.mean_coefficient(u)
    variance = diffusion.transition_variance(process, jnp.float32(t), jnp.float32(u))
    np.testing.assert_allclose(ratio**2 * process.std(u) ** 2 + variance, process.std(t) ** 2, rtol=1e-5)
    if isinstance(process, diffusion.DDPM):
        one_step = diffusion.transition_variance(process, jnp.float32(600), jnp.float32(599))
        np.testing.assert_allclose(one_step, np.linspace(1e-4, 2e-2, 1000)[599], rtol=1e-3)


@pytest.mark.parametrize("process, t, u", CASES, ids=IDS)
def test_ddim_is_exact_for_one_pattern_at_any_step_size(key, process, t, u):
    pattern = jnp.array([0.3, -0.8])
    noise = jax.random.normal(key, (2,))
    t, u = jnp.float32(t), jnp.float32(u)
    x = process.perturb(pattern, noise, t)
    moved = diffusion.ddim_step(key, x, t, u, memory.exact_denoiser(pattern[None], process), process)
    np.testing.assert_allclose(moved, process.perturb(pattern, noise, u), atol=1e-5)


@pytest.mark.parametrize("process", [case[0] for case in CASES], ids=IDS)
def test_the_two_ancestral_variances_close_in_on_the_data_from_both_sides(noise_as_key, process):
    """Ho et al. 2020, section 3.2: the smaller variance is right for a point, the larger for N(0, I).

    On Gaussian data the chain is linear: slopes multiply and variances add, with no sampling error.
    """

    def mean_and_variance(name, steps):
        times = jnp.asarray(diffusion.time_grid(process, steps))
        step = diffusion.make_step("ancestral", variance=name)
        denoiser = gaussian_denoiser(process)
        zero, unit = jnp.zeros(()), jnp.ones(())

        def body(carry, now):
            mean, variance = carry
            offset = step(noise_as_key(zero), zero, *now, denoiser, process)
            slope = step(noise_as_key(zero), unit, *now, denoiser, process) - offset
            kick = step(noise_as_key(unit), zero, *now, denoiser, process) - offset
            return (offset + slope * mean, slope**2 * variance + kick**2), None

        start = (zero, jnp.full((), process.prior_std**2))
        return jax.jit(lambda: jax.lax.scan(body, start, (times[:-1], times[1:]))[0])()

    # x_0 given x_T is Gaussian; the start is N(0, prior_std^2), for VE not the exact p_T.
    mean_end = float(process.mean_coefficient(process.t_max))
    total = float(marginal_variance(process, process.t_max))
    gain = mean_end * SPREAD**2 / total
    expected_mean = CENTRE - gain * mean_end * CENTRE
    expected = gain**2 * process.prior_std**2 + SPREAD**2 * (1 - gain * mean_end)

    gaps = []
    for steps in (250, 500, 1000):
        (mean, small), (_, large) = (mean_and_variance(v, steps) for v in ("posterior", "transition"))
        np.testing.assert_allclose(mean, expected_mean, rtol=2e-3)
        assert small < expected < large
        gaps.append(large - small)
    if not isinstance(process, diffusion.DDPM):  # its first beta stands for a time that is not resolved
        np.testing.assert_allclose(np.divide(gaps[:-1], gaps[1:]), 2, atol=0.5)


def errors_by_steps(run, truth, step_counts):
    return np.array([float(jnp.sqrt(jnp.mean((run(n) - truth) ** 2))) for n in step_counts])


def order(errors, step_counts):
    """Slope of log error against log step size."""
    return -np.polyfit(np.log(step_counts), np.log(errors), 1)[0]


@pytest.mark.parametrize("name", ["ddim", "probability_flow"])
@pytest.mark.parametrize("process, t, u", CASES, ids=IDS)
def test_the_deterministic_samplers_converge_to_the_flow_with_order_one(key, name, process, t, u):
    x = jnp.array([1.3, -0.4])
    step = diffusion.make_step(name)
    step_counts = (8, 32)
    truth = flow(process, x, t, u)

    def run(steps):
        times = jnp.linspace(t, u, steps + 1)
        return jax.jit(
            lambda x: samplers.advance(key, x, times, 0, step, gaussian_denoiser(process), process)
        )(x)

    measured = order(errors_by_steps(run, truth, step_counts), step_counts)
    np.testing.assert_allclose(measured, 1.0, atol=0.15)


@pytest.mark.parametrize("name", ["heun", "dpm_solver"])
@pytest.mark.parametrize("process, t, u", CASES, ids=IDS)
def test_two_samplers_converge_to_the_flow_with_order_two(key, name, process, t, u):
    """In sigma: on a grid that is smooth there, so that DDPM's staircase of rates does not matter."""
    step = diffusion.make_step(name)
    with jax.enable_x64(True):
        sigma = lambda t: process.std(t) / process.mean_coefficient(t)  # noqa: E731
        x = jnp.array([1.3, -0.4])
        truth = flow(process, x, t, u)
        known = np.linspace(u, t, 200_001)
        known_sigma = np.asarray(jax.jit(jax.vmap(sigma))(jnp.asarray(known)))

        def run(steps):
            wanted = np.geomspace(known_sigma[-1], known_sigma[0], steps + 1)
            times = jnp.asarray(np.interp(wanted, known_sigma, known))
            advance = lambda x: samplers.advance(  # noqa: E731
                key, diffusion.begin(step, x), times, 0, step, gaussian_denoiser(process), process
            )
            return diffusion.item_of(jax.jit(advance)(x))

        errors = errors_by_steps(run, truth, (16, 64))
    assert order(errors, (16, 64)) == pytest.approx(2.0, abs=0.25)


@pytest.mark.parametrize("spacing", diffusion.SPACINGS)
@pytest.mark.parametrize("process", [diffusion.VE(sigma=10.0), diffusion.OU(), diffusion.DDPM()], ids=IDS)
def test_dpm_solver_is_nearer_to_the_flow_than_ddim_on_every_grid(key, process, spacing):
    x = process.prior_std * jnp.array([1.3, -0.4])
    times = diffusion.time_grid(process, 20, spacing)
    truth = flow(process, x, float(times[0]), float(times[-1]))

    def error(name):
        step = diffusion.make_step(name)
        place = diffusion.begin(step, x)
        end = jax.jit(
            lambda: samplers.advance(
                key, place, jnp.asarray(times), 0, step, gaussian_denoiser(process), process
            )
        )()
        return float(jnp.abs(diffusion.item_of(end) - truth).max())

    # Uniform in t, the last step of VE and OU alone makes the error: both take it alike.
    assert error("dpm_solver") < error("ddim") * (0.4 if spacing == "karras" else 1)


def test_dpm_solver_walks_on_from_what_the_last_stretch_remembered(key):
    process, step = diffusion.DDPM(), diffusion.dpm_solver_step
    times = jnp.asarray(diffusion.time_grid(process, 20, "karras"))
    denoiser = memory.exact_denoiser(jnp.array([[-1.0, 0.2], [1.0, 0.0]]), process)
    start = diffusion.begin(step, diffusion.draw_prior(key, (2,), process))
    walk = jax.jit(lambda place, part: samplers.advance(key, place, part, 0, step, denoiser, process))
    whole = walk(start, times)
    stretched = walk(walk(walk(start, times[:8]), times[7:9]), times[8:])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, stretched)


def test_a_step_of_dpm_solver_between_equal_times_changes_nothing(key):
    process, step = diffusion.VE(), diffusion.dpm_solver_step
    times = jnp.array([0.8, 0.6, 0.6, 0.4])
    x = jnp.array([1.3, -0.4])
    run = lambda times: samplers.advance(  # noqa: E731
        key, diffusion.begin(step, x), times, 0, step, gaussian_denoiser(process), process
    )
    twice, once = run(times), run(times[jnp.array([0, 1, 3])])
    np.testing.assert_array_equal(run(times[:3]).x, run(times[:2]).x)
    # The step after it has no line to follow, and is DDIM's.
    mean = diffusion.ddim_step(key, run(times[:2]).x, times[2], times[3], gaussian_denoiser(process), process)
    np.testing.assert_allclose(twice.x, mean, rtol=1e-5)
    assert np.abs(once.x - twice.x).max() > 1e-3


@pytest.mark.parametrize("process", [diffusion.DDPM(), diffusion.VE(sigma=10.0), diffusion.OU()])
def test_the_karras_grid_is_uniform_in_the_seventh_root_of_sigma(process):
    times = samplers.time_grid(process, 18, "karras")
    assert times[0] == np.float32(process.t_max) and times[-1] == np.float32(process.t_min)
    assert len(times) == 19 and (np.diff(times) < 0).all()
    inner = times[:-1] if isinstance(process, diffusion.DDPM) else times
    sigma = jax.vmap(lambda t: process.std(t) / process.mean_coefficient(t))(jnp.asarray(inner))
    root = np.asarray(sigma, np.float64) ** (1 / 7)
    steps = np.diff(root)
    tolerance = 0.25 if isinstance(process, diffusion.DDPM) else 2e-3  # its times are whole numbers
    np.testing.assert_allclose(steps, steps.mean(), rtol=tolerance)


def test_heuns_last_step_into_clean_data_is_eulers_and_never_asks_there(key):
    process = diffusion.DDPM()
    patterns = jnp.array([[-1.0, 0.0], [1.0, 0.0]])
    from memgen_jax.memory import exact_denoiser

    item = samplers.sample(
        key, exact_denoiser(patterns, process), process, samplers.heun_step, 18, (2,), spacing="karras"
    )
    np.testing.assert_allclose(jnp.abs(item), [1.0, 0.0], atol=1e-3)


def test_euler_maruyama_has_strong_order_one_on_the_reverse_sde(noise_as_key):
    """The reverse SDE's noise is additive, so Euler-Maruyama is of strong order 1, not 1/2.

    For VE data N(c, a^2) and V(t) = a^2 + sigma^2 t the solution from time 1 down to t is known:
    x_t - c = V(t) [(x_1 - c) / V(1) + int sigma dW / V]. The same Brownian paths serve every step size.
    """
    process = diffusion.VE(t_min=0.0)
    finest, paths = 2**13, 64
    rng = np.random.default_rng(0)
    increments = rng.normal(size=(finest, paths)) / np.sqrt(finest)
    fine_times = np.linspace(1.0, 0.2, finest + 1)
    increments *= np.sqrt(0.8)
    start = CENTRE + 1.5 * rng.normal(size=paths)
    variance = lambda t: SPREAD**2 + t  # noqa: E731
    middle = (fine_times[:-1] + fine_times[1:]) / 2
    integral = np.sum(increments / variance(middle)[:, None], axis=0)
    truth = CENTRE + variance(0.2) * ((start - CENTRE) / variance(1.0) + integral)

    def run(steps):
        times = np.linspace(1.0, 0.2, steps + 1)
        dt = 0.8 / steps
        unit_noise = increments.reshape(steps, -1, paths).sum(1) / np.sqrt(dt)

        def body(x, now):
            t, u, noise = now
            key = noise_as_key(noise)
            return diffusion.euler_maruyama_step(key, x, t, u, gaussian_denoiser(process), process), None

        return jax.lax.scan(body, start, (times[:-1], times[1:], unit_noise))[0]

    with jax.enable_x64(True):
        step_counts = (16, 32, 64, 128)
        errors = errors_by_steps(run, truth, step_counts)
    np.testing.assert_allclose(order(errors, step_counts), 1.0, atol=0.1)


@pytest.mark.parametrize("name", diffusion.SAMPLERS)
@pytest.mark.parametrize("process", [diffusion.VE(), diffusion.OU(t_min=1e-5), diffusion.DDPM()], ids=IDS)
def test_the_exact_score_through_any_sampler_is_a_perfect_memorizer(key, name, process):
    angles = np.array([0.3, 1.4, 3.0, 4.0, 5.3])
    patterns = jnp.asarray(np.stack([np.cos(angles), np.sin(angles)], -1), jnp.float32)
    denoiser = memory.exact_denoiser(patterns, process)
    step = diffusion.make_step(name)
    spacing = "quadratic" if process.t_min else "uniform"
    draw = lambda key: diffusion.sample(key, denoiser, process, step, 400, (2,), spacing=spacing)  # noqa: E731
    generated = np.asarray(jax.jit(jax.vmap(draw))(jax.random.split(key, 400)))
    distance = np.linalg.norm(generated[:, None] - np.asarray(patterns)[None], axis=-1)
    # Left over: the noise at t_min, and what Euler's last steps leave of the flow's; patterns are 0.9 apart.
    assert np.all(distance.min(1) < 0.05)
    # All are recalled, none is missed: with equal shares fewer than 40 of 80 are five deviations off.
    assert np.bincount(distance.argmin(1), minlength=5).min() >= 40


@pytest.mark.parametrize("spacing, rest", [("uniform", 0.564 / 10), ("quadratic", 0.795 / 100)])
def test_the_flow_of_a_ve_process_leaves_more_of_the_prior_on_a_uniform_grid(key, spacing, rest):
    """A step from t to u scales the deviation from one pattern by 1 - (t - u) / 2t = (t + u) / 2t.

    Over n steps down to 0 the product is 0.564 / sqrt(n) on a uniform grid and 0.795 / n on a quadratic one.
    """
    process, pattern, num_steps = diffusion.VE(t_min=0.0), jnp.array([0.6, 0.8]), 100
    times = diffusion.time_grid(process, num_steps, spacing).astype(np.float64)
    factor = np.prod((times[:-1] + times[1:]) / (2 * times[:-1]))
    np.testing.assert_allclose(factor, rest, rtol=0.01)
    step, denoiser = diffusion.probability_flow_step, memory.exact_denoiser(pattern[None], process)
    end = jax.jit(lambda: diffusion.sample(key, denoiser, process, step, num_steps, (2,), spacing=spacing))()
    start = diffusion.draw_prior(key, (2,), process)
    np.testing.assert_allclose(end - pattern, factor * (start - pattern), rtol=1e-3)


def test_the_noise_of_a_step_is_named_by_its_number(key):
    process = diffusion.DDPM(num_steps=20)
    times = jnp.asarray(diffusion.time_grid(process, 20))
    run = lambda x, part, first: samplers.advance(  # noqa: E731
        key, x, part, first, diffusion.ancestral_step, gaussian_denoiser(process), process
    )

    @jax.jit
    def runs(x):
        in_parts = run(run(run(x, times[:8], 0), times[7:9], 7), times[8:], 8)
        return run(x, times, 0), in_parts, run(x, times, 5)

    whole, in_parts, renumbered = runs(jax.random.normal(key, (3,)))
    np.testing.assert_allclose(in_parts, whole, rtol=1e-6)
    assert np.max(np.abs(renumbered - whole)) > 0.01


def test_the_last_euler_maruyama_step_adds_no_noise(key):
    process = diffusion.VE()
    t, u = diffusion.time_grid(process, 100)[-2:]
    steps = [
        diffusion.euler_maruyama_step(
            jax.random.key(seed), jnp.ones(2), jnp.float32(t), jnp.float32(u), lambda x, t: x, process
        )
        for seed in (1, 2)
    ]
    np.testing.assert_array_equal(*steps)


def test_the_prior_has_the_process_standard_deviation(key):
    process = diffusion.VE(sigma=2.0)
    draws = jax.vmap(lambda key: diffusion.draw_prior(key, (3,), process))(jax.random.split(key, 4000))
    np.testing.assert_allclose(np.std(draws), 2.0, rtol=0.03)


def test_the_time_grid_runs_from_t_max_to_t_min():
    np.testing.assert_allclose(diffusion.time_grid(diffusion.VE(), 4), [1, 0.75, 0.5, 0.25, 1e-5], rtol=1e-4)
    np.testing.assert_array_equal(diffusion.time_grid(diffusion.DDPM(), 1000), np.arange(1000, -1, -1))
    np.testing.assert_array_equal(diffusion.time_grid(diffusion.DDPM(), 4), [1000, 750, 500, 250, 0])
    quadratic = diffusion.time_grid(diffusion.VE(t_min=0.0), 4, "quadratic")
    np.testing.assert_allclose(quadratic, [1, 0.5625, 0.25, 0.0625, 0])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: diffusion.make_step("dpm"), "'dpm' must be one of ddim"),
        (lambda: diffusion.time_grid(diffusion.VE(), 5, "cosine"), "'cosine' must be one of uniform"),
        (lambda: diffusion.time_grid(diffusion.DDPM(), 500, "quadratic"), "fall on the same integer"),
        (lambda: diffusion.time_grid(diffusion.VE(), 0), "steps=0 must be at least 1"),
        (lambda: diffusion.time_grid(diffusion.DDPM(), 1001), r"steps=1001 must be in 1\.\.1000"),
        (lambda: diffusion.make_step("ancestral", variance="learned"), "variance='learned' must be"),
    ],
)
def test_wrong_settings_are_one_sentence(make, message):
    with pytest.raises(InputError, match=message):
        make()
