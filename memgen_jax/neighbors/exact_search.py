"""Exact nearest neighbours under L2, tiled, on every local device.

The search runs in three steps, so that it is as fast as a matrix product and still exact.

1. Tiles of queries meet tiles of references in Gram form, |r|² - 2 q·r, on the devices. Of every
   tile only a few candidates a query survive, and a bound below all scores that were left out.
   References that fit stay on the devices: on each of them, or, where one has no room, a share on each.
2. The candidates' distances are computed again from float32 differences, on the host: identical items
   give exactly 0, and no rounding of the Gram form reaches the result.
3. If some item that was not kept could, within the Gram form's rounding error, be as near as the
   k-th one, the query is searched again with more candidates. So the answer does not depend on
   tile, memory, device or precision of the search.
"""

import hashlib
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Float32, Int, Int32, Shaped
from tqdm import tqdm

from memgen_jax.arrays_in import require_one_scale, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.mapped import let_go
from memgen_jax.neighbors.references import References
from memgen_jax.neighbors.rows import (
    as_rows,
    local_mesh,
    padded,
    refuse_what_is_not_finite,
    rounding_doubt,
    squared_distances,
    tile_memory,
)
from memgen_jax.neighbors.tiles import Kept, joined_shares, nothing_kept, step
from memgen_jax.shapes import Scalar

# Queries that a processor takes at once where that costs nothing else: larger pieces of memory come anew
# from the system each time (glibc: above 32 MiB), and that takes longer than all that is done to a query.
ITEMS_ON_CPU = 24 * 2**20  # bytes
# Extra candidates where k > 1: they settle near-ties without a second search.
SPARE = 4


class Neighbors(NamedTuple):
    """The k nearest references of every query, nearest first, ties by the lower index.

    distance: L2, or its square where `squared` was asked for; ≥ 0, float32.
    index: row of `references`.
    """

    distance: Float32[np.ndarray, "query k"]
    index: Int32[np.ndarray, "query k"]  # type: ignore[assignment]


@takes_arrays
def search(
    queries: Shaped[np.ndarray | Array, " query *item"],
    references: Shaped[np.ndarray | Array, " reference *same_item"],
    *,
    k: int = 1,
    exclude_self: bool = False,
    exclude: Int[np.ndarray, " query"] | None = None,
    squared: bool = False,
    scale: float = 1.0,
    memory: int | None = None,
    dtype: str = "float32",
    mesh: Mesh | None = None,
    progress: str | None = None,
) -> Neighbors:
    """Finds the k nearest references of every query, exactly.

    Args:
      queries: items of any shape, compared as flat vectors: uint8, float16 or float32 (anything
        else is cast to float32). A memory-mapped array is read tile by tile.
      references: items of the same shape.
      k: neighbours wanted per query.
      exclude_self: `queries` and `references` are the same array; row i is no neighbour of row i
        (by index: a duplicate of it in another row is).
      exclude: for every query the row of the references that is no neighbour of it, -1 for none; as `exclude_self`, for
        queries that are some of the references.
      squared: return squared distances, as LPIPS embeddings need.
      scale: factor on every coordinate. Images saved as uint8 have L2 in the range [-1, 1] with
        scale = 1/127.5.
      memory: bytes that the tiles may take on each device; by default half of an accelerator's free memory, and
        512 MiB on processors. No result depends on it.
      dtype: "bfloat16" makes the first step's products in bfloat16 (rounded first, norms from the
        rounded vectors); faster on accelerators, the same result.
      mesh: devices that share the queries; default all local ones.
      progress: what a bar on the terminal calls this search; no bar where not given, and none
        where the output is no terminal.

    Returns:
      Neighbors, NumPy arrays [query, k].

    Raises:
      InputError: shapes differ, an array is empty or holds NaN or infinity, or k is too large.

    >>> import numpy as np
    >>> from memgen_jax import search
    >>> references = np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], np.float32)
    >>> found = search(np.array([[3.0, 3.0]], np.float32), references, k=2)
    >>> found.index.tolist(), [round(d, 3) for d in found.distance[0].tolist()]
    ([[1, 0]], [1.0, 4.243])
    """
    queries, references = as_rows("queries", queries), as_rows("references", references)
    if queries.shape[1] != references.shape[1]:
        raise InputError(
            f"queries have {queries.shape[1]} numbers an item and references "
            f"{references.shape[1]}; bring both to one size"
        )
    require_one_scale(queries=queries, references=references)
    if exclude_self and len(queries) != len(references):
        raise InputError(
            f"exclude_self needs the same array twice, got {len(queries)} queries and "
            f"{len(references)} references"
        )
    if exclude_self:
        exclude = np.arange(len(queries))
    left = len(references) - (exclude is not None)
    if not 1 <= k <= left:
        raise InputError(
            f"k = {k} neighbours asked of {len(references)} references"
            f"{' (self excluded)' if exclude is not None else ''}; choose k between 1 and {left}"
        )
    if exclude is None:
        exclude = np.full(len(queries), -1)
    if exclude.shape != (len(queries),) or not (exclude.min() >= -1 and exclude.max() < len(references)):
        raise InputError(
            f"exclude must name a row of the references, or -1, for each of the {len(queries)} queries"
        )
    mesh = mesh or local_mesh()
    memory = tile_memory(mesh) if memory is None else memory
    finder = _Finder(references, memory, jnp.dtype(dtype), mesh)
    candidates = k if k == 1 else k + SPARE
    square, index, certain = finder(queries, exclude, k, candidates, progress)
    rows = np.flatnonzero(~certain)
    if len(rows):  # near-ties
        square[rows], index[rows], certain[rows] = finder(queries[rows], exclude[rows], k, 8 * (k + SPARE))
        rows = np.flatnonzero(~certain)
    if len(rows):  # any number of ties
        square[rows], index[rows] = _settle(finder, queries[rows], exclude[rows], k)
    distance = square * scale**2 if squared else np.sqrt(square) * scale
    return Neighbors(distance.astype(np.float32), index.astype(np.int32))


