"""One tile of queries against one tile of references in Gram form, on the devices.

Of every row of scores |r|² - 2 q·r only a few candidates survive, and a bound below all that were left out.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from memgen_jax.shapes import Scalar

# A row of scores is first reduced to minima over blocks of this many, one pass whatever k is.
BLOCK = 64
# Scores of a tile that a processor makes at once: they stay in its cache, in memory used again and again.
SCORES_ON_CPU = 2**24  # bytes


class Prepared(NamedTuple):
    """A tile less the centre, rounded to the search's dtype."""

    item: Float[Array, "row dim"]
    norm: Float[Array, " row"]  # squared, of the rounded item; infinite for padding
    error: Float[Array, " row"]  # distance that rounding moved the item
    largest: Scalar  # largest finite norm


class Kept(NamedTuple):
    """Running candidates: score = |r|² - 2 q·r, and a bound: no score left out is below it."""

    score: Float[np.ndarray | Array, "query candidate"]
    index: Int[np.ndarray | Array, "query candidate"]  # type: ignore[assignment]
    bound: Float[np.ndarray | Array, " query"]


def nothing_kept(queries: int, candidates: int) -> Kept:
    return Kept(
        score=np.full((queries, candidates), np.inf, np.float32),
        index=np.zeros((queries, candidates), np.int32),
        bound=np.full(queries, np.inf, np.float32),
    )


def prepare(items: Array, centre: Array, count: int | Array, dtype: np.dtype) -> Prepared:
    """Takes `items`, which are gone afterwards, less the centre.

    Their memory is used again where the type allows: fresh memory takes longer to get than the centre
    to subtract.

    Args:
      items: a tile [row, dim].
      centre: what to subtract [dim].
      count: rows that are no padding.
      dtype: of the products to come, float32 or bfloat16.
    """
    in_place = items.dtype == dtype == jnp.float32
    return (_centred_in_place if in_place else _centred)(items, centre, count, dtype=dtype)


def _centred_rows(items: Array, centre: Array, count: int | Array, dtype: np.dtype) -> Prepared:
    moved = items.astype(jnp.float32) - centre[None]
    # Not by `astype` there and back: XLA on a GPU takes that for nothing, and norms and errors would be of items
    # that were never rounded.
    kind = jnp.finfo(dtype)
    rounded = jax.lax.reduce_precision(moved, kind.nexp, kind.nmant)
    item = rounded.astype(dtype)
    norm = jnp.sum(rounded**2, axis=1)
    real = jnp.arange(len(items)) < count
    error = jnp.zeros_like(norm)
    if dtype != jnp.float32:
        error = jnp.where(real, jnp.sqrt(jnp.sum((moved - rounded) ** 2, axis=1)), 0)
    return Prepared(
        item=item,
        norm=jnp.where(real, norm, jnp.inf),
        error=error,
        largest=jnp.max(jnp.where(real, norm, 0)),
    )


_centred = jax.jit(_centred_rows, static_argnames="dtype")
_centred_in_place = jax.jit(_centred_rows, static_argnames="dtype", donate_argnums=0)


# A search meets several shapes of tiles, and a GPU's tuning of each product takes longer than most searches.
COMPILED_SOON = {"xla_gpu_enable_triton_gemm": False}


@functools.partial(
    jax.jit, static_argnames=("mesh", "spread"), donate_argnums=0, compiler_options=COMPILED_SOON
)
def step(
    kept: Kept,
    queries: Array,
    ignored: Array,
    references: Array,
    norms: Array,
    first: int | Array,
    mesh: Mesh,
    spread: bool = False,
) -> Kept:
    """One tile of queries against one tile of references; each device has its own queries.

    Args:
      kept: candidates of the queries from the tiles before.
      queries: [query, dim], without the centre.
      ignored: [query] row of the references that is no neighbour, -1 for none.
      references: [reference, dim], without the centre, and their `norms` [reference], squared.
      first: row number of the tile's first reference.
      spread: each device has its own references instead, in order, and all queries come to it. `kept` then has what
        each device found among its own, one device after another: [device * query, ...].
    """
    split, whole = PartitionSpec("query"), PartitionSpec()
    of_queries, of_references = (whole, split) if spread else (split, whole)
    compare_rows = _compare_in_pieces if mesh.devices.flat[0].platform == "cpu" else _compare

    def compare(kept, queries, ignored, references, norms, first):
        if spread:
            first = first + jax.lax.axis_index("query").astype(jnp.int32) * len(norms)
        return compare_rows(kept, queries, ignored, references, norms, first)

    return jax.shard_map(
        compare,
        mesh=mesh,
        in_specs=(split, of_queries, of_queries, of_references, of_references, whole),
        out_specs=split,
    )(kept, queries, ignored, references, norms, first)


