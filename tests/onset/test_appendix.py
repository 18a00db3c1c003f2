"""Appendix A of the onset paper as identities: interpolants, SDEs, Feynman-Kac, exactly solvable processes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.stats import norm
from scipy.special import softmax

from memgen_jax.diffusion import DDPM, OU, VE

pytestmark = pytest.mark.usefixtures("quick_compilation")


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


# A Gaussian interpolant x(t) = (1-t) x_0 + t x_1 + λ_0(t) z (Eq. 25), λ_0(0) = λ_0(1) = 0.
MEAN = (-1.0, 2.0)
SPREAD = (0.7, 1.5)


def noise(t):
    return 0.8 * jnp.sqrt(t * (1 - t))


def mean(t):
    return (1 - t) * MEAN[0] + t * MEAN[1]


def variance(t):
    return ((1 - t) * SPREAD[0]) ** 2 + (t * SPREAD[1]) ** 2 + noise(t) ** 2


def density(t, x):
    return norm.pdf(x, mean(t), jnp.sqrt(variance(t)))


def score(t, x):
    return jax.grad(lambda x: jnp.log(density(t, x)))(x)


def velocity(t, x):
    """b = E[ẋ | x(t) = x] (Eq. 28): x and ẋ are jointly Gaussian with covariance v̇/2."""
    return jax.grad(mean)(t) + jax.grad(variance)(t) / (2 * variance(t)) * (x - mean(t))


def diffusivity(t):
    """λ(t) ≥ 0 of Eq. 33, any function."""
    return 0.3 + 0.5 * t


def forward_drift(t, x):
    return velocity(t, x) + diffusivity(t) * score(t, x)


def backward_drift(t, x):
    return velocity(t, x) - diffusivity(t) * score(t, x)


def divergence(field):
    return jax.grad(field, argnums=1)


POINTS = [(0.2, -0.9), (0.5, 1.3), (0.8, 0.1)]


def test_velocity_and_score_are_conditional_expectations():
    """Eqs. 28 and 30, with the expectations taken by linear regression on a million draws."""
    rng, t = np.random.default_rng(0), 0.4
    x0, x1, z = (rng.standard_normal(1_000_000) for _ in range(3))
    x0, x1 = MEAN[0] + SPREAD[0] * x0, MEAN[1] + SPREAD[1] * x1
    x = (1 - t) * x0 + t * x1 + float(noise(t)) * z
    rate = x1 - x0 + float(jax.grad(noise)(t)) * z
    for at in (-1.0, 0.5):
        given = np.polyval(np.polyfit(x, rate, 1), at)
        assert float(velocity(t, at)) == pytest.approx(given, abs=0.01)
        given = -np.polyval(np.polyfit(x, z, 1), at) / float(noise(t))
        assert float(score(t, at)) == pytest.approx(given, abs=0.01)


@pytest.mark.parametrize(("t", "x"), POINTS)
def test_the_interpolant_obeys_the_transport_equation(t, x):
    """∂ρ/∂t + ∇·(bρ) = 0 (Eq. 27)."""
    flow = divergence(lambda t, x: velocity(t, x) * density(t, x))
    assert float(jax.grad(density)(t, x) + flow(t, x)) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("t", "x"), POINTS)
@pytest.mark.parametrize(("drift", "sign"), [(forward_drift, 1), (backward_drift, -1)])
def test_the_same_density_solves_both_fokker_planck_equations(t, x, drift, sign):
    """∂ρ/∂t + ∇·(bρ ± λ∇ρ) = ±λΔρ for b_F and b_B (Eq. 33)."""
    flow = divergence(lambda t, x: drift(t, x) * density(t, x))(t, x)
    laplacian = jax.grad(jax.grad(density, argnums=1), argnums=1)(t, x)
    rest = jax.grad(density)(t, x) + flow - sign * diffusivity(t) * laplacian
    assert float(rest) == pytest.approx(0, abs=1e-12)


def paths(drift, start, stop, x, key, steps=250):
    """Euler-Maruyama from `start` to `stop`, either way; also the integral of ∇·drift along each path."""
    dt = (stop - start) / steps

    def one(carry, step):
        x, integral = carry
        t = start + step.astype(x.dtype) * dt
        slope = jax.vmap(divergence(drift), (None, 0))(t, x)
        shock = jnp.sqrt(2 * diffusivity(t) * abs(dt)) * jax.random.normal(
            jax.random.fold_in(key, step), x.shape
        )
        return (x + jax.vmap(drift, (None, 0))(t, x) * dt + shock, integral + slope * dt), None

    (x, integral), _ = jax.lax.scan(one, (x, jnp.zeros_like(x)), jnp.arange(steps))
    return x, integral


def test_the_forward_sde_carries_the_first_density_to_the_last_and_the_backward_one_back(key):
    """Eq. 34."""
    there = MEAN[0] + SPREAD[0] * jax.random.normal(key, (20_000,), jnp.float64)
    there, _ = paths(forward_drift, 1e-3, 1 - 1e-3, there, key)
    np.testing.assert_allclose([there.mean(), there.std()], [MEAN[1], SPREAD[1]], rtol=0.03)
    back = MEAN[1] + SPREAD[1] * jax.random.normal(key, (20_000,), jnp.float64)
    back, _ = paths(backward_drift, 1 - 1e-3, 1e-3, back, key)
    np.testing.assert_allclose([back.mean(), back.std()], [MEAN[0], SPREAD[0]], rtol=0.03)


def test_feynman_kac_gives_the_density_from_paths_that_run_back_to_the_start(key):
    """ρ(t,x) = E[exp(∫_t^0 ∇·b_F) ρ_0(Y_0) | Y_t = x], dY = b_F dt with noise √(2λ) (Eq. 35)."""
    t, x, first = 0.5, 0.6, 1e-3
    ends, integral = paths(forward_drift, t, first, jnp.full(20_000, x), key)
    weights = jnp.exp(integral) * jax.vmap(density, (None, 0))(first, ends)
    error = float(weights.std()) / np.sqrt(20_000)
    assert float(weights.mean()) == pytest.approx(float(density(t, x)), abs=4 * error + 0.003)


def test_feynman_kac_for_ornstein_uhlenbeck_is_exact():
    """b_F = -x, λ = 1: ρ(t,x) = e^t E[ρ_0(x e^t + √(e^{2t} - 1) Z)], against the process's marginals."""
    process, t, x = OU(), 0.7, 0.4

    def start(y):
        return 0.3 * norm.pdf(y, -1.0, 0.5) + 0.7 * norm.pdf(y, 1.5, 0.8)

    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    ends = x * np.exp(t) + np.sqrt(np.expm1(2 * t)) * nodes
    expected = np.exp(t) * np.sum(weights * np.asarray(start(ends))) / np.sqrt(2 * np.pi)
    scale, spread = process.mean_coefficient(t), process.std(t)
    value = 0.3 * norm.pdf(x, -scale, jnp.sqrt((0.5 * scale) ** 2 + spread**2))
    value += 0.7 * norm.pdf(x, 1.5 * scale, jnp.sqrt((0.8 * scale) ** 2 + spread**2))
    assert float(value) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("process", [OU(), VE(sigma=1.3), DDPM()])
