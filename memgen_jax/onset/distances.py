"""Squared-L² distances among kernel densities and Gaussians, in closed form and in log space.

Every term is an overlap ∫ρ_a ρ_b of Gaussian sums. In d = 100 they reach e^{±200}, so each is carried
as its logarithm, in float64: Δ is a difference of nearly equal terms.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float, Int

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.onset.gaussians import Gaussian
from memgen_jax.shapes import Scalar


class LogOverlaps(NamedTuple):
    """Logarithms of the overlaps ∫ρ_aρ_b of the training, original and generated densities."""

    tt: Float[Array, "*batch"]
    oo: Float[Array, "*batch"]
    tg: Float[Array, "*batch"]
    og: Float[Array, "*batch"]


@takes_arrays
def log_self_overlap(
    points: Float[Array, "row dim"],
    widths: Float[Array, " width"],
    num_points: Int[Array, ""] | None = None,
    *,
    tile: Positive = 1000,
) -> Float[Array, " width"]:
    """log ∫ρ² of ρ = 1/n Σ_k N(x_k, ε² I), for several ε at once (Onset 2024, Eq. 21, last terms).

    ∫ρ² = (4πε²)^{-d/2} n^{-2} Σ_ij exp(-|x_i - x_j|² / 4ε²). The diagonal gives n to the sum, so no
    exponent needs to be taken out and what underflows is below rounding. Distances come from the Gram
    matrix of the centred points, tile by tile above the diagonal; in float64 that costs 1e-13 |x|²
    (float32 would cost a relative 1e-5 of the sum, as much as Δ itself near n = N).

    Args:
      points: x, float64.
      widths: the ε's, each > 0.
      num_points: n, where only the first n rows count: one compiled program then serves many n.
      tile: rows and columns held at once; memory is 3 · 8 · tile² bytes.
    """
    rows, dim = points.shape
    n = jnp.asarray(rows if num_points is None else num_points, points.dtype)
    tile = min(tile, rows)
    num_tiles = -(-rows // tile)
    points = jnp.pad(points, ((0, num_tiles * tile - rows), (0, 0)))
    counts = jnp.arange(num_tiles * tile, dtype=n.dtype) < n
    mean = jnp.sum(jnp.where(counts[:, None], points, 0), 0) / n
    centred = jnp.where(counts[:, None], points - mean[None, :], 0)
    blocks = centred.reshape(num_tiles, tile, dim)
    # A squared length of +inf keeps the other rows out of every sum: exp(-inf) = 0.
    lengths = jnp.where(counts, jnp.sum(jnp.square(centred), -1), jnp.inf).reshape(num_tiles, tile)
    itself = jnp.eye(tile, dtype=bool)[None] & jnp.isfinite(lengths)[:, :, None]
    rates = 1 / (4 * jnp.square(widths))

    def one_tile(total: Float[Array, " width"], pair: tuple) -> tuple[Float[Array, " width"], None]:
        row, column = pair
        squared = lengths[row][:, None] + lengths[column][None, :] - 2 * blocks[row] @ blocks[column].T
        # A point is at distance exactly 0 from itself; rounding would say 1e-13 |x|².
        squared = jnp.maximum(jnp.where((row == column) & itself[row], 0, squared), 0)
        sums = jax.lax.map(lambda rate: jnp.sum(jnp.exp(-rate * squared)), rates)
        return total + jnp.where(row == column, 1.0, 2.0) * sums, None

    pairs = np.triu_indices(num_tiles)
    total, _ = jax.lax.scan(one_tile, jnp.zeros_like(rates), (jnp.asarray(pairs[0]), jnp.asarray(pairs[1])))
    log_norm = -0.5 * dim * jnp.log(4 * math.pi * jnp.square(widths))
    return log_norm + jnp.log(total) - 2 * jnp.log(n)


@takes_arrays
def log_gaussian_overlap(gaussian: Gaussian) -> Scalar:
    """log ∫ρ_G² = -½ log det(4πΣ); +inf where Σ is singular."""
    return -0.5 * jnp.sum(jnp.log(4 * math.pi * gaussian.variances))


@takes_arrays
def log_cross_overlap(
    points: Float[Array, "row dim"],
    widths: Float[Array, " width"],
    gaussian: Gaussian,
    num_points: Int[Array, ""] | None = None,
) -> Float[Array, " width"]:
    """log ∫ρ ρ_G = log 1/n Σ_k N(x_k; m, Σ + ε² I), for several ε at once.

    The paper's E_TG in Eq. 21 lost the exponential of this term in scanning; E_OG there has it.

    Args:
      points, widths, num_points: as for `log_self_overlap`.
      gaussian: ρ_G.
    """
    rows = points.shape[0]
    n = jnp.asarray(rows if num_points is None else num_points, points.dtype)
    counts = jnp.arange(rows, dtype=n.dtype) < n
    along = jnp.square((points - gaussian.mean[None, :]) @ gaussian.axes)

    def one_width(width: Scalar) -> Scalar:
        variances = gaussian.variances + jnp.square(width)
        log_norm = -0.5 * jnp.sum(jnp.log(2 * math.pi * variances))
        return log_norm + logsumexp(-0.5 * along @ (1 / variances), where=counts) - jnp.log(n)

    return jax.vmap(one_width)(widths)


@takes_arrays
def log_squared_distance(
    log_pp: Float[Array, "*batch"], log_qq: Float[Array, "*batch"], log_pq: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    """log ∫(p - q)² from the three overlaps (Onset 2024, Eq. 19); -inf where rounding leaves nothing."""
    terms = jnp.stack([log_pp, log_qq, log_pq + math.log(2)])
    signs = jnp.asarray([1.0, 1.0, -1.0], terms.dtype).reshape((3,) + (1,) * log_pp.ndim)
    value, sign = logsumexp(terms, axis=0, b=jnp.broadcast_to(signs, terms.shape), return_sign=True)
    return jnp.where(sign > 0, value, -jnp.inf)


@takes_arrays
def log_ratio(overlaps: LogOverlaps) -> Float[Array, "*batch"]:
    """log([TT + 2·OG] / [OO + 2·TG]), which has the sign of Δ = E_TG - E_OG (Onset 2024, Eq. 20).

    The ρ_G² term is common to both distances and is left out, so the sign stands where it diverges.
    """
    two = math.log(2)
    return jnp.logaddexp(overlaps.tt, overlaps.og + two) - jnp.logaddexp(overlaps.oo, overlaps.tg + two)