def joined_shares(kept: Kept, devices: int) -> Kept:
    """What `step` kept of spread references on each device as one list of candidates a query, as NumPy arrays."""

    def side_by_side(part: np.ndarray | Array) -> np.ndarray:
        apart = np.asarray(part).reshape(devices, -1, part.shape[1])
        return np.concatenate(list(apart), axis=1)

    bound = np.asarray(kept.bound).reshape(devices, -1).min(axis=0)
    return Kept(side_by_side(kept.score), side_by_side(kept.index), bound)


def _compare_in_pieces(
    kept: Kept, queries: Array, ignored: Array, references: Array, norms: Array, first: Array
) -> Kept:
    """As `_compare`, a few queries after the other inside one program."""
    wanted = 4 * len(queries) * len(norms) / SCORES_ON_CPU
    pieces = next(n for n in (1, 2, 4, 8, 16) if n >= min(wanted, 16))
    if pieces == 1:
        return _compare(kept, queries, ignored, references, norms, first)
    apart = jax.tree.map(lambda x: x.reshape(pieces, -1, *x.shape[1:]), (kept, queries, ignored))
    done = jax.lax.map(lambda x: _compare(x[0], x[1], x[2], references, norms, first), apart)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), done)


def _compare(
    kept: Kept, queries: Array, ignored: Array, references: Array, norms: Array, first: Array
) -> Kept:
    product = jax.lax.dot_general(
        queries,
        references,
        (((1,), (1,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    column = jnp.arange(len(norms), dtype=jnp.int32)[None] + first
    scores = jnp.where(column == ignored[:, None], jnp.inf, norms[None] - 2 * product)
    score, position, bound = _smallest_by_blocks(scores, kept.score.shape[1])
    scores = jnp.concatenate([kept.score, score], axis=1)
    index = jnp.concatenate([kept.index, position + first], axis=1)
    score, position, left_out = _smallest(scores, kept.score.shape[1])
    return Kept(
        score=score,
        index=jnp.take_along_axis(index, position, axis=1),
        bound=jnp.minimum(jnp.minimum(kept.bound, bound), left_out),
    )


def _smallest_by_blocks(scores: Array, count: int) -> tuple[Array, Array, Array]:
    """As `_smallest`, reading the scores once.

    The `count` smallest scores lie in the `count` blocks with the smallest minima, so only those
    blocks are looked into.
    """
    rows, columns = scores.shape
    blocks = columns // BLOCK
    if columns % BLOCK or blocks <= 2 * count:
        return _smallest(scores, min(count, columns))
    split = scores.reshape(rows, blocks, BLOCK)
    _, block, outside = _smallest(split.min(axis=2), count)
    inside = jnp.take_along_axis(split, block[:, :, None], axis=1).reshape(rows, count * BLOCK)
    score, place, within = _smallest(inside, count)
    block = jnp.take_along_axis(block, place // BLOCK, axis=1)
    return score, block * BLOCK + place % BLOCK, jnp.minimum(outside, within)


def _smallest(scores: Array, count: int) -> tuple[Array, Array, Array]:
    """The `count` smallest of each row, their columns, and a bound that no other is below."""
    rows, columns = scores.shape
    if count == 1:
        position = jnp.argmin(scores, axis=1).astype(jnp.int32)
        chosen = jnp.arange(columns, dtype=jnp.int32)[None] == position[:, None]
        rest = jnp.min(jnp.where(chosen, jnp.inf, scores), axis=1)
        return jnp.min(scores, axis=1)[:, None], position[:, None], rest
    if count == columns:
        everything = jnp.broadcast_to(jnp.arange(columns, dtype=jnp.int32)[None], scores.shape)
        return scores, everything, jnp.full((rows,), jnp.inf)
    # Taking one more and slicing it off would give the bound too, but XLA then sorts whole rows.
    value, position = jax.lax.top_k(-scores, count)
    return -value, position.astype(jnp.int32), -value.min(axis=1)
