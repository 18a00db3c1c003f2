"""How sharply does the score point back? The Jacobian of the score at a sample and small noise.

Everything is said about the dimensionless matrix

  A(x, t) = -s^2 d score / dx = I - m dD/dx,     D(x, t) = E[x_0 | x_t = x] the denoiser,

which is the identity at a point attractor and has k singular values near 0 on a k-dimensional manifold
(long version of Pham et al. 2025, App. D; its exact settings are not public, these are ours). The point is
x = m(t) times the sample, the centre of its noised copies, as FLIPD takes it (Kamkari et al. 2024).

One item; batch with `jax.vmap`. The time is traced. The full matrix suits up to some 3,000 dimensions;
beyond, see `matrix_free`.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from memgen_jax.annotations import Positive, Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Denoiser, Process
from memgen_jax.errors import InputError
from memgen_jax.shapes import Scalar

# Singular values of A below this count as near zero. The cut is ours.
NEAR_ZERO = 0.1


class Spectrum(NamedTuple):
    """The curvature of one item at one time.

    Attributes:
      singular_values: of A, descending.
      eigenvalues: of A's symmetric part, descending. The score of a density has a symmetric Jacobian, and
        then they are the singular values up to sign; a network's differ.
      trace: of A; -s^2 times the divergence of the score.
      scaled_score: s^2 |score|^2 at the same point, the other half of `flipd`.
    """

    singular_values: Float[Array, " dim"]
    eigenvalues: Float[Array, " dim"]
    trace: Scalar
    scaled_score: Scalar


def flat_map(denoiser: Denoiser, t: Scalar, item_shape: tuple[int, ...]) -> Callable:
    """The denoiser at one time, as a function from flat vectors to flat vectors."""
    return lambda flat: denoiser(flat.reshape(item_shape), t).reshape(-1)


@takes_arrays
def curvature_matrix(
    clean: Some[Float[Array, "*item"]],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    columns_per_chunk: Positive | None = None,
) -> Float[Array, "dim dim"]:
    """A = I - m dD/dx at (m(t) clean, t), in full.

    The denoiser is linearised once; its columns are pushed forward `columns_per_chunk` at a time.

    Args:
      clean: the sample, in the process's data space.
      t: a small time > 0.
      denoiser: not clipped: a clipped answer has no slope.
      columns_per_chunk: columns at a time; None takes all. See `columns_within`.
    """
    dim, mean = clean.size, process.mean_coefficient(t)
    _, push = jax.linearize(flat_map(denoiser, t, clean.shape), (mean * clean).reshape(-1))

    def column(index: Int[Array, ""]) -> jax.Array:
        unit = (jnp.arange(dim) == index).astype(clean.dtype)
        return unit - mean * push(unit)

    if columns_per_chunk is None or columns_per_chunk >= dim:
        columns = jax.vmap(column)(jnp.arange(dim))
    else:
        columns = jax.lax.map(column, jnp.arange(dim), batch_size=columns_per_chunk)
    return columns.T


@takes_arrays
def spectrum(
    clean: Some[Float[Array, "*item"]],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    columns_per_chunk: Positive | None = None,
) -> Spectrum:
    """Singular values and eigenvalues of the full curvature matrix. Args: as for `curvature_matrix`."""
    matrix = curvature_matrix(clean, t, denoiser, process, columns_per_chunk=columns_per_chunk)
    singular_values = jnp.linalg.svd(matrix, compute_uv=False)
    # The zero makes one wait for the other, and XLA cannot take it out, as it would a barrier: on a CPU a batched
    # decomposition waits, in a thread of XLA's pool, for others of that pool, and two at once on two cores wait
    # for ever.
    after = matrix + 0.0 * singular_values[0]
    return Spectrum(
        singular_values,
        jnp.linalg.eigvalsh((after + after.T) / 2)[::-1],
        jnp.trace(matrix),
        scaled_score(clean, t, denoiser, process),
    )


@takes_arrays
def scaled_score(clean: Float[Array, "*item"], t: Scalar, denoiser: Denoiser, process: Process) -> Scalar:
    """s^2 |score|^2 at (m(t) clean, t) = |m (D - clean)|^2 / s^2."""
    mean = process.mean_coefficient(t)
    offset = mean * (denoiser(mean * clean, t) - clean)
    return jnp.sum(offset**2) / process.std(t) ** 2


@takes_arrays
def sharpness(
    key: PRNGKeyArray,
    clean: Float[Array, "*item"],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    draws: Positive = 8,
) -> Float[Array, " draw"]:
    """s^6 |H score|^2 / N at noised copies of the sample, H the Jacobian of the score.

    The curvature-weighted score of Jeon et al. 2025, made dimensionless: 1 on average at a point attractor
    and 0 along a flat manifold. For a Gaussian density its mean over the density is -s^6 tr(H^3) / N =
    tr(A^3) / N; over noised copies of the centre alone, as here, tr(A^4) / N. One jvp a draw, so it serves
    any dimension. Draw i is noised with fold_in(key, i).
    """
    mean = process.mean_coefficient(t)

    def one(draw: jax.Array) -> jax.Array:
        noise = jax.random.normal(jax.random.fold_in(key, draw), clean.shape, clean.dtype)
        x = process.perturb(clean, noise, t)
        direction = process.noise_from_denoised(denoiser(x, t), x, t)  # -s score
        _, slope = jax.jvp(lambda x: denoiser(x, t), (x,), (direction,))
        return jnp.mean((direction - mean * slope) ** 2)

    return jax.vmap(one)(jnp.arange(draws))


@takes_arrays
def flipd(
    trace: Float[np.ndarray, "*item"], scaled_score: Float[np.ndarray, "*item"], dim: Positive
) -> Float[np.ndarray, "*item"]:
    """Local intrinsic dimension N + s^2 (tr J + |score|^2) = N - tr A + s^2 |score|^2.

    FLIPD of Kamkari et al. 2024.
    """
    return np.asarray(dim - trace + scaled_score)


@takes_arrays
def near_zero(
    singular_values: Float[np.ndarray, "*item dim"], cut: float = NEAR_ZERO
) -> Int[np.ndarray, "*item"]:
    """How many singular values of A lie below the cut: the directions in which the sample is free.

    >>> import numpy as np
    >>> from memgen_jax import geometry
    >>> int(geometry.near_zero(np.array([1.0, 0.9, 0.01])))
    1
    """
    return np.asarray(np.sum(singular_values < cut, axis=-1))


@takes_arrays
def local_dimension(singular_values: Some[Float[np.ndarray, "*item dim"]]) -> Int[np.ndarray, "*item"]:
    """Number of singular values of A below the largest gap between neighbours of the sorted spectrum.

    A value 0 is set before the smallest and a value 1 after the largest, so that a point attractor (all
    near 1) has dimension 0 and a flat space (all near 0) has dimension N.

    >>> import numpy as np
    >>> from memgen_jax import geometry
    >>> int(geometry.local_dimension(np.array([1.0, 0.9, 0.01])))  # one value beyond the largest gap
    1
    """
    ascending = np.sort(singular_values.astype(np.float64), axis=-1)
    zero = np.zeros_like(ascending[..., :1])
    one = np.maximum(ascending[..., -1:], 1.0)
    gaps = np.diff(np.concatenate([zero, ascending, one], axis=-1), axis=-1)
    return np.asarray(np.argmax(gaps, axis=-1))


@takes_arrays
def log_determinant(singular_values: Some[Float[np.ndarray, "*item dim"]]) -> Float[np.ndarray, "*item"]:
    """log |det A|, the sum of the logarithms of the singular values, in float64.

    Values under float32's resolution of the matrix, N eps times the largest, are rounding: they count as
    that resolution, so a flat direction costs a finite amount.
    """
    values = singular_values.astype(np.float64)
    resolution = values.shape[-1] * np.finfo(np.float32).eps * values.max(axis=-1, keepdims=True)
    floor = np.maximum(resolution, np.finfo(np.float32).tiny)
    return np.asarray(np.sum(np.log(np.maximum(values, floor)), axis=-1))


@takes_arrays
def columns_within(
    memory_budget: Positive,
    clean: Some[Float[Array, "*item"]],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
) -> int:
    """Columns per chunk that keep `curvature_matrix` within a budget of temporary memory, in bytes.

    What one more column costs is read off two compiled programs of 4 and 8 columns; nothing is run.

    Raises:
      InputError: the matrix itself, N x N float32, does not fit the budget.
    """
    dim = clean.size
    if 4 * dim**2 > memory_budget:
        allowed = (
            f"at least {4 * dim**2}, the bytes of the full {dim} x {dim} matrix alone; raise it, or use the "
            "matrix-free estimates"
        )
        raise InputError.setting("memory_budget", memory_budget, allowed)

    def need(columns: int) -> int:
        def push(x: jax.Array, t: jax.Array, tangents: jax.Array) -> jax.Array:
            _, push = jax.linearize(flat_map(denoiser, t, clean.shape), x)
            return jax.vmap(push)(tangents)

        shapes = (clean.reshape(-1), t, jax.ShapeDtypeStruct((columns, dim), clean.dtype))
        analysis = jax.jit(push).lower(*shapes).compile().memory_analysis()
        assert analysis is not None
        return analysis.temp_size_in_bytes + analysis.output_size_in_bytes

    few, more = need(4), need(8)
    per_column = max((more - few) / 4, 4 * dim)
    room = memory_budget - 4 * dim**2 - (few - 4 * per_column)
    return int(np.clip(room // per_column, 1, dim))
