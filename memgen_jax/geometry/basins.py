"""How far can a sample be noised and still come back? Basins of attraction, one item at a time.

A sample is noised to a level t with fresh noise and brought back by a deterministic reverse process
(DDIM, eta = 0). The largest level from which it still returns to itself is its critical time; the size of
the noise there is the radius of its basin, and the ball of that radius its volume (long version of Pham et
al. 2025, App. C). The ball is an isotropic proxy, and in a variance-preserving process its radius is nearly
a function of the critical time alone: read the recovery curve and the critical time first.

Everything is written for one item; batch with `jax.vmap`. Levels are traced: one compiled function serves
every level. A network whose answer should stay in the data's range is passed as `diffusion.clipped(...)`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from memgen_jax.diffusion import DDPM, Denoiser, Process, advance, ddim_step
from memgen_jax.errors import InputError
from memgen_jax.metrics import PairDistance, euclidean

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

    critical_time: Float[Array, ""]
    radius: Float[Array, ""]
    log_volume: Float[Array, ""]
    recovered: Float[Array, " level"]
    distance: Float[Array, "level copy"]


def default_levels(process: Process, count: int = 20) -> Float[np.ndarray, " level"]:
    """Fractions 1/count, 2/count, ..., 1 of the process's largest time (App. C: 0.05, 0.10, ..., 1)."""
    if count < 1:
        raise InputError.setting("levels", count, "at least 1")
    return (process.t_max * np.arange(1, count + 1) / count).astype(np.float32)


def return_times(process: Process, t: Float[Array, ""], num_steps: int) -> Float[Array, " steps_plus_1"]:
    """Evenly spaced times from t down to the end; for DDPM rounded up to whole steps.

    A network of DDPM has only seen whole times. Rounding up leaves equal neighbours when there are more
    steps than times, and a step between equal times changes nothing.
    """
    last = process.t_min
    times = last + (t - last) * jnp.linspace(1.0, 0.0, num_steps + 1, dtype=t.dtype)
    # The slack keeps a whole time whole in spite of float32 rounding.
    return jnp.ceil(times - 1e-3) if isinstance(process, DDPM) else times


def go_and_return(
    key: jax.Array,
    clean: Float[Array, "*item"],
    t: Float[Array, ""],
    denoiser: Denoiser,
    process: Process,
    *,
    num_steps: int = STEPS,
) -> tuple[Float[Array, "*item"], Float[Array, "*item"]]:
    """Noises one copy of a sample to level t and brings it back.

    Returns:
      The noised copy x_t, and what came back at the end of `num_steps` DDIM steps with eta = 0.
    """
    noised = process.perturb(clean, jax.random.normal(key, clean.shape, clean.dtype), t)
    times = return_times(process, t, num_steps)
    # The reverse is deterministic: the key goes in because the step's type asks for one.
    return noised, advance(key, noised, times, 0, ddim_step, denoiser, process)


def return_distances(
    key: jax.Array,
    clean: Float[Array, "*item"],
    t: Float[Array, ""],
    denoiser: Denoiser,
    process: Process,
    *,
    distance: PairDistance = euclidean,
    copies: int = COPIES,
    num_steps: int = STEPS,
) -> Float[Array, " copy"]:
    """How far from the sample its copies come back from level t; copy i is noised with fold_in(key, i)."""

    def one(copy: jax.Array) -> jax.Array:
        _, back = go_and_return(
            jax.random.fold_in(key, copy), clean, t, denoiser, process, num_steps=num_steps
        )
        return distance(clean, back)

    return jax.vmap(one)(jnp.arange(copies))


def basin(
    key: jax.Array,
    clean: Float[Array, "*item"],
    levels: Float[Array, " level"],
    denoiser: Denoiser,
    process: Process,
    *,
    delta: float,
    distance: PairDistance = euclidean,
    copies: int = COPIES,
    num_steps: int = STEPS,
    required: float = REQUIRED,
    levels_at_once: int | None = None,
) -> Basin:
    """Scans the levels of one sample (long version of Pham et al. 2025, App. C).

    Args:
      key: names this sample's noise; level i takes fold_in(., i) of it, whatever the other levels are.
      clean: the sample, in the process's data space.
      levels: ascending times in (0, t_max].
      denoiser: E[x_0 | x_t]; clip it outside where the data have a range.
      delta: a copy counts as recovered when `distance(clean, back) <= delta`.
      distance: any distance of two items, in the scale of `delta` (LPIPS is squared, L2 is not).
      copies: noised copies per level.
      num_steps: DDIM steps of each return.
      required: share of the copies that must be recovered for a level to hold, in (0, 1].
      levels_at_once: levels whose copies are in memory together; None takes all.
    """
    _check(levels, copies, num_steps, required)
    noise_key = jax.random.fold_in(key, _RECOVERY)

    def one_level(index_level: tuple[jax.Array, jax.Array]) -> jax.Array:
        index, t = index_level
        return return_distances(
            jax.random.fold_in(noise_key, index),
            clean,
            t,
            denoiser,
            process,
            distance=distance,
            copies=copies,
            num_steps=num_steps,
        )

    numbered = (jnp.arange(len(levels)), levels)
    if levels_at_once is None:
        distances = jax.vmap(one_level)(numbered)
    else:
        distances = jax.lax.map(one_level, numbered, batch_size=levels_at_once)
    recovered = jnp.mean((distances <= delta).astype(jnp.float32), axis=1)
    t_c = critical_time(levels, holds(recovered, required))
    radius = basin_radius(key, clean, t_c, process, copies=copies)
    return Basin(t_c, radius, log_volume(radius, clean.size), recovered, distances)


