"""The diffusion model that knows its training set by heart, seen as a dense associative memory.

For a finite set of patterns xi^mu (the training items) every quantity of the noised empirical
distribution is closed-form. All of them are moments of one softmax over the patterns,

  w_mu = softmax_mu(-beta |x - xi^mu|^2),

the retrieval of the memory of Pham et al. 2025, Eq. 7. A process x_t = m x_0 + s noise is that memory
at beta = m^2 / (2 s^2), queried at x / m (VE with m = 1: beta = 1 / (2 sigma^2 t)), so one function,
`posterior`, serves them all. It walks over the patterns in tiles and carries the running maximum, so
neither 60,000 patterns nor 12,288 dimensions need more memory than one tile.

Everything is written for one item; batch with `jax.vmap`, which turns the products with the patterns
into matrix products. Throughout, t lies in (0, process.t_max] in the process's own units, beta is positive,
and `patterns`, `num_valid` and `tile` mean what `posterior` says; a number outside its range is an
`InputError`. Energies are squared lengths, log densities are in nats.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import as_number, takes_arrays
from memgen_jax.diffusion.processes import Denoiser, Process, require_time
from memgen_jax.errors import InputError
from memgen_jax.shapes import Scalar

Item = Float[Array, "*item"]
Patterns = Float[Array, "num_patterns *item"]
Number = Scalar | float
Count = Int[Array, ""] | int | np.integer | None

TILE = 4096  # patterns per tile: 1,000 queries take 16 MB of weights

# Up to this dimension distances come from differences, exact to rounding at any temperature. Beyond,
# |x|^2 - 2 x.xi + |xi|^2 of centred vectors is a matrix product; it errs by about 1e-7 |x| |xi| in the
# squared distance, which only ranks neighbours that are closer to each other than that.
MAX_DIM_OF_DIFFERENCES = 16


class Posterior(NamedTuple):
    """Moments of the patterns under the weights softmax(-beta |x - xi|^2).

    Attributes:
      log_sum: log sum_mu exp(-beta |x - xi^mu|^2).
      mean: sum_mu w_mu xi^mu, the memory's one-step answer and the exact denoiser.
    """

    log_sum: Scalar
    mean: Float[Array, "*item"]


class _Tiles(NamedTuple):
    """Patterns, flattened and centred, padded to whole tiles."""

    rows: Float[Array, "num_tiles tile dim"]
    valid: Array  # bool [num_tiles, tile]
    centre: Float[Array, " dim"]


@takes_arrays
def posterior(
    x: Item, patterns: Patterns, beta: Number, *, num_valid: Count = None, tile: Positive = TILE
) -> Posterior:
    """What the memory answers to a query at inverse temperature beta (Pham et al. 2025, Eq. 7).

    Args:
      x: the query, one item.
      patterns: the stored patterns, items of the query's shape.
      beta: inverse temperature, positive.
      num_valid: only the first `num_valid` patterns count, in 1..num_patterns; may be traced, so that
        one compiled function serves every subset size K.
      tile: patterns taken at a time.
    Raises:
      InputError: for no patterns, or a beta, num_valid or tile outside its range.
    """
    require_temperature(beta)
    return _posterior(x, _tiles(patterns, num_valid, tile), beta)


@takes_arrays
def exact_denoiser(
    patterns: Patterns, process: Process, *, num_valid: Count = None, tile: Positive = TILE
) -> Denoiser:
    """E[x_0 | x_t] when x_0 is one of the patterns: the perfect memorizer, as a `Denoiser`.

    It is the answer of `posterior` to x / m at beta = m^2 / (2 s^2).

    >>> import jax.numpy as jnp
    >>> from memgen_jax import diffusion, exact_denoiser
    >>> patterns = jnp.array([[-1.0, 0.0], [1.0, 0.0]])
    >>> denoiser = exact_denoiser(patterns, diffusion.VE())
    >>> [round(float(x), 4) for x in denoiser(jnp.array([0.9, 0.3]), jnp.float32(0.1))]
    [1.0, 0.0]
    """
    tiles = _tiles(patterns, num_valid, tile)

    @takes_arrays
    def denoiser(x: Item, t: Number) -> Item:
        query, beta = _as_memory(x, t, process)
        return _posterior(query, tiles, beta).mean

    return denoiser


@takes_arrays
def log_density(
    x: Item,
    patterns: Patterns,
    t: Number,
    process: Process,
    *,
    num_valid: Count = None,
    tile: Positive = TILE,
) -> Scalar:
    """log p(x, t) of the noised empirical distribution, normalised (Pham et al. 2025, Eq. 5)."""
    query, beta = _as_memory(x, t, process)
    count = jnp.asarray(len(patterns) if num_valid is None else num_valid).astype(x.dtype)
    log_sum = posterior(query, patterns, beta, num_valid=num_valid, tile=tile).log_sum
    return log_sum - jnp.log(count) - 0.5 * x.size * jnp.log(2 * np.pi * process.std(t) ** 2)


@takes_arrays
def energy_dm(
    x: Item,
    patterns: Patterns,
    t: Number,
    process: Process,
    *,
    num_valid: Count = None,
    tile: Positive = TILE,
) -> Scalar:
    """E_DM(x, t) = -2 s^2 log sum_mu exp(-|x - m xi^mu|^2 / (2 s^2)) (Pham et al. 2025, Eq. 6)."""
    query, beta = _as_memory(x, t, process)
    log_sum = posterior(query, patterns, beta, num_valid=num_valid, tile=tile).log_sum
    return -2 * process.std(t) ** 2 * log_sum


@takes_arrays
def energy_am(
    x: Item, patterns: Patterns, beta: Number, *, num_valid: Count = None, tile: Positive = TILE
) -> Scalar:
    """E_AM(x) = -log(sum_mu exp(-beta |x - xi^mu|^2)) / beta (Pham et al. 2025, Eq. 7).

    >>> import jax.numpy as jnp
    >>> from memgen_jax import memory
    >>> patterns = jnp.array([[1.0, 0.0], [-1.0, 0.0]])
    >>> round(float(memory.energy_am(jnp.array([0.0, 0.0]), patterns, 20.0)), 4)  # 1 - log(2) / beta
    0.9653
    """
    return -posterior(x, patterns, beta, num_valid=num_valid, tile=tile).log_sum / beta


@takes_arrays
def exact_score(
    x: Item,
    patterns: Patterns,
    t: Number,
    process: Process,
    *,
    num_valid: Count = None,
    tile: Positive = TILE,
) -> Item:
    """grad log p(x, t) = (m sum_mu w_mu xi^mu - x) / s^2, the gradient of `log_density`.

    >>> import jax.numpy as jnp
    >>> from memgen_jax import diffusion, memory
    >>> one = jnp.array([[1.0, 0.0]])
    >>> memory.exact_score(jnp.array([0.0, 0.0]), one, 0.5, diffusion.VE()).tolist()  # (pattern - x) / (sigma^2 t)
    [2.000000238418579, 0.0]
    """
    query, beta = _as_memory(x, t, process)
    mean = posterior(query, patterns, beta, num_valid=num_valid, tile=tile).mean
    return process.score_from_denoised(mean, x, t)


@takes_arrays
def exact_jacobian(
    x: Item,
    patterns: Patterns,
    t: Number,
    process: Process,
    *,
    num_valid: Count = None,
    tile: Positive = TILE,
) -> Float[Array, "dim dim"]:
    """Jacobian of the exact score, (m^2 Cov_w(xi) / s^2 - I) / s^2, of the flattened item.

    -s^2 times it is I at a point attractor and has one eigenvalue near 0 per flat direction.
    """
    query, beta = _as_memory(x, t, process)
    tiles = _tiles(patterns, num_valid, tile)
    answer = _posterior(query, tiles, beta)
    mean = answer.mean.reshape(-1) - tiles.centre

    def add(covariance: jax.Array, rows_valid: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rows, valid = rows_valid
        weights = jnp.exp(_logits(query, tiles.centre, rows, valid, beta) - answer.log_sum)
        # About the mean in a second pass: the difference of raw moments would cancel at small s.
        offset = rows - mean[None]
        product = jnp.matmul((weights[:, None] * offset).T, offset, precision="highest")
        return covariance + product, None

    covariance, _ = jax.lax.scan(add, jnp.zeros((x.size, x.size), x.dtype), (tiles.rows, tiles.valid))
    variance = process.std(t) ** 2
    scaled = process.mean_coefficient(t) ** 2 / variance * covariance
    return (scaled - jnp.eye(x.size, dtype=x.dtype)) / variance


def require_temperature(beta: Number) -> None:
    """Refuses a beta that is not positive; one that is traced has no value yet and passes."""
    if not isinstance(beta, jax.core.Tracer) and not as_number("beta", beta) > 0:
        raise InputError.setting("beta", float(beta), "positive")


def _as_memory(x: jax.Array, t: Number, process: Process) -> tuple[jax.Array, jax.Array]:
    """The query and the inverse temperature at which the memory is asked for E[x_0 | x_t = x]."""
    require_time(t, process)
    mean, std = process.mean_coefficient(t), process.std(t)
    return x / mean, mean**2 / (2 * std**2)


def _tiles(patterns: jax.Array, num_valid: Count, tile: int) -> _Tiles:
    if patterns.ndim < 1:
        raise InputError("patterns are one number: give items, one a row.")
    count = len(patterns)
    if count == 0:
        raise InputError("the memory holds num_patterns=0 patterns: give at least one.")
    if isinstance(num_valid, (int, np.integer)) and not 1 <= num_valid <= count:
        raise InputError.setting("num_valid", int(num_valid), f"in 1..{count}, the number of patterns")
    if tile < 1:
        raise InputError.setting("tile", tile, "at least 1 pattern")
    rows = patterns.reshape(count, -1)
    dim = rows.shape[1]
    valid = jnp.arange(count) < (count if num_valid is None else num_valid)
    # Centring keeps the rounding of the matrix product small: images share a bright or dark ground.
    centre = jnp.mean(rows, axis=0, where=valid[:, None])
    tile = min(tile, count)
    padding = -count % tile
    rows = jnp.pad(rows - centre[None], ((0, padding), (0, 0)))
    valid = jnp.pad(valid, (0, padding))
    return _Tiles(rows.reshape(-1, tile, dim), valid.reshape(-1, tile), centre)


def _logits(
    x: jax.Array, centre: jax.Array, rows: jax.Array, valid: jax.Array, beta: Number
) -> Float[Array, " tile"]:
    """-beta |x - xi^mu|^2 for one tile of centred rows; -inf where a row does not count."""
    x = x.reshape(-1) - centre
    if x.size <= MAX_DIM_OF_DIFFERENCES:
        squared = jnp.sum((x[None] - rows) ** 2, axis=-1)
    else:
        product = jnp.matmul(rows, x, precision="highest")
        squared = jnp.sum(x**2) - 2 * product + jnp.sum(rows**2, axis=-1)
    return jnp.where(valid, -beta * squared, -jnp.inf)


def _posterior(x: jax.Array, tiles: _Tiles, beta: Number) -> Posterior:
    if x.size != tiles.rows.shape[-1]:
        raise InputError(
            f"x has shape {x.shape}, {x.size} numbers, and each pattern {tiles.rows.shape[-1]}: give one item of theirs"
        )

    def add(
        carry: tuple[jax.Array, jax.Array, jax.Array], rows_valid: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array, jax.Array], None]:
        maximum, total, weighted = carry
        rows, valid = rows_valid
        logits = _logits(x, tiles.centre, rows, valid, beta)
        # The sums do not depend on the maximum that is taken out, so no derivative flows through it.
        new_maximum = jax.lax.stop_gradient(jnp.maximum(maximum, jnp.max(logits)))
        weights = jnp.exp(logits - new_maximum)
        shrink = jnp.exp(maximum - new_maximum)
        total = shrink * total + jnp.sum(weights)
        weighted = shrink * weighted + jnp.matmul(weights, rows, precision="highest")
        return (new_maximum, total, weighted), None

    # The first tile holds a valid row, so its maximum is finite: start from it and scan the rest.
    dim = tiles.rows.shape[-1]
    start = (jnp.full((), -jnp.inf, x.dtype), jnp.zeros((), x.dtype), jnp.zeros(dim, x.dtype))
    carry, _ = add(start, (tiles.rows[0], tiles.valid[0]))
    if len(tiles.rows) > 1:
        carry, _ = jax.lax.scan(add, carry, (tiles.rows[1:], tiles.valid[1:]))
    maximum, total, weighted = carry
    mean = (tiles.centre + weighted / total).reshape(x.shape)
    return Posterior(maximum + jnp.log(total), mean)
