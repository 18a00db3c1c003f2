"""Densities of single coordinates: distances as sums over pixels (Onset 2024, section 4).

In many dimensions the densities of a network cannot be compared as a whole, so the paper compares those of
every coordinate and adds up.
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.shapes import Scalar


@takes_arrays
@jax.jit
def coordinate_kernels(
    a: Float[Array, "left dim"], b: Float[Array, "right dim"], variance: Scalar
) -> Float[Array, "left right"]:
    """Σ_i N(a_i - b_i; 0, v) over the coordinates, for every pair of points.

    The mean of the matrix is Σ_i ∫ρ_{a,i} ρ_{b,i} for kernel widths with ε_a² + ε_b² = v, exactly
    (Onset 2024, Eqs. 23-24 with the integral done). One coordinate at a time: memory is the matrix.
    Differences are taken before squaring, so float32 keeps 1e-6 of every term.
    """

    def add(total: Float[Array, "left right"], columns: tuple) -> tuple[Float[Array, "left right"], None]:
        x, y = columns
        return total + jnp.exp(-jnp.square(x[:, None] - y[None, :]) / (2 * variance)), None

    start = jnp.zeros((a.shape[0], b.shape[0]), a.dtype)
    total, _ = jax.lax.scan(add, start, (a.T, b.T))
    return total / jnp.sqrt(2 * math.pi * variance)


@takes_arrays
def overlaps_on_grid(
    a: Float[Array, "left dim"],
    b: Float[Array, "right dim"],
    width_a: Scalar,
    width_b: Scalar,
    num_points: Positive = 16,
) -> Scalar:
    """Σ_i ∫ρ_{a,i} ρ_{b,i} as the paper takes it: a sum over equidistant points of (0, 1).

    The points are the centres of `num_points` equal cells (Onset 2024, caption of Fig. 4). Kernels of
    width σ/n fall between them: the sum aliases, and is right only for wide kernels.
    """
    grid = (jnp.arange(num_points, dtype=a.dtype) + 0.5) / num_points

    def density(points: Float[Array, "item dim"], width: Scalar) -> Float[Array, "dim grid"]:
        def add(total: Float[Array, "dim grid"], x: Float[Array, " dim"]) -> tuple:
            return total + jnp.exp(-jnp.square((grid[None, :] - x[:, None]) / width) / 2), None

        total, _ = jax.lax.scan(add, jnp.zeros((points.shape[1], num_points), points.dtype), points)
        return total / (points.shape[0] * math.sqrt(2 * math.pi) * width)

    return jnp.sum(density(a, width_a) * density(b, width_b)) / num_points
