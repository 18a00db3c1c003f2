"""The first step of an exact search among few items that are very long: their products, some coordinates at a time.

Where hardly any item fits in the memory of a tile, tiles would read every item again and again. Scores of all queries
with all references are few, so these stay, and every number is read once.
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int, Shaped

from memgen_jax.mapped import let_go
from memgen_jax.neighbors.finder import Finder, Proven
from memgen_jax.neighbors.on_processors import pick
from memgen_jax.neighbors.proof import Rounded, prove
from memgen_jax.neighbors.rows import point_amid, refuse_what_is_not_finite
from memgen_jax.neighbors.tiles import Kept, nothing_kept

ROWS = 1024  # most queries, and references, whose scores are kept
AT_ONCE = 16  # items that are read before their file is let go
LEAST = 64  # references that a tile should hold: with fewer, items are read too often


def are_long(count: int, dim: int, memory: int) -> bool:
    """Whether so many references are too long for tiles: a quarter of the memory (bytes) holds too few of them."""
    return memory // 4 // (4 * dim) < min(count, LEAST)


class InParts(Finder):
    """Queries past references some coordinates at a time, as many of both as have room for their scores."""

    def __init__(self, references: np.ndarray, memory: int):
        super().__init__(references)
        self.memory, self.centre = memory, point_amid(references)

    def pieces(
        self, queries: np.ndarray, exclude: Int[np.ndarray, " query"], k: int, candidates: int
    ) -> Iterator[tuple[slice, Proven]]:
        for start in range(0, len(queries), ROWS):
            rows = slice(start, min(start + ROWS, len(queries)))
            found = self._compare(queries, rows, exclude[rows], candidates)
            yield rows, prove(queries[rows], self.references, *found, k)

    def _compare(
        self, every: np.ndarray, rows: slice, exclude: Int[np.ndarray, " query"], candidates: int
    ) -> tuple[Kept, Rounded]:
        """Brings some of the queries past all references."""
        queries = every[rows]
        kept = nothing_kept(len(queries), candidates)
        largest = 0.0
        for first in range(0, len(self.references), ROWS):
            references = self.references[first : first + ROWS]
            product, norm, other = self._products(queries, references)
            if not (np.isfinite(norm).all() and np.isfinite(other).all()):
                refuse_what_is_not_finite(every, self.references)
            scores = other[None] - 2 * product
            ignored = exclude - first
            hit = np.flatnonzero((ignored >= 0) & (ignored < len(references)))
            scores[hit, ignored[hit]] = np.inf
            pick(kept, scores, first)
            largest = max(largest, float(other.max()))
        return kept, Rounded(np.sqrt(norm, dtype=np.float64), np.zeros(len(norm)), math.sqrt(largest))

    def _products(
        self, queries: Shaped[np.ndarray, "query dim"], references: Shaped[np.ndarray, "reference dim"]
    ) -> tuple[
        Float32[np.ndarray, "query reference"],
        Float32[np.ndarray, " query"],
        Float32[np.ndarray, " reference"],
    ]:
        """Products of all pairs of centred items, and the squared norms of both."""
        product = np.zeros((len(queries), len(references)), np.float32)
        norms = [np.zeros(len(items)) for items in (queries, references)]
        both = len(queries) + len(references)
        width = max(1, self.memory // 8 // (4 * both))  # as much again as stored, and as centred
        with np.errstate(over="ignore", invalid="ignore"):
            for begin in range(0, queries.shape[1], width):
                part = slice(begin, begin + width)
                moved = [self._moved(items, part) for items in (queries, references)]
                product += moved[0] @ moved[1].T
                for norm, items in zip(norms, moved, strict=True):
                    norm += np.vecdot(items, items)
            return product, norms[0].astype(np.float32), norms[1].astype(np.float32)

    def _moved(
        self, items: Shaped[np.ndarray, "item dim"], part: slice
    ) -> Float32[np.ndarray, "item number"]:
        """Some coordinates of all items, less the centre's.

        A system may bring megabytes around what is read of a file, so that is let go after a few items.
        """
        centre = self.centre[part]
        moved = np.empty((len(items), len(centre)), np.float32)
        for start in range(0, len(items), AT_ONCE):
            rows = slice(start, start + AT_ONCE)
            np.subtract(items[rows, part], centre, out=moved[rows])
            let_go(items)
        return moved
