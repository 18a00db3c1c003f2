"""The first step of an exact search on the devices that JAX has: tiles of queries against tiles of references.

References that fit stay on the devices: on each of them, or, where one has no room, a share on each.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from memgen_jax.mapped import let_go
from memgen_jax.neighbors.finder import Finder, Proven
from memgen_jax.neighbors.proof import Rounded, prove
from memgen_jax.neighbors.references import References
from memgen_jax.neighbors.rows import padded, refuse_what_is_not_finite
from memgen_jax.neighbors.tiles import Kept, joined_shares, nothing_kept, step
from memgen_jax.shapes import Scalar

# Queries that a processor takes at once where that costs nothing else: larger pieces of memory come anew
# from the system each time (glibc: above 32 MiB), and that takes longer than all that is done to a query.
ITEMS_ON_CPU = 24 * 2**20  # bytes


class _UnderWay(NamedTuple):
    """What the devices make of one tile of queries, perhaps still at work."""

    kept: Kept
    norm: Array  # of the queries, squared
    moved: Array  # distance that rounding moved each query
    largest: Scalar  # norm of a reference, squared
    references_moved: Scalar  # the longest distance of one


class OnDevices(Finder):
    """Tiles of queries past tiles of references; a tile is proven on the host while the devices compare the next."""

    def __init__(self, references: np.ndarray, memory: int, dtype: np.dtype, mesh: Mesh):
        super().__init__(references)
        at_once = ITEMS_ON_CPU // (4 * references.shape[1])
        self.there = References(references, memory, dtype, mesh, at_once)
        self.mesh = mesh

    def pieces(
        self, queries: np.ndarray, exclude: np.ndarray, k: int, candidates: int
    ) -> Iterator[tuple[slice, Proven]]:
        query_tile = self.there.rows_of_a_tile(len(queries))
        tiles = [
            slice(start, min(start + query_tile, len(queries)))
            for start in range(0, len(queries), query_tile)
        ]
        under_way: tuple[slice, _UnderWay] | None = None
        for rows in [*tiles, None]:
            begun = None
            if rows is not None:
                begun = rows, self._compare(queries[rows], exclude[rows], query_tile, candidates)
            if under_way is not None:
                done, compared = under_way
                found = self._fetch(queries, done, compared)
                yield done, prove(queries[done], self.references, *found, k)
                let_go(queries)
            under_way = begun

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

    def _fetch(self, queries: np.ndarray, rows: slice, found: "_UnderWay") -> tuple[Kept, Rounded]:
        count = rows.stop - rows.start
        largest = float(found.largest)
        if not (np.isfinite(largest) and np.isfinite(np.asarray(found.norm)[:count]).all()):
            refuse_what_is_not_finite(queries, self.references)
        shares = self.mesh.devices.size if self.there.spread else 1
        all_kept = joined_shares(found.kept, shares) if shares > 1 else found.kept
        kept = Kept(*(np.asarray(part)[:count] for part in all_kept))
        rounded = Rounded(
            np.sqrt(np.asarray(found.norm, np.float64)[:count]),
            np.asarray(found.moved, np.float64)[:count] + float(found.references_moved),
            math.sqrt(largest),
        )
        return kept, rounded
