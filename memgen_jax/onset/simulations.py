"""Independent simulations of the linear model: data, fit, distances (Onset 2024, section 3)."""

import dataclasses
import math
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.onset import distances, linear_denoiser
from memgen_jax.onset.distances import LogOverlaps
from memgen_jax.onset.gaussians import Gaussian, isotropic, squared_hellinger
from memgen_jax.onset.linear_denoiser import LinearDenoiser
from memgen_jax.onset.widths import check_points, kernel_width

_ORIGINAL, _TRAIN, _NOISE = 0, 1, 2  # what a random stream is for
_DECOMPOSING = threading.Lock()


@takes_arrays
@dataclasses.dataclass(frozen=True)
class LinearModel:
    """The setting of Figs. 2 and 3 of the onset paper; the defaults are theirs, left panel.

    Attributes:
      dim: d, coordinates of one point.
      num_original: N, points behind ρ_O.
      mean: μ, the same in each coordinate.
      sigma: σ > 0 of the data in each coordinate.
      final_time: T > 0, Ornstein-Uhlenbeck time at which the denoiser starts.
      noise_scale: λ > 0; the noise has variance λ (1 - e^{-2T}).
      nested: the training set is the first n original points (then n = N gives Δ = 0 exactly);
        otherwise it is drawn on its own.
      kernel_widths: readings of the kernel width, each a name of `widths.KERNEL_WIDTHS`.
      covariances: readings of ρ_G's covariance, each a name of `linear_denoiser.COVARIANCES`.
      seed: of all random draws.
    """

    dim: int = 16
    num_original: int = 10_000
    mean: float = 10.0
    sigma: float = 1.0
    final_time: float = 2.0
    noise_scale: float = math.exp(-4)
    nested: bool = False
    kernel_widths: tuple[str, ...] = ("silverman",)
    covariances: tuple[str, ...] = ("derived",)
    seed: int = 0

    def __post_init__(self) -> None:
        if self.num_original < 2:
            raise InputError.setting(
                "num_original", self.num_original, "at least 2: a kernel width needs two points"
            )
        check_points(self.num_original, self.dim, self.sigma)
        for name in ("final_time", "noise_scale"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError.setting(name, getattr(self, name), "a finite number above 0")
        if not math.isfinite(self.mean):
            raise InputError.setting("mean", self.mean, "a finite number")
        if self.seed < 0:
            raise InputError.setting("seed", self.seed, "at least 0")
        for width in self.kernel_widths:
            kernel_width(width, 2, 1)
        for covariance in self.covariances:
            linear_denoiser.check_covariance(covariance)

    def check_num_train(self, num_train: int) -> None:
        """Raises InputError unless n training points can be had."""
        check_points(num_train, self.dim, self.sigma)
        if self.nested and num_train > self.num_original:
            allowed = f"at most num_original={self.num_original}, of which nested sets are parts; or set nested=False"
            raise InputError.setting("num_train", num_train, allowed)

    def widths(self, num_points: int) -> Float[np.ndarray, " width"]:
        """The kernel widths ε of n points, one for each reading."""
        return np.array([kernel_width(name, num_points, self.dim, self.sigma) for name in self.kernel_widths])


class Draws(NamedTuple):
    """What one simulation draws; a training set of size n takes the first n rows."""

    original: Float[Array | np.ndarray, "*simulation num_original dim"]
    train: Float[Array | np.ndarray, "*simulation largest dim"]
    noise: Float[Array | np.ndarray, "*simulation largest dim"]


class Outcome(NamedTuple):
    """What simulations measure at one n; the axes `covariance` and `width` are the readings."""

    squared_hellinger: Float[Array | np.ndarray, "*simulation covariance"]
    log_e_tg: Float[Array | np.ndarray, "*simulation covariance width"]  # +inf for n ≤ d
    log_e_og: Float[Array | np.ndarray, "*simulation covariance width"]
    log_ratio: Float[Array | np.ndarray, "*simulation covariance width"]  # the sign of Δ


def draw(model: LinearModel, simulation: int, largest: int) -> Draws:
    """The data of one simulation: the same whatever else is simulated, and in what order.

    Args:
      simulation: its number, ≥ 0.
      largest: rows of the training set.
    """

    def points(purpose: int, rows: int) -> Float[np.ndarray, "rows dim"]:
        name = (model.seed, model.dim, simulation, purpose)
        return np.random.default_rng(name).standard_normal((rows, model.dim))

    original = model.mean + model.sigma * points(_ORIGINAL, model.num_original)
    train = original[:largest] if model.nested else model.mean + model.sigma * points(_TRAIN, largest)
    return Draws(original, train, points(_NOISE, largest))


@takes_arrays
def simulate(
    model: LinearModel, num_train: tuple[int, ...], simulations: range, *, together: Positive = 8
) -> dict[int, Outcome]:
    """Many independent simulations at several training-set sizes.

    Within one simulation the sets of different n are prefixes of one draw and share one original set;
    different simulations share nothing. Everything is float64: Δ is a small difference.

    Args:
      num_train: the sizes n, each ≥ 2.
      simulations: numbers of the simulations.
      together: simulations vmapped at once; memory is about 50 · together · N · d bytes.
    Returns:
      For each n an `Outcome` of NumPy arrays with a leading axis `simulation`.
    Raises:
      InputError: when a size or a number of simulations is out of range.
    """
    if not num_train or not simulations:
        raise InputError("there is nothing to simulate; give at least one num_train and simulation.")
    for size in num_train:
        model.check_num_train(size)
    parts: dict[int, list[Outcome]] = {size: [] for size in num_train}
    with jax.enable_x64(True):
        for first in range(simulations.start, simulations.stop, together):
            numbers = range(first, min(first + together, simulations.stop))
            drawn = [draw(model, number, max(num_train)) for number in numbers]
            draws = jax.tree.map(lambda *arrays: jnp.asarray(np.stack(arrays)), *drawn)
            log_oo = _self_overlaps(draws.original, model.widths(model.num_original), model.num_original)
            for size in num_train:
                outcome = _measure(model, draws, log_oo, size)
                parts[size].append(jax.tree.map(np.asarray, outcome))
    return {
        size: jax.tree.map(lambda *values: np.concatenate(values), *outcomes)
        for size, outcomes in parts.items()
    }


def _measure(
    model: LinearModel, draws: Draws, log_oo: Float[Array, "simulation width"], num_train: int
) -> Outcome:
    """Fits the denoiser to the first n training points of each simulation and measures ρ_G."""
    rows = min(_rows(num_train), draws.train.shape[1])
    clean, noise = draws.train[:, :rows], draws.noise[:, :rows]
    fitted = _one_at_a_time(_fit, model, clean, noise, num_train)
    widths = model.widths(num_train)
    log_tt = _self_overlaps(clean, widths, num_train)

    def one_covariance(name: str) -> Outcome:
        made = _one_at_a_time(_generated, fitted, name)
        log_tg = _cross_overlaps(clean, widths, made, num_train)
        log_og = _cross_overlaps(draws.original, model.widths(model.num_original), made, model.num_original)
        return _one_at_a_time(_compare, model, made, LogOverlaps(log_tt, log_oo, log_tg, log_og))

    readings = [one_covariance(name) for name in model.covariances]
    return jax.tree.map(lambda *values: jnp.stack(values, 1), *readings)


def _one_at_a_time(program: Callable, *arguments: Any) -> Any:
    """Runs a program that decomposes a batch of matrices while no other thread of this process does.

    On a CPU such a decomposition waits, in a thread of XLA's pool, for others of that pool: two at once on two
    cores would wait for ever.
    """
    arguments = jax.block_until_ready(arguments)  # outside the lock: the long overlaps go on side by side
    with _DECOMPOSING:
        return jax.block_until_ready(program(*arguments))


def _rows(num_train: int) -> int:
    """Rows of the program for n points: a few shapes serve all small n, and large n waste nothing."""
    return next((rows for rows in (16, 64, 256, 1024) if num_train <= rows), num_train)


@partial(jax.jit, static_argnums=0)
def _fit(model: LinearModel, clean: Array, noise: Array, num_train: Array) -> LinearDenoiser:
    def one(clean: Array, noise: Array) -> LinearDenoiser:
        return linear_denoiser.fit(clean, noise, model.final_time, model.noise_scale, num_train)

    return jax.vmap(one)(clean, noise)


@jax.jit
def _self_overlaps(points: Array, widths: Array, num_points: Array) -> Array:
    # One simulation after the other: the tiles of one fill the cache (10 times faster than vmap).
    return jax.lax.map(lambda one: distances.log_self_overlap(one, widths, num_points), points)


@jax.jit
def _cross_overlaps(points: Array, widths: Array, made: Gaussian, num_points: Array) -> Array:
    def one(points: Array, made: Gaussian) -> Array:
        return distances.log_cross_overlap(points, widths, made, num_points)

    return jax.vmap(one)(points, made)


@partial(jax.jit, static_argnums=1)
def _generated(fitted: LinearDenoiser, covariance: str) -> Gaussian:
    return jax.vmap(lambda one: linear_denoiser.generated(one, covariance))(fitted)


@partial(jax.jit, static_argnums=0)
def _compare(model: LinearModel, made: Gaussian, overlaps: LogOverlaps) -> Outcome:
    truth = isotropic(jnp.full(model.dim, model.mean), model.sigma)

    def one(made: Gaussian, logs: LogOverlaps) -> Outcome:
        log_gg = jnp.broadcast_to(distances.log_gaussian_overlap(made), logs.tt.shape)
        return Outcome(
            squared_hellinger=squared_hellinger(truth, made),
            log_e_tg=distances.log_squared_distance(logs.tt, log_gg, logs.tg),
            log_e_og=distances.log_squared_distance(logs.oo, log_gg, logs.og),
            log_ratio=distances.log_ratio(logs),
        )

    return jax.vmap(one)(made, overlaps)