@pytest.mark.parametrize("part", [0.13, 0.537, 0.871])
def test_every_process_is_of_the_exactly_solvable_family(process, part):
    """dX = X (log η)' dt + √(η² (σ²/η²)') dW has marginals N(η X_0, σ²) (footnote 6)."""
    t = part * process.t_max + 0.0123
    eta, sigma = process.mean_coefficient, process.std
    drift = jax.grad(lambda t: jnp.log(eta(t)))(t)
    assert float(process.drift(jnp.asarray(1.7), t)) == pytest.approx(1.7 * float(drift), rel=1e-6, abs=1e-12)
    growth = eta(t) ** 2 * jax.grad(lambda t: sigma(t) ** 2 / eta(t) ** 2)(t)
    assert float(process.diffusion(t)) == pytest.approx(float(jnp.sqrt(growth)), rel=1e-6)


def test_ornstein_uhlenbeck_reverses_with_twice_the_score():
    """λ = 1 in Eq. 33 turns b = -x - s into the drifts of Eqs. 1 and 5: b_F = -x, b_B = -x - 2s."""
    process, t, x = OU(), 0.6, jnp.asarray(0.8)
    total = process.mean_coefficient(t) ** 2 * 0.25 + process.std(t) ** 2

    def marginal(t, x):
        spread = jnp.sqrt(process.mean_coefficient(t) ** 2 * 0.25 + process.std(t) ** 2)
        return norm.pdf(x, 0.0, spread)

    own_score = -x / total
    own_velocity = lambda t, x: -x + x / (process.mean_coefficient(t) ** 2 * 0.25 + process.std(t) ** 2)  # noqa: E731
    transport = jax.grad(marginal)(t, x) + jax.grad(lambda x: own_velocity(t, x) * marginal(t, x))(x)
    assert float(transport) == pytest.approx(0, abs=1e-12)
    assert float(own_velocity(t, x) + own_score) == pytest.approx(float(process.drift(x, t)))
    reverse = process.drift(x, t) - process.diffusion(t) ** 2 * own_score
    assert float(own_velocity(t, x) - own_score) == pytest.approx(float(reverse))


def test_the_late_time_density_has_the_curvature_of_the_corrected_expansion():
    """-∇² log ρ̂(t, 0) = (e^{-2t}/δ_t)(e^{2t} I - Cov/δ_t): Eqs. 12-14 with the factor 1/δ_t restored."""
    process, t = OU(), 1.5
    points = np.random.default_rng(0).standard_normal((6, 3))
    scale, delta = float(process.mean_coefficient(t)), float(process.std(t)) ** 2

    def log_density(x):
        return jax.nn.logsumexp(-jnp.sum((x[None, :] - scale * points) ** 2, -1) / (2 * delta))

    weights = softmax(-np.sum(points**2, -1) * scale**2 / (2 * delta))
    centred = points - weights @ points
    covariance = (weights[:, None] * centred).T @ centred
    expected = scale**2 / delta * (np.eye(3) / scale**2 - covariance / delta)
    curvature = jax.jit(jax.hessian(log_density))(jnp.zeros(3))
    np.testing.assert_allclose(-curvature, expected, rtol=1e-10, atol=1e-12)
