"""How far can a sample be noised and still come back? Basins of attraction, one item at a time.

A sample is noised to a level t with fresh noise and brought back by a deterministic reverse process
(DDIM, eta = 0). The largest level from which it still returns to itself is its critical time; the size of
the noise there is the radius of its basin, and the ball of that radius its volume (long version of Pham et
al. 2025, App. C). The ball is an isotropic proxy, and in a variance-preserving process its radius is nearly
a function of the critical time alone: read the recovery curve and the critical time first.

Everything is written for one item; batch with `jax.vmap`. Levels are traced: one compiled function serves
every level. A network whose answer should stay in the data's range is passed as `diffusion.clipped(...)`.
"""

import dataclasses
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import DDPM, Denoiser, Process, advance, ddim_step
from memgen_jax.errors import InputError
from memgen_jax.metrics import PairDistance, euclidean
from memgen_jax.shapes import Scalar

# Of the copies at a level, the share that must return for the level to count (App. C).
REQUIRED = 0.9
COPIES = 10
STEPS = 20


# The names of the random streams of one sample.
_RECOVERY, _RADIUS = 0, 1


class Basin(NamedTuple):
    """The basin of one sample.

    Attributes:
      critical_time: last level before the first that fails, in the process's time; 0 if the first fails.
      radius: |x - x_t| at the critical time, averaged over fresh noise, in the data's units.
      log_volume: natural logarithm of the volume of the ball of that radius; -inf where it is 0.
      recovered: per level, the share of copies that came back.
      distance: per level and copy, how far from the sample it came back.
    """

    critical_time: Scalar
    radius: Scalar
    log_volume: Scalar
    recovered: Float[Array, " level"]
    distance: Float[Array, "level copy"]


@takes_arrays
def default_levels(process: Process, count: Positive = 20) -> Float[np.ndarray, " level"]:
    """Fractions 1/count, 2/count, ..., 1 of the process's largest time (App. C: 0.05, 0.10, ..., 1)."""
    if count < 1:
        raise InputError(f"levels={count} must be at least 1.")
    return (process.t_max * np.arange(1, count + 1) / count).astype(np.float32)


def return_times(process: Process, t: Scalar, num_steps: int) -> Float[Array, " steps_plus_1"]:
    """Evenly spaced times from t down to the end; for DDPM rounded up to whole steps.

    A network of DDPM has only seen whole times. Rounding up leaves equal neighbours when there are more
    steps than times, and a step between equal times changes nothing.
    """
    last = process.t_min
    times = last + (t - last) * jnp.linspace(1.0, 0.0, num_steps + 1, dtype=t.dtype)
    # 1e-3 is far above float32's rounding: a time that should be whole is not rounded up to the next.
    return jnp.ceil(times - 1e-3) if isinstance(process, DDPM) else times


@takes_arrays
def go_and_return(
    key: PRNGKeyArray,
    clean: Float[Array, "*item"],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    num_steps: Positive = STEPS,
) -> tuple[Float[Array, "*item"], Float[Array, "*item"]]:
    """Noises one copy of a sample to level t and brings it back.

    Returns:
      The noised copy x_t, and what came back at the end of `num_steps` DDIM steps with eta = 0.
    """
    noised = process.perturb(clean, jax.random.normal(key, clean.shape, clean.dtype), t)
    times = return_times(process, t, num_steps)
    # The reverse is deterministic: the key goes in because the step's type asks for one.
    return noised, advance(key, noised, times, 0, ddim_step, denoiser, process)


