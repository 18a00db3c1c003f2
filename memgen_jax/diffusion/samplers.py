"""From noise to data, one step at a time.

A `Step` takes one item from time t to an earlier time u. Six are offered: DDIM with any eta, the DDPM
ancestral step, Euler-Maruyama on the reverse SDE, Euler on the probability-flow ODE, and two of second order on it,
Heun's (two calls of the network) and DPM-Solver++(2M) (one, and the answer of the step before). All hold for any
`Process`; `advance` runs a stretch of a time grid and `sample` a whole one. Randomness is named by the step's number:
the noise of step k is drawn from fold_in(key, k), so any stretch can be recomputed alone.
Written for one item: batch with `jax.vmap` over keys (and items).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion.processes import DDPM, Clipped, Denoiser, Process
from memgen_jax.errors import InputError, whole_number
from memgen_jax.shapes import Scalar

Step = Callable[[jax.Array, Any, jax.Array, jax.Array, Denoiser, Process], Any]
"""(key, place_t, t, u, denoiser, process) → place_u, for one item, from time t back to u < t.

A place is the item x itself or, for DPM-Solver++, x with what the step before learned: `begin` makes it of x, and
`item_of` takes x out.
"""

SAMPLERS = ("ddim", "ancestral", "euler_maruyama", "probability_flow", "heun", "dpm_solver")
"""The names that `make_step` takes."""
SPACINGS = ("uniform", "quadratic", "karras")
"""How `time_grid` may space the times."""
CALLS = {"heun": 2}
"""Calls of the network in one step of a sampler, where that is not one."""
_RHO = 7  # Karras et al. 2022, Table 1


@takes_arrays
def ddim_step(
    key: PRNGKeyArray,
    x: Float[Array, "*item"],
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    eta: float = 0.0,
    clipped_noise: bool = True,
) -> Float[Array, "*item"]:
    """One step of Song et al. 2021 (DDIM), Eq. 12, for any Gaussian process.

    x_u = m_u x_0 + sqrt(s_u^2 - eta^2 v) noise + eta sqrt(v) z, where v is the variance of the posterior
    q(x_u | x_t, x_0). eta = 0 is deterministic, eta = 1 is ancestral sampling with the posterior variance.

    Args:
      clipped_noise: of a `clipped` denoiser, whether the noise is what leads from the clipped x_0 to x_t, so that
        the two stay a pair (as in GLIDE; diffusers' use_clipped_model_output=True); or that of the answer before
        it was clipped (diffusers' default).
    """
    if isinstance(denoiser, Clipped) and not clipped_noise:
        answer = denoiser.denoiser(x, t)
        denoised = denoiser.clip(answer)
    else:
        denoised = answer = denoiser(x, t)
    noise = process.noise_from_denoised(answer, x, t)
    variance = eta**2 * posterior_variance(process, t, u)
    direction = jnp.sqrt(jnp.maximum(process.std(u) ** 2 - variance, 0.0))
    mean = process.mean_coefficient(u) * denoised + direction * noise
    if eta == 0:
        return mean
    return mean + jnp.sqrt(variance) * jax.random.normal(key, x.shape, x.dtype)


@takes_arrays
def ancestral_step(
    key: PRNGKeyArray,
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


@takes_arrays
def euler_maruyama_step(
    key: PRNGKeyArray,
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


@takes_arrays
def probability_flow_step(
    key: PRNGKeyArray,
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


@takes_arrays
def heun_step(
    key: PRNGKeyArray,
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


class Multistep(NamedTuple):
    """Where one item stands on the way of a sampler that looks back one step.

    Attributes:
      x: the item, as noisy as its time says.
      denoised: the denoiser's answer one step before, of x's shape.
      log_ratio: log(mean / std) at the time of that answer; -inf where there is none yet.
    """

    x: Float[Array, "*item"]
    denoised: Float[Array, "*item"]
    log_ratio: Scalar


@takes_arrays
def dpm_solver_step(
    key: PRNGKeyArray,
    place: Multistep,
    t: Scalar,
    u: Scalar,
    denoiser: Denoiser,
    process: Process,
) -> Multistep:
    """One step of DPM-Solver++(2M) (Lu et al. 2022, Alg. 2) on the probability-flow ODE; `key` is not used.

    x_u = (s_u / s_t) x_t + m_u (1 - e^-h) D, with h the step in log(m / s) and D the denoiser's answer carried half a
    step on along the line through it and the one before: D = D_t + (h / 2 h_before) (D_t - D_before). The first step,
    which has none before it, and the last of a grid (u = t_min), whose h is infinite or as good as that, take D = D_t
    and are DDIM's.
    """
    del key
    x, before = place.x, place.denoised
    mean_u, std_t, std_u = process.mean_coefficient(u), process.std(t), process.std(u)
    sigma_t, sigma_u = std_t / process.mean_coefficient(t), std_u / mean_u
    denoised, log_ratio = denoiser(x, t), -jnp.log(sigma_t)
    last = u <= process.t_min
    h = jnp.where(last, 0.0, jnp.log(sigma_t / jnp.where(last, sigma_t, sigma_u)))
    h_before = log_ratio - place.log_ratio  # infinite at the first step; 0 after a step between equal times
    ahead = h / (2 * jnp.where(h_before > 0, h_before, jnp.inf))
    extrapolated = denoised + ahead * (denoised - before)
    x = std_u / std_t * x + mean_u * (1 - sigma_u / sigma_t) * extrapolated
    return Multistep(x, denoised, log_ratio.astype(x.dtype))


@takes_arrays
def begin(step: Step, x: Float[Array, "*item"]) -> Any:
    """The place at which a walk of `step` starts: x itself, or x with an empty memory."""
    return Multistep(x, jnp.zeros_like(x), jnp.full((), -jnp.inf, x.dtype)) if step is dpm_solver_step else x


@takes_arrays
def item_of(place: jax.Array | Multistep) -> jax.Array:
    """The item x of a place; batched places give batched items."""
    return place.x if isinstance(place, Multistep) else place


@takes_arrays
def transition_variance(process: Process, t: Scalar, u: Scalar) -> Scalar:
    """Variance of x_t given x_u, u < t: s_t^2 - (m_t / m_u)^2 s_u^2 (DDPM: beta_t)."""
    ratio = process.mean_coefficient(t) / process.mean_coefficient(u)
    return jnp.maximum(process.std(t) ** 2 - ratio**2 * process.std(u) ** 2, 0.0)


@takes_arrays
def posterior_variance(process: Process, t: Scalar, u: Scalar) -> Scalar:
    """Variance of x_u given x_t and x_0: (s_u / s_t)^2 times the transition variance (DDPM: beta_tilde)."""
    return process.std(u) ** 2 / process.std(t) ** 2 * transition_variance(process, t, u)


@takes_arrays
def make_step(
    name: str, *, eta: float = 0.0, clipped_noise: bool = True, variance: str = "posterior"
) -> Step:
    """The step function of that name, its settings bound and checked.

    Args:
      eta, clipped_noise: DDIM's, see `ddim_step`.
      variance: the ancestral step's, see `ancestral_step`.
    Raises:
      InputError: there is no such step, or eta is outside [0, 1].
    """
    if not 0 <= eta <= 1:
        raise InputError.setting("eta", eta, "in [0, 1]: 0 adds no noise, 1 is ancestral")
    _require_variance(variance)
    if name == "ddim":
        return functools.partial(ddim_step, eta=eta, clipped_noise=clipped_noise)
    if name == "ancestral":
        return functools.partial(ancestral_step, variance=variance)
    if name == "euler_maruyama":
        return euler_maruyama_step
    if name == "probability_flow":
        return probability_flow_step
    if name == "heun":
        return heun_step
    if name == "dpm_solver":
        return dpm_solver_step
    raise InputError.setting("sampler.name", name, f"one of {', '.join(SAMPLERS)}")


def _require_variance(variance: str) -> None:
    if variance not in ("posterior", "transition"):
        raise InputError.setting("sampler.variance", variance, "'posterior' or 'transition'")


@takes_arrays
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
    num_steps = whole_number("num_steps", num_steps, 1)
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


@takes_arrays
def advance(
    key: PRNGKeyArray,
    place: Any,
    times: Float[Array, " steps_plus_1"],
    first_step: Integer[Array, ""] | int,
    step: Step,
    denoiser: Denoiser,
    process: Process,
) -> Any:
    """Takes one item along `times` (descending); the steps are numbered from `first_step`.

    A single step is called directly: on CPU, XLA runs a convolution several times slower inside a loop.

    Args:
      place: where the item stands at times[0]: `begin(step, x)`, which for all but DPM-Solver++ is x, or what
        an earlier stretch ended with.
    Returns:
      Its place at times[-1]; `item_of` gives the item.
    """
    if len(times) == 2:
        return step(jax.random.fold_in(key, first_step), place, times[0], times[1], denoiser, process)

    def body(place, now):
        index, t, u = now
        return step(jax.random.fold_in(key, index), place, t, u, denoiser, process), None

    numbers = first_step + jnp.arange(len(times) - 1)
    place, _ = jax.lax.scan(body, place, (numbers, times[:-1], times[1:]))
    return place


@takes_arrays
def draw_prior(key: PRNGKeyArray, item_shape: tuple[int, ...], process: Process) -> jax.Array:
    """The starting point of one item: N(0, prior_std^2 I), float32."""
    # Steps are numbered from 0, so the largest number cannot collide with a step's.
    key = jax.random.fold_in(key, np.uint32(2**32 - 1))
    return process.prior_std * jax.random.normal(key, item_shape, jnp.float32)


@takes_arrays
def sample(
    key: PRNGKeyArray,
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
    place = begin(step, draw_prior(key, item_shape, process))
    return item_of(advance(key, place, times, 0, step, denoiser, process))
