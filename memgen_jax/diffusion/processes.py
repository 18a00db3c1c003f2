"""The forward noising processes, seen through one door: x_t = mean_coefficient(t) x_0 + std(t) noise.

Three processes of the two papers are instances: VE (Pham et al. 2025, Eq. 16), DDPM (their App. F) and
Ornstein-Uhlenbeck (Onset 2024, Eqs. 1-4). Each is the Ito SDE dx = drift(x, t) dt + diffusion(t) dw
with Gaussian marginals, so everything a sampler, a likelihood or a basin needs follows from four
functions of t; noise, score, velocity and denoised predictions are four names for one quantity.

Every function takes one item x of any shape and a scalar float t; batch with `jax.vmap`.
"""

import abc
import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.arrays_in import as_number, takes_arrays
from memgen_jax.errors import InputError, whole_number
from memgen_jax.shapes import Scalar

Item = Float[Array, "*item"]
Time = Scalar | float

# The one door through which samplers, likelihood, basins and curvature see a model:
Denoiser = Callable[[jax.Array, jax.Array], jax.Array]
"""(x_t, t) → E[x_0 | x_t], for one item: a network, the exact posterior mean and a foreign pipeline all fit."""

PREDICTIONS = ("noise", "velocity", "denoised", "score")
"""What a network may predict; `denoiser_from_network` makes a denoiser of any."""


class Process(abc.ABC):
    """A linear Gaussian noising process on t in [t_min, t_max]; t grows with the noise."""

    t_min: float
    t_max: float

    @abc.abstractmethod
    def mean_coefficient(self, t: Time) -> Scalar:
        """m(t), the factor on the clean item in x_t."""

    @abc.abstractmethod
    def std(self, t: Time) -> Scalar:
        """s(t), the standard deviation of the noise in x_t."""

    @abc.abstractmethod
    def drift(self, x: Item, t: Time) -> Item:
        """f(x, t) of dx = f dt + g dw."""

    @abc.abstractmethod
    def diffusion(self, t: Time) -> Scalar:
        """g(t) of dx = f dt + g dw."""

    @property
    @abc.abstractmethod
    def prior_std(self) -> float:
        """Standard deviation of the centred Gaussian from which the reverse process starts."""

    @abc.abstractmethod
    def draw_time(self, key: jax.Array) -> Scalar:
        """A training time, uniform over the times on which the process is defined."""

    def clock(self, t: Time) -> Scalar:
        """An increasing function of t, along which the process runs smoothly: what an ODE solver steps in."""
        return jnp.asarray(t, jnp.result_type(float))

    def time_at(self, clock: Scalar) -> Scalar:
        """The t at which the clock shows that; inverse of `clock`."""
        return clock

    def perturb(self, clean: Item, noise: Item, t: Time) -> Item:
        """x_t = m(t) x_0 + s(t) noise."""
        return self.mean_coefficient(t) * clean + self.std(t) * noise

    def score_from_denoised(self, denoised: Item, x: Item, t: Time) -> Item:
        """Tweedie: score = (m(t) denoised - x) / s(t)^2."""
        return (self.mean_coefficient(t) * denoised - x) / self.std(t) ** 2

    def noise_from_denoised(self, denoised: Item, x: Item, t: Time) -> Item:
        """noise = (x - m(t) denoised) / s(t) = -s(t) score."""
        return (x - self.mean_coefficient(t) * denoised) / self.std(t)

    def denoised_from_score(self, score: Item, x: Item, t: Time) -> Item:
        """denoised = (x + s(t)^2 score) / m(t)."""
        return (x + self.std(t) ** 2 * score) / self.mean_coefficient(t)

    def denoised_from_noise(self, noise: Item, x: Item, t: Time) -> Item:
        """denoised = (x - s(t) noise) / m(t)."""
        return (x - self.std(t) * noise) / self.mean_coefficient(t)

    def denoised_from_output(self, prediction: str, output: Item, x: Item, t: Time) -> Item:
        """Reads a network's output as E[x_0 | x_t].

        Args:
          prediction: what the network predicts, one of `PREDICTIONS`. The velocity is
            m(t) noise - s(t) x_0 (Salimans & Ho 2022, App. D).
          output: the network's output, same shape as x.
        """
        if prediction == "noise":
            return self.denoised_from_noise(output, x, t)
        if prediction == "score":
            return self.denoised_from_score(output, x, t)
        if prediction == "denoised":
            return output
        if prediction == "velocity":
            mean, std = self.mean_coefficient(t), self.std(t)
            # m x - s v = (m^2 + s^2) x_0; the bracket is 1 for variance-preserving processes only.
            return (mean * x - std * output) / (mean**2 + std**2)
        raise InputError.setting("prediction", prediction, f"one of {', '.join(PREDICTIONS)}")

    def target(self, prediction: str, clean: Item, noise: Item, t: Time) -> Item:
        """What a network with this `prediction` is trained to output; inverse of the above."""
        if prediction == "noise":
            return noise
        if prediction == "score":
            return -noise / self.std(t)
        if prediction == "denoised":
            return clean
        if prediction == "velocity":
            return self.mean_coefficient(t) * noise - self.std(t) * clean
        raise InputError.setting("prediction", prediction, f"one of {', '.join(PREDICTIONS)}")


