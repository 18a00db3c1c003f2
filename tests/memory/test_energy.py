"""The closed forms of the empirical distribution against brute force in float64 NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion, memory
from memgen_jax.errors import InputError

pytestmark = pytest.mark.usefixtures("quick_compilation")

PROCESSES = [(diffusion.VE(), 1e-5), (diffusion.VE(sigma=0.5), 0.15), (diffusion.DDPM(), 700.0)]
PROCESSES += [(diffusion.DDPM(), 1.0), (diffusion.OU(), 0.4)]


def brute_force(x, patterns, mean, std):
    """log p, posterior mean and score Jacobian from the definitions, in float64."""
    x, patterns = np.float64(x).ravel(), np.float64(patterns).reshape(len(patterns), -1)
    logits = -((x - mean * patterns) ** 2).sum(-1) / (2 * std**2)
    top = logits.max()
    weights = np.exp(logits - top)
    log_sum = top + np.log(weights.sum())
    weights /= weights.sum()
    denoised = weights @ patterns
    offset = patterns - denoised
    covariance = (weights[:, None] * offset).T @ offset
    log_p = log_sum - np.log(len(patterns)) - 0.5 * x.size * np.log(2 * np.pi * std**2)
    jacobian = (mean**2 * covariance / std**2 - np.eye(x.size)) / std**2
    return log_p, log_sum, denoised, jacobian


def case(key, process, t, num_patterns, item_shape):
    """Patterns of unit norm and a query drawn near the second of them at noise level t."""
    pattern_key, noise_key = jax.random.split(key)
    patterns = jax.random.normal(pattern_key, (num_patterns, *item_shape))
    norms = jnp.sqrt(jnp.sum(patterns**2, axis=tuple(range(1, patterns.ndim)), keepdims=True))
    patterns = patterns / norms
    x = process.perturb(patterns[1], jax.random.normal(noise_key, item_shape), t)
    return patterns, x, float(process.mean_coefficient(t)), float(process.std(t))


@pytest.mark.parametrize("process, t", PROCESSES)
@pytest.mark.parametrize("item_shape", [(2,), (6, 4, 1)])
def test_every_closed_form_equals_brute_force(key, process, t, item_shape):
    patterns, x, mean, std = case(key, process, t, 50, item_shape)
    log_p, log_sum, denoised, jacobian = brute_force(x, patterns, mean, std)
    functions = (memory.log_density, memory.energy_dm, memory.exact_score, memory.exact_jacobian)
    ours = jax.jit(lambda x: [f(x, patterns, t, process) for f in functions])(x)
    scale = 1 / std**2  # float32 rounding of a unit distance, seen at this temperature
    np.testing.assert_allclose(ours[0], log_p, rtol=1e-6, atol=2e-6 * scale)
    np.testing.assert_allclose(ours[1], -2 * std**2 * log_sum, rtol=1e-5, atol=1e-5)
    score = (mean * denoised - np.float64(x).ravel()) / std**2
    np.testing.assert_allclose(ours[2].ravel(), score, rtol=1e-4, atol=1e-4 * np.abs(score).max())
    np.testing.assert_allclose(ours[3], jacobian, atol=2e-4 * np.abs(jacobian).max())
    answer = jax.jit(memory.exact_denoiser(patterns, process))(x, t)
    np.testing.assert_allclose(answer, denoised.reshape(item_shape), atol=5e-5)


def test_in_float64_the_closed_forms_agree_to_twelve_digits(key):
    with jax.enable_x64(True):
        process, t = diffusion.VE(), 0.01
        rng = np.random.default_rng(0)
        patterns, x = jnp.asarray(rng.normal(size=(300, 24))), jnp.asarray(rng.normal(size=24))
        log_p, _, denoised, jacobian = brute_force(x, patterns, 1.0, t**0.5)
        np.testing.assert_allclose(memory.log_density(x, patterns, t, process), log_p, rtol=1e-12)
        np.testing.assert_allclose(memory.exact_denoiser(patterns, process)(x, t), denoised, rtol=1e-10)
        np.testing.assert_allclose(
            memory.exact_jacobian(x, patterns, t, process), jacobian, rtol=1e-9, atol=1e-7
        )


def test_score_and_jacobian_are_the_derivatives_of_the_log_density(key):
    with jax.enable_x64(True):
        rng = np.random.default_rng(1)
        for process, t in [(diffusion.VE(), 0.15), (diffusion.OU(), 0.3), (diffusion.DDPM(), 250.5)]:
            patterns, x = jnp.asarray(rng.normal(size=(9, 3))), jnp.asarray(rng.normal(size=3))
            functions = (
                memory.exact_score,
                jax.grad(memory.log_density),
                memory.exact_jacobian,
                jax.hessian(memory.log_density),
            )
            values = jax.jit(lambda x: [f(x, patterns, t, process) for f in functions])(x)
            score, gradient, jacobian, hessian = values
            np.testing.assert_allclose(score, gradient, rtol=1e-9)
            np.testing.assert_allclose(jacobian, hessian, rtol=1e-8, atol=1e-8)


def test_the_two_energies_are_equal_at_beta_one_over_two_sigma_squared_t(key):
    process, t = diffusion.VE(sigma=0.7), 0.15
    patterns, x, _, _ = case(key, process, t, 9, (2,))
    beta = 1 / (2 * 0.7**2 * t)
    np.testing.assert_allclose(
        memory.energy_dm(x, patterns, t, process), memory.energy_am(x, patterns, beta), rtol=1e-5
    )


def test_one_pattern_is_a_parabola_at_any_temperature(key):
    x = jax.random.normal(key, (2,))
    pattern = jnp.array([[0.6, 0.8]])
    for beta in (0.1, 20.0, 5e4):
        np.testing.assert_allclose(
            memory.energy_am(x, pattern, beta), np.sum((np.array(x) - pattern[0]) ** 2), rtol=1e-5
        )


@pytest.mark.parametrize("item_shape", [(2,), (30,)])
def test_tiles_and_their_size_change_nothing(key, item_shape):
    process, t = diffusion.VE(), 0.2
    patterns, x, _, _ = case(key, process, t, 101, item_shape)

    def answers(tile):
        jacobian = memory.exact_jacobian(x, patterns, t, process, tile=tile)
        return (*memory.posterior(x, patterns, 2.5, tile=tile), jacobian)

    whole, *tiled = jax.jit(lambda: [answers(tile) for tile in (5000, 1, 7, 100, 101)])()
    for log_sum, mean, jacobian in tiled:
        np.testing.assert_allclose(log_sum, whole[0], rtol=1e-5)
        np.testing.assert_allclose(mean, whole[1], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(jacobian, whole[2], atol=1e-4)


def test_one_compiled_function_serves_every_subset_size(key):
    process = diffusion.VE()
    patterns, x, mean, std = case(key, process, 0.1, 40, (20,))
    traces = []

    @jax.jit
    def denoise(num_valid):
        traces.append(num_valid)
        return memory.exact_denoiser(patterns, process, num_valid=num_valid, tile=16)(x, 0.1)

    for num_train in (1, 9, 16, 17, 40):
        _, _, alone, _ = brute_force(x, patterns[:num_train], mean, std)
        np.testing.assert_allclose(denoise(jnp.asarray(num_train)), alone, atol=1e-5)
    assert len(traces) == 1


def test_order_of_the_patterns_does_not_matter(key):
    process = diffusion.VE()
    patterns, x, _, _ = case(key, process, 0.1, 40, (20,))
    shuffled = np.random.default_rng(0).permutation(patterns)
    denoise = jax.jit(lambda patterns: memory.exact_denoiser(patterns, process)(x, 0.1))
    np.testing.assert_allclose(denoise(shuffled), denoise(np.asarray(patterns)), atol=1e-5)


def test_sixty_thousand_patterns_never_become_an_array_per_query_and_dimension(key):
    """The largest temporary of the compiled batch is far below queries x patterns x dimensions."""
    num_patterns, dim, queries = 60_000, 64, 128
    denoiser = lambda x, patterns: memory.exact_denoiser(patterns, diffusion.VE())(x, 0.1)  # noqa: E731
    compiled = (
        jax.jit(jax.vmap(denoiser, in_axes=(0, None)))
        .lower(jnp.zeros((queries, dim)), jnp.zeros((num_patterns, dim)))
        .compile()
    )
    temporary = compiled.memory_analysis().temp_size_in_bytes
    assert temporary < 5 * num_patterns * dim * 4  # a few copies of the patterns
    assert temporary < queries * num_patterns * dim * 4 / 20


def test_wrong_input_is_one_sentence():
    patterns = jnp.ones((3, 2))
    with pytest.raises(InputError, match=r"num_valid=4 must be in 1\.\.3"):
        memory.exact_denoiser(patterns, diffusion.VE(), num_valid=4)
    with pytest.raises(InputError, match="num_patterns=0"):
        memory.exact_denoiser(patterns[:0], diffusion.VE())
    with pytest.raises(InputError, match="tile=0"):
        memory.posterior(patterns[0], patterns, 1.0, tile=0)
    with pytest.raises(InputError, match=r"num_valid=0 must be in 1\.\.3"):
        memory.posterior(patterns[0], patterns, 1.0, num_valid=np.int64(0))
    for beta in (0.0, -2.0, float("nan"), jnp.float32(-2.0)):
        with pytest.raises(InputError, match=rf"beta={float(beta)} must be positive"):
            memory.energy_am(patterns[0], patterns, beta)
    for t in (0.0, 1.5, float("nan"), jnp.float32(1.5)):
        with pytest.raises(InputError, match=rf"t={float(t)} must be in \(0, 1\]"):
            memory.energy_dm(patterns[0], patterns, t, diffusion.VE())
        with pytest.raises(InputError, match=rf"t={float(t)} must be in \(0, 1\]"):
            memory.exact_denoiser(patterns, diffusion.VE())(patterns[0], t)