def bisect(
    key: jax.Array,
    clean: Float[Array, "*item"],
    levels: Float[Array, " level"],
    denoiser: Denoiser,
    process: Process,
    *,
    delta: float,
    distance: PairDistance = euclidean,
    copies: int = COPIES,
    num_steps: int = STEPS,
    required: float = REQUIRED,
) -> tuple[Float[Array, ""], Float[Array, ""], Float[Array, ""]]:
    """The same critical time from log2(levels) probes instead of all levels, without the curve.

    Equal to `basin`, probe by probe the same noise, where recovery is monotone: every level below the
    critical one holds and every level above it fails. Where it is not, this finds one of the levels at
    which a held level stands next to a failed one. Args: as for `basin`.

    Returns:
      Critical time, radius and log volume.
    """
    _check(levels, copies, num_steps, required)
    noise_key = jax.random.fold_in(key, _RECOVERY)

    def probe(_: Int[Array, ""], bounds: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        held, failed = bounds  # numbers of levels: the first `held` hold, number `failed` does not
        middle = (held + failed) // 2
        level = jnp.clip(middle - 1, 0, len(levels) - 1)
        distances = return_distances(
            jax.random.fold_in(noise_key, level),
            clean,
            levels[level],
            denoiser,
            process,
            distance=distance,
            copies=copies,
            num_steps=num_steps,
        )
        ok = holds(jnp.mean((distances <= delta).astype(jnp.float32)), required)
        open_ = failed - held > 1
        return jnp.where(open_ & ok, middle, held), jnp.where(open_ & ~ok, middle, failed)

    bounds = (jnp.int32(0), jnp.int32(len(levels) + 1))
    held, _ = jax.lax.fori_loop(0, math.ceil(math.log2(len(levels) + 1)), probe, bounds)
    t_c = _level_number(levels, held)
    radius = basin_radius(key, clean, t_c, process, copies=copies)
    return t_c, radius, log_volume(radius, clean.size)


def holds(recovered: Float[Array, "*level"], required: float = REQUIRED) -> Bool[Array, "*level"]:
    """Whether a share of recovered copies reaches the required one; 9 of 10 reaches 0.9 in float32 too."""
    return recovered >= required - 1e-6


def critical_time(levels: Float[Array, " level"], held: Bool[Array, " level"]) -> Float[Array, ""]:
    """The last level before the first that does not hold; 0 if that is the first, the last if none is."""
    return _level_number(levels, jnp.sum(jnp.cumprod(held.astype(jnp.int32))))


def basin_radius(
    key: jax.Array,
    clean: Float[Array, "*item"],
    t: Float[Array, ""],
    process: Process,
    *,
    copies: int = COPIES,
) -> Float[Array, ""]:
    """|x - x_t| averaged over `copies` draws of noise that the recovery did not use; 0 at t = 0."""
    key = jax.random.fold_in(key, _RADIUS)

    def one(copy: jax.Array) -> jax.Array:
        noise = jax.random.normal(jax.random.fold_in(key, copy), clean.shape, clean.dtype)
        return euclidean(clean, process.perturb(clean, noise, t))

    return jnp.where(t > 0, jnp.mean(jax.vmap(one)(jnp.arange(copies))), 0.0)


def log_volume(radius: Float[Array, ""], dim: int) -> Float[Array, ""]:
    """Logarithm of the volume of a ball in `dim` dimensions; -inf at radius 0.

    log V = (N/2) log pi + N log r - lgamma(N/2 + 1). The constant is taken in float64.
    """
    constant = dim / 2 * math.log(math.pi) - math.lgamma(dim / 2 + 1)
    return constant + dim * jnp.log(radius)


def _level_number(levels: Float[Array, " level"], count: Int[Array, ""]) -> Float[Array, ""]:
    """The count-th level, counted from 1; 0 for none."""
    return jnp.where(count > 0, levels[jnp.maximum(count - 1, 0)], 0.0)


def _check(levels: Float[Array, " level"], copies: int, num_steps: int, required: float) -> None:
    for name, value in (("levels", len(levels)), ("copies", copies), ("num_steps", num_steps)):
        if value < 1:
            raise InputError.setting(name, value, "at least 1")
    if not 0 < required <= 1:
        raise InputError.setting("required", required, "a share of the copies, in (0, 1]")
