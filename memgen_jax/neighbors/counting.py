"""How many items lie within a distance of each: exactly, tile by tile.

Squared distances in Gram form decide all pairs but those so near the radius that rounding might: these are
computed again from differences, as `search` computes its winners, so that counts and distances agree. References that
fit stay on the devices, as for `search`, and a tile is read while the devices count the next.
"""

import functools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Int8, Shaped
from tqdm import tqdm

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.neighbors.references import References
from memgen_jax.neighbors.rows import (
    as_rows,
    local_mesh,
    padded,
    refuse_what_is_not_finite,
    rounding_constant,
    squared_distances,
    tile_memory,
)
from memgen_jax.neighbors.scales import require_one_scale
from memgen_jax.neighbors.tiles import BLOCK, COMPILED_SOON, SCORES_ON_CPU, Prepared

INSIDE, OPEN = 1, 2  # what the scores of a pair say of a radius
LONGEST = 1.8e19  # a distance whose square a float32 holds, with some room
SLACK = 2.0**-21  # of a distance: more than its rounding to float32


@takes_arrays
def count_within(
    queries: Shaped[np.ndarray | Array, " query *item"],
    references: Shaped[np.ndarray | Array, " reference *same_item"],
    radius: Float[np.ndarray, "*query radius"] | float,
    *,
    exclude_self: bool = False,
    squared: bool = False,
    scale: float = 1.0,
    memory: int | None = None,
    mesh: Mesh | None = None,
    progress: str | None = None,
) -> Int[np.ndarray, "query ..."]:
    """Counts, for every query, the references at a distance of at most `radius`, exactly.

    Args:
      queries, references, exclude_self, squared, scale, memory, mesh, progress: as for `search`, whose distances
        these are.
      radius: one distance, or several, in the scale of `search`'s distances; ≥ 0. With [query, radius] every query has
        its own.

    Returns:
      Counts [query], or [query, radius] where several radii are given.

    Raises:
      InputError: shapes differ, an array is empty or holds NaN or infinity, or a radius is no distance.

    >>> import numpy as np
    >>> from memgen_jax import neighbors
    >>> points = np.array([[0.0], [1.0], [1.0], [5.0]], np.float32)
    >>> neighbors.count_within(points, points, 1.0, exclude_self=True).tolist()
    [2, 2, 2, 0]
    """
    queries, references = as_rows("queries", queries), as_rows("references", references)
    require_one_scale(queries=queries, references=references)
    radii = np.atleast_1d(np.asarray(radius, np.float64))
    if radii.ndim > 2 or (radii.ndim == 2 and len(radii) != len(queries)):
        raise InputError(
            f"radii of shape {radii.shape} fit no {len(queries)} queries: give one, several, or a row for each query."
        )
    if queries.shape[1] != references.shape[1]:
        raise InputError(
            f"queries have {queries.shape[1]} numbers an item and references "
            f"{references.shape[1]}; bring both to one size"
        )
    if exclude_self and len(queries) != len(references):
        raise InputError(
            f"exclude_self needs the same array twice, got {len(queries)} queries and "
            f"{len(references)} references"
        )
    if not radii.size or not (np.isfinite(radii).all() and (radii >= 0).all()):
        raise InputError.setting("radius", radius, "a finite distance ≥ 0")
    radii = _cut(radii, queries, references, squared, scale)
    mesh = mesh or local_mesh()
    counter = _Counter(
        references,
        tile_memory(mesh) if memory is None else memory,
        mesh,
        np.broadcast_to(radii, (len(queries), radii.shape[-1])),
        squared,
        scale,
    )
    exclude = np.arange(len(queries)) if exclude_self else np.full(len(queries), -1)
    counts = counter(queries, exclude, progress)
    return counts if np.ndim(radius) else counts[:, 0]


class _UnderWay(NamedTuple):
    """A tile of queries against one of references, perhaps still at work."""

    rows: slice
    first: int  # number of the tile's first reference
    queries: Prepared
    references: Prepared
    sure: Array  # pairs that are inside for certain, [query, radius], or such for each device's share of references
    open: Array  # whether a query has pairs that are left open, [query], likewise


def _cut(
    radii: Float[np.ndarray, "*query radius"],
    queries: np.ndarray,
    references: np.ndarray,
    squared: bool,
    scale: float,
) -> Float[np.ndarray, "*query radius"]:
    """The radii, those cut whose square a float32 cannot hold: no distance lies beyond what they are cut to.

    Raises:
      InputError: one may.
    """
    longest = LONGEST * scale
    longest = longest**2 if squared else longest
    if radii.max() <= longest:
        return radii
    reach = sum(
        max(abs(float(items.max())), abs(float(items.min()))) * items.shape[1] ** 0.5
        for items in (queries, references)
    )
    if reach > LONGEST:  # NaN is found, and told, where items are compared
        refuse_what_is_not_finite(queries, references)
    return np.minimum(radii, longest)