def require_time(t: Time, process: Process) -> None:
    """Refuses a t outside (0, t_max]; one that is traced has no value yet and passes."""
    # Compared as float32, in which time grids hold t_max.
    if not isinstance(t, jax.core.Tracer) and not 0 < as_number("t", t) <= np.float32(process.t_max):
        raise InputError.setting("t", float(t), f"in (0, {process.t_max:g}]")


@takes_arrays
def denoiser_from_network(
    network: Callable[[jax.Array, jax.Array], jax.Array], process: Process, prediction: str
) -> Denoiser:
    """Wraps network(x, t) -> output, trained with `prediction`, as a `Denoiser`."""

    def denoiser(x: jax.Array, t: jax.Array) -> jax.Array:
        return process.denoised_from_output(prediction, network(x, t), x, t)

    return denoiser


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Clipped:
    """A denoiser whose answer is clipped to [low, high].

    Attributes:
      denoiser: the one that is not clipped.
    """

    denoiser: Denoiser
    low: float
    high: float

    @takes_arrays
    def __call__(self, x: Item, t: Any) -> Item:
        return self.clip(self.denoiser(x, t))

    def clip(self, denoised: Item) -> Item:
        """An answer of `denoiser`, brought into the range."""
        return jnp.clip(denoised, self.low, self.high)


@takes_arrays
def clipped(denoiser: Denoiser, low: float = -1.0, high: float = 1.0) -> Clipped:
    """The denoiser with its answer clipped to the data's range, as Ho et al. 2020 sample.

    Raises:
      InputError: low is not below high.
    """
    if not low < high:
        raise InputError.setting("low", low, f"below high={high}")
    return Clipped(denoiser, low, high)


@takes_arrays
@dataclasses.dataclass(frozen=True)
class VE(Process):
    """Variance exploding: dx = sigma dw, x_t | x_0 ~ N(x_0, sigma^2 t I) (Pham et al. 2025, Eq. 16).

    Inverse temperature of the associative memory: beta = 1 / (2 sigma^2 t).
    """

    sigma: float = 1.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def __post_init__(self):
        _require_positive("sigma", self.sigma)
        _require_interval(self.t_min, self.t_max)

    def mean_coefficient(self, t: Time) -> Scalar:
        return jnp.ones_like(jnp.asarray(t, jnp.result_type(float)))

    def std(self, t: Time) -> Scalar:
        return self.sigma * jnp.sqrt(t)

    def drift(self, x: Item, t: Time) -> Item:
        return jnp.zeros_like(x)

    def diffusion(self, t: Time) -> Scalar:
        return jnp.full_like(jnp.asarray(t, jnp.result_type(float)), self.sigma)

    @property
    def prior_std(self) -> float:
        """σ √t_max: that of the noise alone; the data's own spread is left out."""
        return self.sigma * self.t_max**0.5

    def draw_time(self, key: jax.Array) -> Scalar:
        return jax.random.uniform(key, minval=self.t_min, maxval=self.t_max)


@takes_arrays
@dataclasses.dataclass(frozen=True)
class OU(Process):
    """Ornstein-Uhlenbeck: dX = -X dt + sqrt(2) dW, X_t | X_0 ~ N(e^-t X_0, (1 - e^-2t) I).

    Onset 2024, Eqs. 1-4. It is variance preserving with alpha_bar = e^-2t.
    """

    t_min: float = 1e-4
    t_max: float = 5.0

    def __post_init__(self):
        _require_interval(self.t_min, self.t_max)

    def mean_coefficient(self, t: Time) -> Scalar:
        return jnp.exp(-jnp.asarray(t, jnp.result_type(float)))

    def std(self, t: Time) -> Scalar:
        return jnp.sqrt(-jnp.expm1(-2.0 * jnp.asarray(t, jnp.result_type(float))))

    def drift(self, x: Item, t: Time) -> Item:
        return -x

    def diffusion(self, t: Time) -> Scalar:
        return jnp.full_like(jnp.asarray(t, jnp.result_type(float)), 2.0**0.5)

    @property
    def prior_std(self) -> float:
        """1, the stationary one."""
        return 1.0

    def draw_time(self, key: jax.Array) -> Scalar:
        return jax.random.uniform(key, minval=self.t_min, maxval=self.t_max)


