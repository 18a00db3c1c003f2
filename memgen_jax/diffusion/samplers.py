"""From noise to data, one step at a time.

A `Step` takes one item from time t to an earlier time u. Five are offered: DDIM with any eta, the DDPM
ancestral step, Euler-Maruyama on the reverse SDE, Euler on the probability-flow ODE, and Heun's step on it (of
second order, two calls of the network). All hold for any `Process`; `advance` runs a stretch of a time grid and
`sample` a whole one. Randomness is named by the step's number: the noise of step k is drawn from fold_in(key, k), so
any stretch can be recomputed alone.
Written for one item: batch with `jax.vmap` over keys (and items).
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.diffusion.processes import DDPM, Denoiser, Process
from memgen_jax.errors import InputError
from memgen_jax.shapes import Scalar

Step = Callable[[jax.Array, jax.Array, jax.Array, jax.Array, Denoiser, Process], jax.Array]
"""(key, x_t, t, u, denoiser, process) → x_u, for one item, from time t back to u < t."""

SAMPLERS = ("ddim", "ancestral", "euler_maruyama", "probability_flow", "heun")
"""The names that `make_step` takes."""
SPACINGS = ("uniform", "quadratic", "karras")
"""How `time_grid` may space the times."""
CALLS = {"heun": 2}
"""Calls of the network in one step of a sampler, where that is not one."""
_RHO = 7  # Karras et al. 2022, Table 1


def ddim_step(
    key: jax.Array,
    x: Float[Array, "*item"],
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    eta: float = 0.0,
) -> Float[Array, "*item"]:
    """One step of Song et al. 2021 (DDIM), Eq. 12, for any Gaussian process.

    x_u = m_u x_0 + sqrt(s_u^2 - eta^2 v) noise + eta sqrt(v) z, where v is the variance of the posterior
    q(x_u | x_t, x_0). eta = 0 is deterministic, eta = 1 is ancestral sampling with the posterior variance.
    """
    denoised = denoiser(x, t)
    noise = process.noise_from_denoised(denoised, x, t)
    variance = eta**2 * posterior_variance(process, t, u)
    direction = jnp.sqrt(jnp.maximum(process.std(u) ** 2 - variance, 0.0))
    mean = process.mean_coefficient(u) * denoised + direction * noise
    if eta == 0:
        return mean
    return mean + jnp.sqrt(variance) * jax.random.normal(key, x.shape, x.dtype)


def ancestral_step(
    key: jax.Array,
    x: Float[Array, "*item"],
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    variance: str = "posterior",
) -> Float[Array, "*item"]:
    """One draw from p(x_u | x_t) with the posterior's mean (Ho et al. 2020, Eqs. 7 and 11).

    The noise is left out where the step ends in clean data, s_u = 0 (Ho et al., Alg. 2).

    Args:
      variance: "posterior", beta_tilde (Ho et al.'s fixed-small); or "transition", beta_t (fixed-large),
        the variance of x_t given x_u, which a process with t_min > 0 keeps from the last step too: for fine
        grids there.
    """
    _require_variance(variance)
    denoised = denoiser(x, t)
    ratio = process.mean_coefficient(t) / process.mean_coefficient(u)
    shrink = process.std(u) ** 2 / process.std(t) ** 2
    step_variance = transition_variance(process, t, u)
    mean = ratio * shrink * x + process.mean_coefficient(u) * step_variance / process.std(t) ** 2 * denoised
    spread = posterior_variance(process, t, u) if variance == "posterior" else step_variance
    spread = jnp.where(process.std(u) > 0, spread, 0.0)
    return mean + jnp.sqrt(spread) * jax.random.normal(key, x.shape, x.dtype)


def euler_maruyama_step(
    key: jax.Array,
    x: Float[Array, "*item"],
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
) -> Float[Array, "*item"]:
    """One Euler-Maruyama step of the reverse SDE dx = (f - g^2 score) dt + g dw, time running down.

    The last step of a grid (u = t_min) is noise-free: noise added there would never be removed.
    """
    elapsed = t - u
    g = process.diffusion(t)
    score = process.score_from_denoised(denoiser(x, t), x, t)
    mean = x - (process.drift(x, t) - g**2 * score) * elapsed
    spread = jnp.where(u > process.t_min, g * jnp.sqrt(elapsed), 0.0)
    return mean + spread * jax.random.normal(key, x.shape, x.dtype)


def probability_flow_step(
    key: jax.Array,
    x: Float[Array, "*item"],
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
) -> Float[Array, "*item"]:
    """One Euler step of the probability-flow ODE dx/dt = f - g^2 score / 2; `key` is not used."""
    del key
    score = process.score_from_denoised(denoiser(x, t), x, t)
    velocity = process.drift(x, t) - 0.5 * process.diffusion(t) ** 2 * score
    return x - velocity * (t - u)


def heun_step(
    key: jax.Array,
    x: Float[Array, "*item"],
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
) -> Float[Array, "*item"]:
    """One step of Heun's method on the probability-flow ODE (Karras et al. 2022, Alg. 1); `key` is not used.

    In y = x / m and sigma = s / m the flow is dy/dsigma = (y - denoised) / sigma, whatever the process. A step into
    clean data, s_u = 0, is Euler's.
    """
    del key
    mean_t, mean_u = process.mean_coefficient(t), process.mean_coefficient(u)
    sigma_t, sigma_u = process.std(t) / mean_t, process.std(u) / mean_u
    y = x / mean_t
    slope = (y - denoiser(x, t)) / sigma_t
    euler = y + (sigma_u - sigma_t) * slope
    clean = sigma_u == 0
    later = jnp.where(clean, t, u)  # no network answers at clean data, and nothing of its answer counts there
    again = (euler - denoiser(process.mean_coefficient(later) * euler, later)) / jnp.where(
        clean, 1.0, sigma_u
    )
    heun = y + (sigma_u - sigma_t) * (slope + again) / 2
    return mean_u * jnp.where(clean, euler, heun)


def transition_variance(process: Process, t: jax.Array, u: jax.Array) -> Scalar:
    """Variance of x_t given x_u, u < t: s_t^2 - (m_t / m_u)^2 s_u^2 (DDPM: beta_t)."""
    ratio = process.mean_coefficient(t) / process.mean_coefficient(u)
    return jnp.maximum(process.std(t) ** 2 - ratio**2 * process.std(u) ** 2, 0.0)


def posterior_variance(process: Process, t: jax.Array, u: jax.Array) -> Scalar:
    """Variance of x_u given x_t and x_0: (s_u / s_t)^2 times the transition variance (DDPM: beta_tilde)."""
    return process.std(u) ** 2 / process.std(t) ** 2 * transition_variance(process, t, u)


def make_step(name: str, *, eta: float = 0.0, variance: str = "posterior") -> Step:
    """The step function of that name, its settings bound and checked."""
    _require_variance(variance)
    if name == "ddim":
        return functools.partial(ddim_step, eta=eta)
    if name == "ancestral":
        return functools.partial(ancestral_step, variance=variance)
    if name == "euler_maruyama":
        return euler_maruyama_step
    if name == "probability_flow":
        return probability_flow_step
    if name == "heun":
        return heun_step
    raise InputError.setting("sampler.name", name, f"one of {', '.join(SAMPLERS)}")


def _require_variance(variance: str) -> None:
    if variance not in ("posterior", "transition"):
        raise InputError.setting("sampler.variance", variance, "'posterior' or 'transition'")


def time_grid(process: Process, num_steps: int, spacing: str = "uniform") -> np.ndarray:
    """Times from t_max down to t_min, float32 [num_steps + 1].

    For DDPM they are rounded to integers and end at 0, clean data: uniform with num_steps = T is the
    schedule itself, with fewer the "trailing" spacing of Lin et al. 2024 (Table 2).

    Args:
      spacing: "uniform" in t; or "quadratic", uniform in sqrt(t) (Song et al. 2021, DDIM, App. D.2), which
        follows the noise's standard deviation where it falls fastest: Euler's steps down the probability
        flow of a VE process leave about 0.56 / sqrt(num_steps) of the prior's noise on a uniform grid and
        0.8 / num_steps on this one. DDIM leaves none. "karras" is uniform in sigma^(1/7), sigma = std / mean
        (Karras et al. 2022, Eq. 5), from t_max to t_min, for DDPM to t = 1 and from there to 0.

    >>> from memgen_jax import diffusion
    >>> diffusion.time_grid(diffusion.DDPM(), 4).tolist()
    [1000.0, 750.0, 500.0, 250.0, 0.0]
    """
    if spacing not in SPACINGS:
        raise InputError.setting("spacing", spacing, f"one of {', '.join(SPACINGS)}")
    if num_steps < 1:
        raise InputError.setting("num_steps", num_steps, "at least 1")
    if spacing == "karras":
        times = _karras_times(process, num_steps)
    else:
        power = 1 if spacing == "uniform" else 2
        ends = process.t_max ** (1 / power), process.t_min ** (1 / power)
        times = np.linspace(*ends, num_steps + 1) ** power
    if isinstance(process, DDPM):
        if num_steps > process.num_steps:
            raise InputError.setting(
                "num_steps", num_steps, f"in 1..{process.num_steps}, the steps of the process"
            )
        times = np.round(times)
        if np.any(np.diff(times) == 0):
            raise InputError.setting(
                "num_steps",
                num_steps,
                f"lower with {spacing} spacing, where some of so many fall on the same integer time; or take "
                "uniform spacing",
            )
    return times.astype(np.float32)


def _karras_times(process: Process, num_steps: int) -> np.ndarray:
    discrete = isinstance(process, DDPM)
    known = (
        np.arange(1.0, process.t_max + 1)
        if discrete
        else np.geomspace(max(process.t_min, 1e-9), process.t_max, 10_001)
    )
    sigma_at = jax.vmap(lambda t: process.std(t) / process.mean_coefficient(t))
    known_sigma = np.asarray(sigma_at(jnp.asarray(known, jnp.float32)), np.float64)
    ends = known_sigma[-1] ** (1 / _RHO), known_sigma[0] ** (1 / _RHO)
    sigma = np.linspace(*ends, num_steps if discrete else num_steps + 1) ** _RHO
    times = np.exp(np.interp(np.log(sigma), np.log(known_sigma), np.log(known)))
    times[0] = process.t_max
    if discrete:
        return np.append(times, 0.0)
    times[-1] = process.t_min
    return times


def advance(
    key: jax.Array,
    x: Float[Array, "*item"],
    times: Float[Array, " steps_plus_1"],
    first_step: jax.Array | int,
    step: Step,
    denoiser: Denoiser,
    process: Process,
) -> Float[Array, "*item"]:
    """Takes one item along `times` (descending); the steps are numbered from `first_step`.

    A single step is called directly: on CPU, XLA runs a convolution several times slower inside a loop.
    """
    if len(times) == 2:
        return step(jax.random.fold_in(key, first_step), x, times[0], times[1], denoiser, process)

    def body(x, now):
        index, t, u = now
        return step(jax.random.fold_in(key, index), x, t, u, denoiser, process), None

    numbers = first_step + jnp.arange(len(times) - 1)
    x, _ = jax.lax.scan(body, x, (numbers, times[:-1], times[1:]))
    return x


def draw_prior(key: jax.Array, item_shape: tuple[int, ...], process: Process) -> jax.Array:
    """The starting point of one item: N(0, prior_std^2 I), float32."""
    # Steps are numbered from 0, so the largest number cannot collide with a step's.
    key = jax.random.fold_in(key, np.uint32(2**32 - 1))
    return process.prior_std * jax.random.normal(key, item_shape, jnp.float32)


def sample(
    key: jax.Array,
    denoiser: Denoiser,
    process: Process,
    step: Step,
    num_steps: int,
    item_shape: tuple[int, ...],
    *,
    spacing: str = "uniform",
) -> Float[Array, "*item"]:
    """Draws one item x_{t_min}: from the prior at t_max along the whole time grid.

    >>> import jax, jax.numpy as jnp
    >>> from memgen_jax import diffusion, exact_denoiser, sample
    >>> process = diffusion.DDPM()
    >>> denoiser = exact_denoiser(jnp.array([[-1.0, 0.0], [1.0, 0.0]]), process)
    >>> step = diffusion.make_step("ddim")
    >>> item = sample(jax.random.key(0), denoiser, process, step, 20, (2,))
    >>> [round(abs(float(x)), 3) for x in item]  # the exact score can only copy
    [1.0, 0.0]
    """
    times = jnp.asarray(time_grid(process, num_steps, spacing))
    x = draw_prior(key, item_shape, process)
    return advance(key, x, times, 0, step, denoiser, process)