class _Counter:
    """The references and the radii, with what counting needs."""

    def __init__(
        self,
        references: np.ndarray,
        memory: int,
        mesh: Mesh,
        radii: Float[np.ndarray, "query radius"],
        squared: bool,
        scale: float,
    ):
        self.there = References(references, memory, np.dtype(np.float32), mesh, memory)
        self.references, self.mesh, self.radii = references, mesh, radii
        self.squared, self.scale = squared, scale
        # Euclidean distances between rows as they are stored.
        self.euclidean = ((np.sqrt(radii) if squared else radii) / scale).astype(np.float32)

    def __call__(
        self, queries: np.ndarray, exclude: np.ndarray, progress: str | None
    ) -> Int[np.ndarray, "query radius"]:
        counts = np.zeros(self.radii.shape, np.int64)
        exclude = exclude.astype(np.int32)
        hidden = None if progress else True  # None: shown on a terminal only
        with tqdm(total=len(queries), desc=progress, unit="item", disable=hidden) as bar:
            before: _UnderWay | None = None
            for begun in self._pairs_of_tiles(
                queries, exclude
            ):  # one is read while the devices count the next
                if before is not None:
                    self._add(counts, queries, exclude, before)
                    bar.update((before.rows.stop - before.rows.start) * (begun.rows != before.rows))
                before = begun
            assert before is not None
            self._add(counts, queries, exclude, before)
            bar.update(before.rows.stop - before.rows.start)
        return counts

    def _pairs_of_tiles(self, queries: np.ndarray, exclude: np.ndarray) -> Iterator[_UnderWay]:
        query_tile = self.there.rows_of_a_tile(len(queries))
        for start in range(0, len(queries), query_tile):
            rows = slice(start, min(start + query_tile, len(queries)))
            tile = self.there.queries(queries[rows], query_tile)
            own = (padded(array[rows], query_tile) for array in (exclude, self.euclidean))
            ignored, radii = (self.there.like_queries(array) for array in own)
            for first, reference in self.there.tiles():
                sure, left_open = _count(
                    tile.item, tile.norm, ignored, reference.item, reference.norm, first, radii, self.mesh,
                    self.there.spread,
                )  # fmt: skip
                yield _UnderWay(rows, first, tile, reference, sure, left_open)

    def _add(self, counts: np.ndarray, queries: np.ndarray, exclude: np.ndarray, done: _UnderWay) -> None:
        """Adds what a pair of tiles holds, with what rounding left open decided from differences."""
        size = done.rows.stop - done.rows.start
        if not (
            np.isfinite(float(done.references.largest))
            and np.isfinite(np.asarray(done.queries.norm)[:size]).all()
        ):
            refuse_what_is_not_finite(queries, self.references)
        shares = self.mesh.devices.size if self.there.spread else 1
        found = (
            np.asarray(done.sure).reshape(shares, -1, self.radii.shape[1]).sum(axis=0, dtype=np.int64)[:size]
        )
        near = np.flatnonzero(np.asarray(done.open).reshape(shares, -1).any(axis=0))
        near = near[near < size]
        if len(near):
            found[near] = self._decided(queries, exclude, done.rows.start + near, done)
        counts[done.rows] += found

    def _decided(
        self, queries: np.ndarray, exclude: np.ndarray, rows: np.ndarray, done: _UnderWay
    ) -> Int[np.ndarray, "row radius"]:
        """Counts anew, for some queries of a tile, the pairs with its references; those left open from differences."""
        counts = np.zeros((len(rows), self.radii.shape[1]), np.int64)
        for begin in range(0, len(rows), 256):
            own = rows[begin : begin + 256]
            tile = self.there.everywhere_at_once(queries[own], 256)
            judged = _judged(
                tile.item,
                tile.norm,
                padded(exclude[own], 256),
                done.references.item,
                done.references.norm,
                done.first,
                padded(self.euclidean[own], 256),
            )
            pairs = np.asarray(judged)[: len(own)]
            left_open: Bool[np.ndarray, "row reference radius"] = np.asarray(pairs == OPEN)
            row, column = np.nonzero(left_open.any(axis=-1))
            square = squared_distances(queries, self.references, own[row], column + done.first)
            distance = square * self.scale**2 if self.squared else np.sqrt(square) * self.scale
            inside = distance.astype(np.float32)[:, None] <= self.radii[own[row]]
            inside &= left_open[row, column]
            counts[begin : begin + len(own)] = (pairs == INSIDE).sum(axis=1)
            np.add.at(counts, begin + row, inside)
        return counts