@takes_arrays
@dataclasses.dataclass(frozen=True, eq=False)
class Basins:
    """How deep the attractors of one model are, sample by sample (long version of Pham et al. 2025, App. C).

    Attributes:
      denoiser: E[x_0 | x_t]; clip it outside where the data have a range.
      levels: ascending times in (0, t_max].
      delta: a copy counts as recovered when `distance(clean, back) <= delta`.
      distance: any distance of two items, in the scale of `delta` (LPIPS is squared, L2 is not).
      copies: noised copies per level.
      num_steps: DDIM steps of each return.
      required: share of the copies that must be recovered for a level to hold, in (0, 1].
      levels_at_once: levels whose copies are in memory together; None takes all.
    Raises:
      InputError: a number is out of range.

    >>> import jax, jax.numpy as jnp
    >>> from memgen_jax import Basins, diffusion, exact_denoiser
    >>> patterns, process = jnp.array([[-1.0, 0.0], [1.0, 0.0]]), diffusion.DDPM()
    >>> measure = Basins(exact_denoiser(patterns, process), process, jnp.array([100.0, 900.0]), delta=0.3)
    >>> found = measure(jax.random.key(0), patterns[0])
    >>> float(found.critical_time)  # back from t = 100 of 1000, not from 900
    100.0
    """

    denoiser: Denoiser
    process: Process
    levels: Float[Array, " level"]
    delta: float
    distance: PairDistance = euclidean
    copies: Positive = COPIES
    num_steps: Positive = STEPS
    required: float = REQUIRED
    levels_at_once: int | None = None

    def __post_init__(self):
        for name, value in (
            ("levels", len(self.levels)),
            ("copies", self.copies),
            ("num_steps", self.num_steps),
        ):
            if value < 1:
                raise InputError.setting(name, value, "at least 1")
        if not 0 < self.required <= 1:
            raise InputError.setting("required", self.required, "a share of the copies, in (0, 1]")

    @takes_arrays
    def __call__(self, key: PRNGKeyArray, clean: Float[Array, "*item"]) -> Basin:
        """Scans all levels of one sample.

        Args:
          key: names this sample's noise; level i takes fold_in(., i) of it, whatever the other levels are.
          clean: the sample, in the process's data space.
        """
        noise_key = jax.random.fold_in(key, _RECOVERY)

        def one_level(index_level: tuple[jax.Array, jax.Array]) -> jax.Array:
            index, t = index_level
            return self.return_distances(jax.random.fold_in(noise_key, index), clean, t)

        numbered = (jnp.arange(len(self.levels)), self.levels)
        if self.levels_at_once is None:
            distances = jax.vmap(one_level)(numbered)
        else:
            distances = jax.lax.map(one_level, numbered, batch_size=self.levels_at_once)
        recovered = jnp.mean((distances <= self.delta).astype(jnp.float32), axis=1)
        t_c = critical_time(self.levels, holds(recovered, self.required))
        radius = basin_radius(key, clean, t_c, self.process, copies=self.copies)
        return Basin(t_c, radius, log_volume(radius, clean.size), recovered, distances)

    @takes_arrays
    def bisect(self, key: PRNGKeyArray, clean: Float[Array, "*item"]) -> tuple[Scalar, Scalar, Scalar]:
        """The same critical time from log2(levels) probes instead of all levels, without the curve.

        Equal to the scan, probe by probe the same noise, where recovery is monotone: every level below the
        critical one holds and every level above it fails. Where it is not, this finds one of the levels at
        which a held level stands next to a failed one.

        Returns:
          Critical time, radius and log volume.
        """
        noise_key = jax.random.fold_in(key, _RECOVERY)
        count = len(self.levels)

        def probe(_: Int[Array, ""], bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            held, failed = bounds  # numbers of levels: the first `held` hold, number `failed` does not
            middle = (held + failed) // 2
            level = jnp.clip(middle - 1, 0, count - 1)
            distances = self.return_distances(jax.random.fold_in(noise_key, level), clean, self.levels[level])
            ok = holds(jnp.mean((distances <= self.delta).astype(jnp.float32)), self.required)
            open_ = failed - held > 1
            return jnp.where(open_ & ok, middle, held), jnp.where(open_ & ~ok, middle, failed)

        bounds = (jnp.int32(0), jnp.int32(count + 1))
        held, _ = jax.lax.fori_loop(0, math.ceil(math.log2(count + 1)), probe, bounds)
        t_c = _level_number(self.levels, held)
        radius = basin_radius(key, clean, t_c, self.process, copies=self.copies)
        return t_c, radius, log_volume(radius, clean.size)

    def return_distances(
        self, key: PRNGKeyArray, clean: Float[Array, "*item"], t: Scalar
    ) -> Float[Array, " copy"]:
        """How far from the sample its copies come back from level t; copy i is noised with fold_in(key, i)."""

        def one(copy: jax.Array) -> jax.Array:
            own = jax.random.fold_in(key, copy)
            _, back = go_and_return(own, clean, t, self.denoiser, self.process, num_steps=self.num_steps)
            return self.distance(clean, back)

        return jax.vmap(one)(jnp.arange(self.copies))


def holds(recovered: Float[Array, "*level"], required: float = REQUIRED) -> Bool[Array, "*level"]:
    """Whether a share of recovered copies reaches the required one; 9 of 10 reaches 0.9 in float32 too."""
    return recovered >= required - 1e-6


@takes_arrays
def critical_time(levels: Float[Array, " level"], held: Bool[Array, " level"]) -> Scalar:
    """The last level before the first that does not hold; 0 if that is the first, the last if none is."""
    return _level_number(levels, jnp.sum(jnp.cumprod(held.astype(jnp.int32))))


@takes_arrays
def basin_radius(
    key: PRNGKeyArray,
    clean: Float[Array, "*item"],
    t: Scalar,
    process: Process,
    *,
    copies: Positive = COPIES,
) -> Scalar:
    """|x - x_t| averaged over `copies` draws of noise that the recovery did not use; 0 at t = 0."""
    key = jax.random.fold_in(key, _RADIUS)

    def one(copy: jax.Array) -> jax.Array:
        noise = jax.random.normal(jax.random.fold_in(key, copy), clean.shape, clean.dtype)
        return euclidean(clean, process.perturb(clean, noise, t))

    return jnp.where(t > 0, jnp.mean(jax.vmap(one)(jnp.arange(copies))), 0.0)


@takes_arrays
def log_volume(radius: Scalar, dim: Positive) -> Scalar:
    """Logarithm of the volume of a ball in `dim` dimensions; -inf at radius 0.

    log V = (N/2) log pi + N log r - lgamma(N/2 + 1). The constant is taken in float64.

    >>> import jax.numpy as jnp
    >>> from memgen_jax import geometry
    >>> round(float(geometry.log_volume(jnp.array(1.0), 2)), 4)  # log pi
    1.1447
    >>> float(geometry.log_volume(jnp.array(0.0), 2))
    -inf
    """
    constant = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
    return constant + dim * jnp.log(radius)


def _level_number(levels: Float[Array, " level"], count: Int[Array, ""]) -> Scalar:
    """The count-th level, counted from 1; 0 for none."""
    return jnp.where(count > 0, levels[jnp.maximum(count - 1, 0)], 0.0)
