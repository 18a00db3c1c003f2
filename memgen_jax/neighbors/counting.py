"""How many items lie within a distance of each: exactly, tile by tile.

Squared distances in Gram form decide all pairs but those so near the radius that rounding might: these are
computed again from differences, as `search` computes its winners, so that counts and distances agree.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Shaped
from tqdm import tqdm

from memgen_jax.arrays_in import require_one_scale, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.neighbors.rows import (
    as_rows,
    local_mesh,
    padded,
    point_amid,
    refuse_what_is_not_finite,
    rounding_constant,
    rows_per_tile,
    squared_distances,
    tile_memory,
    tile_sides,
)
from memgen_jax.neighbors.tiles import BLOCK, COMPILED_SOON, SCORES_ON_CPU, prepare

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
        self.references, self.mesh, self.radii = references, mesh, radii
        self.squared, self.scale = squared, scale
        # Euclidean distances between rows as they are stored.
        self.euclidean = (np.sqrt(radii) if squared else radii) / scale
        self.centre = point_amid(references)
        self.query_side, self.reference_side = tile_sides(memory, references.shape[1], memory)

    def __call__(
        self, queries: np.ndarray, exclude: np.ndarray, progress: str | None
    ) -> Int[np.ndarray, "query radius"]:
        devices = self.mesh.devices.size
        query_tile = rows_per_tile(math.ceil(len(queries) / devices), self.query_side, 16) * devices
        reference_tile = rows_per_tile(len(self.references), self.reference_side, BLOCK)
        counts = np.zeros(self.radii.shape, np.int64)
        hidden = None if progress else True  # None: shown on a terminal only
        with tqdm(total=len(queries), desc=progress, unit="item", disable=hidden) as bar:
            for start in range(0, len(queries), query_tile):
                rows = slice(start, min(start + query_tile, len(queries)))
                counts[rows] = self._tile(queries[rows], exclude[rows], rows, query_tile, reference_tile)
                bar.update(rows.stop - rows.start)
        return counts

    def _tile(
        self, queries: np.ndarray, exclude: np.ndarray, rows: slice, query_tile: int, reference_tile: int
    ) -> Int[np.ndarray, "query radius"]:
        by_query = NamedSharding(self.mesh, PartitionSpec("query"))
        everywhere = NamedSharding(self.mesh, PartitionSpec())
        centre = jax.device_put(self.centre, everywhere)
        float32 = np.dtype(np.float32)
        tile = prepare(jax.device_put(padded(queries, query_tile), by_query), centre, len(queries), float32)
        ignored = jax.device_put(padded(exclude.astype(np.int32), query_tile), by_query)
        own = self.radii[rows]
        radii = jax.device_put(padded(self.euclidean[rows].astype(np.float32), query_tile), by_query)
        counts = np.zeros(own.shape, np.int64)
        for first in range(0, len(self.references), reference_tile):
            part = self.references[first : first + reference_tile]
            there = jax.device_put(padded(part, reference_tile), everywhere)
            reference = prepare(there, centre, len(part), float32)
            if not (
                np.isfinite(float(reference.largest))
                and np.isfinite(np.asarray(tile.norm)[: len(queries)]).all()
            ):
                refuse_what_is_not_finite(queries, self.references)
            sure, near = _count(
                tile.item, tile.norm, ignored, reference.item, reference.norm, first, radii, self.mesh
            )
            counts += np.asarray(sure)[: len(queries)]
            near_rows = np.flatnonzero(np.asarray(near)[: len(queries)])
            if len(near_rows):
                counts[near_rows] += self._decide(
                    queries, exclude, own, near_rows, first, tile, reference, radii
                )
        return counts

    def _decide(
        self, queries: np.ndarray, exclude: np.ndarray, wanted: np.ndarray, rows: np.ndarray, first: int, tile,
        reference, radii,
    ) -> Int[np.ndarray, "row radius"]:  # fmt: skip
        """Counts the pairs that rounding left open, of some rows of a tile, from their differences."""
        counts = np.zeros((len(rows), wanted.shape[1]), np.int64)
        for begin in range(0, len(rows), 256):
            own = rows[begin : begin + 256]
            chosen = padded(own, 256)
            open_ = _open_pairs(
                tile.item[chosen],
                tile.norm[chosen],
                jnp.asarray(padded(exclude[own].astype(np.int32), 256)),
                reference.item,
                reference.norm,
                first,
                radii[chosen],
            )
            row, column = np.nonzero(np.asarray(open_.any(axis=-1))[: len(own)])
            square = squared_distances(queries, self.references, own[row], column + first)
            distance = square * self.scale**2 if self.squared else np.sqrt(square) * self.scale
            inside = distance.astype(np.float32)[:, None] <= wanted[own[row]]
            inside &= np.asarray(open_)[row, column]
            np.add.at(counts, begin + row, inside)
        return counts


@functools.partial(jax.jit, static_argnames="mesh", compiler_options=COMPILED_SOON)
def _count(queries, norm, ignored, references, norms, first, radii, mesh):
    """Of one tile: pairs that are inside for certain [query, radius], and rows with pairs left open."""
    split, whole = PartitionSpec("query"), PartitionSpec()
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    return jax.shard_map(
        _count_in_pieces if on_cpu else _count_rows,
        mesh=mesh,
        in_specs=(split, split, split, whole, whole, whole, split),
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
def _open_pairs(
    queries, norm, ignored, references, norms, first, radii
) -> Bool[Array, "query reference radius"]:
    """The pairs that a tile's scores leave open, for each radius."""
    low, high = _bounds(queries, norm, ignored, references, norms, first)
    certain_below, possible_to = _limits(radii[:, None])
    return ~(high[..., None] < certain_below) & (low[..., None] <= possible_to)


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
