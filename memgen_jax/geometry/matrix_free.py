"""Curvature without the matrix: products with it and with its transpose are enough.

One jvp multiplies dD/dx by a vector, one vjp multiplies its transpose. From these come the largest singular
values of the slope m dD/dx by randomised subspace iteration (Halko, Martinsson & Tropp 2011, Alg. 4.4),
whose complements are the near-zero singular values of A = I - m dD/dx, and traces with error bars by
Hutchinson's estimator. Memory grows with N times the rank, never with N^2.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Denoiser, Process
from memgen_jax.errors import InputError
from memgen_jax.geometry.curvature import flat_map
from memgen_jax.shapes import Scalar

Product = Callable[[jax.Array], jax.Array]


class TopSingular(NamedTuple):
    """The largest singular values of a matrix, descending, and their right singular vectors (columns)."""

    values: Float[Array, " rank"]
    vectors: Float[Array, "dim rank"]


class FlatDirections(NamedTuple):
    """Where the curvature is smallest.

    Attributes:
      slopes: the largest singular values of m dD/dx, descending; near 1 where the sample is free to move.
      singular_values: the smallest singular values of A, ascending, as seen from that subspace: exact for
        the symmetric Jacobian of a true density, else an upper bound on each (Courant-Fischer).
    """

    slopes: Float[Array, " rank"]
    singular_values: Float[Array, " rank"]


class Trace(NamedTuple):
    """Hutchinson's estimate of a trace and its standard error."""

    mean: Scalar
    standard_error: Scalar


@takes_arrays
def slope_products(
    clean: Float[Array, "*item"], t: Scalar, denoiser: Denoiser, process: Process
) -> tuple[Product, Product]:
    """v -> B v and u -> B^T u for the slope B = m dD/dx at (m(t) clean, t), on flat vectors."""
    mean = process.mean_coefficient(t)
    function = flat_map(denoiser, t, clean.shape)
    x = (mean * clean).reshape(-1)
    _, push = jax.linearize(function, x)
    _, pull = jax.vjp(function, x)
    return (lambda v: mean * push(v)), (lambda u: mean * pull(u)[0])


@takes_arrays
def top_singular(
    key: PRNGKeyArray,
    product: Product,
    transpose: Product,
    dim: Positive,
    rank: Positive,
    *,
    oversample: NotNegative = 8,
    iterations: NotNegative = 8,
    columns_at_once: Positive | None = None,
) -> TopSingular:
    """The `rank` largest singular values of a square matrix that is given by its products.

    The error of value i falls like (s_{rank + oversample + 1} / s_i)^(4 iterations). Of the rank +
    oversample columns, `columns_at_once` are multiplied together; None takes all.
    """
    if not 1 <= rank <= dim:
        raise InputError.setting("rank", rank, f"in 1..{dim}, the dimension")
    width = min(rank + oversample, dim)
    apply = _over_columns(product, columns_at_once)
    apply_transpose = _over_columns(transpose, columns_at_once)
    basis, _ = jnp.linalg.qr(jax.random.normal(key, (dim, width)))

    def refine(_: Int[Array, ""], basis: jax.Array) -> jax.Array:
        image, _ = jnp.linalg.qr(apply(basis))
        return jnp.linalg.qr(apply_transpose(image))[0]

    basis = jax.lax.fori_loop(0, iterations, refine, basis)
    _, values, rotation = jnp.linalg.svd(apply(basis), full_matrices=False)
    return TopSingular(values[:rank], basis @ rotation.T[:, :rank])


@takes_arrays
def flat_directions(
    key: PRNGKeyArray,
    clean: Float[Array, "*item"],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    rank: Positive,
    oversample: NotNegative = 8,
    iterations: NotNegative = 8,
    columns_at_once: Positive | None = None,
) -> FlatDirections:
    """The near-zero end of A's spectrum by randomised subspace iteration with jvp and vjp.

    Args: as for `curvature.spectrum`, and `rank`, how many values are wanted.
    """
    push, pull = slope_products(clean, t, denoiser, process)
    slopes, vectors = top_singular(
        key,
        push,
        pull,
        clean.size,
        rank,
        oversample=oversample,
        iterations=iterations,
        columns_at_once=columns_at_once,
    )
    curved = vectors - _over_columns(push, columns_at_once)(vectors)
    return FlatDirections(slopes, jnp.linalg.svd(curved, compute_uv=False)[::-1])


def _over_columns(product: Product, columns_at_once: Positive | None) -> Product:
    """Multiplies every column of a matrix, `columns_at_once` together."""
    if columns_at_once is None:
        return jax.vmap(product, 1, 1)
    return lambda matrix: jax.lax.map(product, matrix.T, batch_size=columns_at_once).T


@takes_arrays
def trace(key: PRNGKeyArray, product: Product, dim: Positive, *, probes: Positive = 32) -> Trace:
    """Hutchinson's estimate of a trace: the mean of z . (M z) over Rademacher probes z, one at a time.

    Probe i is drawn from fold_in(key, i). For a symmetric M the variance of one probe is twice the sum of
    the squared off-diagonal entries.
    """
    if probes < 2:
        raise InputError.setting("probes", probes, "at least 2: the error bar needs two")

    def one(probe: jax.Array) -> jax.Array:
        z = jax.random.rademacher(jax.random.fold_in(key, probe), (dim,), jnp.float32)
        return jnp.vdot(z, product(z))

    values = jax.lax.map(one, jnp.arange(probes))
    return Trace(jnp.mean(values), jnp.std(values, ddof=1) / probes**0.5)


@takes_arrays
def curvature_trace(
    key: PRNGKeyArray,
    clean: Float[Array, "*item"],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    probes: Positive = 32,
) -> Trace:
    """tr A = N - m tr dD/dx with its standard error, by one jvp a probe."""
    push, _ = slope_products(clean, t, denoiser, process)
    estimate = trace(key, push, clean.size, probes=probes)
    return Trace(clean.size - estimate.mean, estimate.standard_error)