class _UnderWay(NamedTuple):
    """What the devices make of one tile of queries, perhaps still at work."""

    kept: Kept
    norm: Array  # of the queries, squared
    moved: Array  # distance that rounding moved each query
    largest: Scalar  # norm of a reference, squared
    references_moved: Scalar  # the longest distance of one


class _Finder:
    """The references with what a search over them needs; called once per set of queries."""

    def __init__(self, references: np.ndarray, memory: int, dtype: np.dtype, mesh: Mesh):
        at_once = ITEMS_ON_CPU // (4 * references.shape[1])
        self.there = References(references, memory, dtype, mesh, at_once)
        self.references, self.memory, self.dtype, self.mesh = references, memory, dtype, mesh

    def __call__(
        self,
        queries: np.ndarray,
        exclude: np.ndarray,
        k: int,
        candidates: int,
        progress: str | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squared distances (float64) and indices [query, k], and whether each row is proven."""
        candidates = min(candidates, len(self.references))
        query_tile = self.there.rows_of_a_tile(len(queries))
        square = np.empty((len(queries), k))
        index = np.empty((len(queries), k), np.int64)
        certain = np.empty(len(queries), bool)
        hidden = None if progress else True  # None: shown on a terminal only
        tiles = [
            slice(start, min(start + query_tile, len(queries)))
            for start in range(0, len(queries), query_tile)
        ]
        under_way: tuple[slice, _UnderWay] | None = None
        with tqdm(total=len(queries), desc=progress, unit="item", disable=hidden) as bar:
            for rows in [*tiles, None]:  # a tile is verified on the host while the devices compare the next
                begun = None
                if rows is not None:
                    own = queries[rows], exclude[rows]
                    begun = rows, self._compare(*own, query_tile, candidates)
                if under_way is not None:
                    done, compared = under_way
                    found = self._fetch(queries[done], compared)
                    square[done], index[done], certain[done] = self._verify(queries[done], *found, k)
                    let_go(queries)
                    bar.update(done.stop - done.start)
                under_way = begun
        return square, index, certain

    def _compare(
        self, queries: np.ndarray, exclude: np.ndarray, query_tile: int, candidates: int
    ) -> "_UnderWay":
        """Sends a tile of queries past all references; returns before the last of them is done."""
        split = NamedSharding(self.mesh, PartitionSpec("query"))
        lists = self.mesh.devices.size if self.there.spread else 1  # of candidates, for each query
        tile = self.there.queries(queries, query_tile)
        ignored = self.there.like_queries(padded(exclude.astype(np.int32), query_tile))
        kept = jax.device_put(nothing_kept(lists * query_tile, candidates), split)
        largest = error = jnp.float32(0)
        for first, reference in self.there.tiles():
            jax.block_until_ready(kept.bound)  # one tile may wait while one is compared, no more
            kept = step(
                kept,
                tile.item,
                ignored,
                reference.item,
                reference.norm,
                first,
                self.mesh,
                self.there.spread,
            )
            largest = jnp.maximum(largest, reference.largest)
            error = jnp.maximum(error, reference.error.max())
        if candidates == len(self.references):  # nothing is left out
            kept = kept._replace(bound=jnp.full_like(kept.bound, jnp.inf))
        return _UnderWay(kept, tile.norm, tile.error, largest, error)

    def _fetch(self, queries: np.ndarray, found: "_UnderWay") -> "tuple[Kept, _Rounded]":
        count = len(queries)
        largest = float(found.largest)
        if not (np.isfinite(largest) and np.isfinite(np.asarray(found.norm)[:count]).all()):
            refuse_what_is_not_finite(queries, self.references)
        shares = self.mesh.devices.size if self.there.spread else 1
        all_kept = joined_shares(found.kept, shares) if shares > 1 else found.kept
        kept = Kept(*(np.asarray(part)[:count] for part in all_kept))
        rounded = _Rounded(
            np.sqrt(np.asarray(found.norm, np.float64)[:count]),
            np.asarray(found.moved, np.float64)[:count] + float(found.references_moved),
            math.sqrt(largest),
        )
        return kept, rounded

    def _verify(
        self, queries: np.ndarray, found: Kept, rounded: "_Rounded", k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        index = np.asarray(found.index, np.int64)
        square = np.full(index.shape, np.inf)  # stays so for the excluded item and slots never filled
        rows, columns = np.nonzero(
            _may_be_among(np.asarray(found.score), rounded, self.references.shape[1], k)
        )
        square[rows, columns] = squared_distances(queries, self.references, rows, index[rows, columns])
        order = np.lexsort((index, square))[:, :k]
        square, index = np.take_along_axis(square, order, 1), np.take_along_axis(index, order, 1)
        farthest = np.sqrt(square[:, -1])
        # An item whose norm exceeds |q| + farthest is farther away: only the others can mislead.
        reach = rounded.norm + np.minimum(rounded.largest, rounded.norm + farthest)
        doubt = rounding_doubt(self.references.shape[1], reach)
        left_out = np.sqrt(np.maximum(found.bound + rounded.norm**2 - doubt, 0))
        return square, index, farthest < left_out - rounded.error - 2.0**-23 * reach


def _settle(
    finder: _Finder, queries: np.ndarray, exclude: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Searches again where more items tie than were kept.

    Nearly always these are exact duplicates among the references (a collapsed model repeats one
    image thousands of times), so equal rows are searched as one and taken apart afterwards.
    """
    members = _equal_rows(finder.references)
    firsts = np.array([rows[0] for rows in members])
    group_of = np.empty(len(finder.references), np.int64)
    for group, rows in enumerate(members):
        group_of[rows] = group
    alone = np.array([len(rows) == 1 for rows in members])
    own_group = np.where(exclude >= 0, group_of[exclude], -1)
    ignored = np.where((own_group >= 0) & alone[own_group], own_group, -1)

    distinct = finder
    if len(firsts) < len(finder.references):
        distinct = _Finder(finder.references[firsts], finder.memory, finder.dtype, finder.mesh)
    square = np.empty((len(queries), k))
    index = np.empty((len(queries), k), np.int64)
    open_rows, candidates = np.arange(len(queries)), 8 * (k + SPARE)
    while len(open_rows):
        near, groups, certain = distinct(
            queries[open_rows], ignored[open_rows], min(k, len(firsts)), candidates
        )
        certain |= candidates >= len(firsts)
        for row, values, choice in zip(open_rows[certain], near[certain], groups[certain], strict=True):
            pairs = [
                (value, item)
                for value, group in zip(values, choice, strict=True)
                for item in members[group][: k + 1]
                if np.isfinite(value) and item != exclude[row]
            ]
            square[row], index[row] = zip(*sorted(pairs)[:k], strict=True)
        open_rows, candidates = open_rows[~certain], candidates * 8
    return square, index


def _equal_rows(items: np.ndarray) -> list[list[int]]:
    """Row numbers of each distinct row, in order of first appearance."""
    groups: dict[bytes, list[int]] = {}
    for row, item in enumerate(items):
        groups.setdefault(hashlib.blake2b(item.tobytes(), digest_size=16).digest(), []).append(row)
    return list(groups.values())


def _may_be_among(
    score: Float[np.ndarray, "query candidate"], rounded: "_Rounded", dim: int, k: int
) -> Bool[np.ndarray, "query candidate"]:
    """Which candidates may, within rounding, be among the k nearest: only those are worth a second look."""
    norm = rounded.norm[:, None]
    doubt = rounding_doubt(dim, norm + rounded.largest)
    error = rounded.error[:, None] + 2.0**-23 * (norm + rounded.largest)
    square = score.astype(np.float64) + norm**2
    farthest = np.partition(square, k - 1, axis=1)[:, k - 1 : k]
    nearest_it_may_be = np.sqrt(np.maximum(square - doubt, 0)) - error
    return (nearest_it_may_be <= np.sqrt(np.maximum(farthest + doubt, 0)) + error) & np.isfinite(score)


class _Rounded(NamedTuple):
    """What bounds the rounding of a tile's scores; norms are those of centred items."""

    norm: Float[np.ndarray, " query"]
    error: Float[np.ndarray, " query"]  # by how much rounding to the search's dtype may move a distance
    largest: float  # norm of any reference