@functools.partial(jax.jit, static_argnames=("mesh", "spread"), compiler_options=COMPILED_SOON)
def _count(queries, norm, ignored, references, norms, first, radii, mesh, spread):
    """Of one tile: pairs that are inside for certain [query, radius], and rows with pairs left open.

    With `spread` references each device has its own share of them, and tells what it found there: [device * query].
    """
    split, whole = PartitionSpec("query"), PartitionSpec()
    of_queries, of_references = (whole, split) if spread else (split, whole)
    count = _count_in_pieces if mesh.devices.flat[0].platform == "cpu" else _count_rows

    def count_own(queries, norm, ignored, references, norms, first, radii):
        if spread:
            first = first + jax.lax.axis_index("query").astype(jnp.int32) * len(norms)
        return count(queries, norm, ignored, references, norms, first, radii)

    return jax.shard_map(
        count_own,
        mesh=mesh,
        in_specs=(of_queries, of_queries, of_queries, of_references, of_references, whole, of_queries),
        out_specs=split,
    )(queries, norm, ignored, references, norms, first, radii)


def _count_in_pieces(queries, norm, ignored, references, norms, first, radii):
    """As `_count_rows`, a few queries after the other: their scores stay in a processor's cache."""
    wanted = 4 * len(queries) * len(norms) / SCORES_ON_CPU
    pieces = next(n for n in (1, 2, 4, 8, 16) if n >= min(wanted, 16))
    if pieces == 1 or len(queries) % pieces:
        return _count_rows(queries, norm, ignored, references, norms, first, radii)
    apart = jax.tree.map(lambda x: x.reshape(pieces, -1, *x.shape[1:]), (queries, norm, ignored, radii))
    done = jax.lax.map(lambda x: _count_rows(*x[:3], references, norms, first, x[3]), apart)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), done)


def _count_rows(queries, norm, ignored, references, norms, first, radii):
    low, high = _bounds(queries, norm, ignored, references, norms, first)
    inside, near = [], []
    for place in range(radii.shape[1]):
        certain_below, possible_to = _limits(radii[:, place, None])
        certain, possible = _count_both(high < certain_below, low <= possible_to)
        inside.append(certain)
        near.append(possible != certain)
    return jnp.stack(inside, axis=1), functools.reduce(jnp.logical_or, near)


def _count_both(certain, possible):
    """How many are true in every row of either, int32.

    In one sum, the one's count above the other's: of two sums over the same scores XLA on a CPU makes a loop that is
    four times as slow. Block by block, so that neither count outgrows its sixteen bits.
    """
    blocks = (len(certain), -1, min(BLOCK, certain.shape[1]))
    if certain.shape[1] >= BLOCK << 16:
        return jnp.sum(certain, axis=1, dtype=jnp.int32), jnp.sum(possible, axis=1, dtype=jnp.int32)
    packed = certain.astype(jnp.uint32) * jnp.uint32(1 << 16) + possible.astype(jnp.uint32)
    both = jnp.sum(packed.reshape(blocks), axis=1, dtype=jnp.uint32)
    parts = both >> 16, both & jnp.uint32(0xFFFF)
    first, second = (jnp.sum(part, axis=1, dtype=jnp.uint32).astype(jnp.int32) for part in parts)
    return first, second


@functools.partial(jax.jit, compiler_options=COMPILED_SOON)
def _judged(queries, norm, ignored, references, norms, first, radii) -> Int8[Array, "query reference radius"]:
    """Of every pair and radius what the scores say: inside for certain, left open, or neither."""
    low, high = _bounds(queries, norm, ignored, references, norms, first)
    certain_below, possible_to = _limits(radii[:, None])
    certain, possible = high[..., None] < certain_below, low[..., None] <= possible_to
    return jnp.where(certain, jnp.int8(INSIDE), jnp.where(possible, jnp.int8(OPEN), jnp.int8(0)))


def _bounds(queries, norm, ignored, references, norms, first):
    """Ends between which each pair's squared distance lies, whatever rounding does; infinite where it is no pair.

    With c the rounding constant, m = 2^-22 (|q| + |r|) what taking the centre away may have moved, and R a radius, a
    pair is inside for certain where d² + c (|q| + |r|)² < R² - 2 R m, and may be where d² - c (|q| + |r|)² ≤ (R + m)².
    Both follow from sums of a number of the query, one of the reference and one of the radius, for
    (|q| + |r|)² ≤ 2 |q|² + 2 |r|² and 2 R |q| ≤ R² + |q|²: two sums and two comparisons a pair, and no root.
    """
    product = jax.lax.dot_general(
        queries,
        references,
        (((1,), (1,)), ((), ())),
        precision=jax.lax.Precision.HIGHEST,
        preferred_element_type=jnp.float32,
    )
    column = jnp.arange(len(norms), dtype=jnp.int32)[None] + first
    doubt = 2 * rounding_constant(queries.shape[1]) + 2.0**-20  # of both norms
    apart = jnp.where(column == ignored[:, None], jnp.inf, -2 * product)
    low = (norm * (1 - doubt))[:, None] + (norms * (1 - doubt))[None] + apart
    high = (norm * (1 + doubt))[:, None] + (norms * (1 + doubt))[None] + apart
    return low, high


def _limits(radius):
    """What a squared distance's upper end must be below, and its lower end at most, of any radius."""
    square = radius * radius
    return square * (1 - 4 * SLACK), square * (1 + 4 * SLACK)