@takes_arrays
@dataclasses.dataclass(frozen=True)
class DDPM(Process):
    """The discrete schedule of Ho et al. 2020, read as an SDE with a piecewise constant rate.

    alpha_bar(t) = prod_{s<=t} (1 - beta_s) at t = 0, 1, ..., T, log-linear between: the variance-
    preserving SDE dx = -g^2/2 x dt + g dw with g(t)^2 = -log(1 - beta_s) for t in (s-1, s] has exactly
    the discrete marginals at integer times. t = 0 is clean data (std 0). The `betas` are the linear
    schedule of Pham et al. 2025, App. F.
    """

    num_steps: int = 1000
    beta_first: float = 1e-4
    beta_last: float = 2e-2
    t_min: float = dataclasses.field(default=0.0, init=False)

    def __post_init__(self):
        whole_number("process.num_steps", self.num_steps, 1)
        if not 0 < self.beta_first <= self.beta_last < 1:
            allowed = f"such that 0 < beta_first <= beta_last < 1, with beta_last={self.beta_last}"
            raise InputError.setting("process.beta_first", self.beta_first, allowed)

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """The number of steps: t counts them from 1."""
        return float(self.num_steps)

    @functools.cached_property
    def log_alpha_bar(self) -> np.ndarray:
        """log alpha_bar at t = 0..T, float64 [T + 1]."""
        betas = np.linspace(self.beta_first, self.beta_last, self.num_steps, dtype=np.float64)
        return np.concatenate([[0.0], np.cumsum(np.log1p(-betas))])

    def _segment(self, t: Time) -> tuple[jax.Array, jax.Array, jax.Array]:
        """log alpha_bar at the start of the unit interval that holds t, its rate, and t - start."""
        t = jnp.asarray(t, jnp.result_type(float))
        start = jnp.clip(jnp.ceil(t) - 1, 0, self.num_steps - 1)
        table = jnp.asarray(self.log_alpha_bar, t.dtype)
        rate = jnp.asarray(-np.diff(self.log_alpha_bar), t.dtype)
        index = start.astype(jnp.int32)
        return table[index], rate[index], t - start

    def _log_alpha_bar_at(self, t: Time) -> jax.Array:
        log_start, rate, elapsed = self._segment(t)
        return log_start - rate * elapsed

    def mean_coefficient(self, t: Time) -> Scalar:
        return jnp.exp(0.5 * self._log_alpha_bar_at(t))

    def std(self, t: Time) -> Scalar:
        return jnp.sqrt(-jnp.expm1(self._log_alpha_bar_at(t)))

    def drift(self, x: Item, t: Time) -> Item:
        _, rate, _ = self._segment(t)
        return -0.5 * rate * x

    def diffusion(self, t: Time) -> Scalar:
        _, rate, _ = self._segment(t)
        return jnp.sqrt(rate)

    def clock(self, t: Time) -> Scalar:
        """-log alpha_bar(t), the integral of g^2: in it the staircase of the rate is a straight line."""
        return -self._log_alpha_bar_at(t)

    def time_at(self, clock: Scalar) -> Scalar:
        table = jnp.asarray(-self.log_alpha_bar, clock.dtype)
        return jnp.interp(clock, table, jnp.arange(self.num_steps + 1, dtype=clock.dtype))

    @property
    def prior_std(self) -> float:
        """1, whatever the schedule ends with."""
        return 1.0

    def draw_time(self, key: jax.Array) -> Scalar:
        """Uniform on the integers 1..T, as in Ho et al. 2020, Alg. 1."""
        return 1.0 + jnp.floor(self.num_steps * jax.random.uniform(key))  # cheaper to compile than randint


def _require_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise InputError.setting(f"process.{name}", value, "positive and finite")


def _require_interval(t_min: float, t_max: float) -> None:
    if not 0 <= t_min < t_max < math.inf:
        allowed = f"such that 0 <= t_min < t_max, a finite time, with t_max={t_max}"
        raise InputError.setting("process.t_min", t_min, allowed)
