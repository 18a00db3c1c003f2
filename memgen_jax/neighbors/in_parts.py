"""The first step of an exact search among few items that are very long: their products, some coordinates at a time.

Where hardly any item fits in the memory of a tile, tiles would read every item again and again. Scores of all queries
with all references are few, so these stay, and every number is read once.
"""

import math

import numpy as np
from jaxtyping import Float32, Int, Shaped
from tqdm import tqdm

from memgen_jax.mapped import let_go
from memgen_jax.neighbors.on_processors import pick
from memgen_jax.neighbors.proof import Rounded, prove
from memgen_jax.neighbors.rows import point_amid, refuse_what_is_not_finite
from memgen_jax.neighbors.tiles import Kept, nothing_kept

ROWS = 1024  # most queries, and references, whose scores are kept
LEAST = 64  # references that a tile should hold: with fewer, items are read too often


def are_long(count: int, dim: int, memory: int) -> bool:
    """Whether so many references are too long for tiles: a quarter of the memory (bytes) holds too few of them."""
    return memory // 4 // (4 * dim) < min(count, LEAST)


class InParts:
    """The references with what a search over them needs; called once per set of queries."""

    def __init__(self, references: np.ndarray, memory: int):
        self.references, self.memory = references, memory
        self.centre = point_amid(references)

    def __call__(
        self,
        queries: np.ndarray,
        exclude: Int[np.ndarray, " query"],
        k: int,
        candidates: int,
        progress: str | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Squared distances (float64) and indices [query, k], and whether each row is proven."""
        candidates = min(candidates, len(self.references))
        found = []
        hidden = None if progress else True  # None: shown on a terminal only
        with tqdm(total=len(queries), desc=progress, unit="item", disable=hidden) as bar:
            for start in range(0, len(queries), ROWS):
                rows = slice(start, start + ROWS)
                kept, rounded = self._compare(queries, rows, exclude[rows], candidates)
                found.append(prove(queries[rows], self.references, kept, rounded, k))
                bar.update(len(kept.bound))
        square, index, certain = (np.concatenate(part) for part in zip(*found, strict=True))
        return square, index, certain

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
                moved = [items[:, part] - self.centre[part] for items in (queries, references)]
                product += moved[0] @ moved[1].T
                for norm, items in zip(norms, moved, strict=True):
                    norm += np.vecdot(items, items)
                let_go(queries)
                let_go(references)
            return product, norms[0].astype(np.float32), norms[1].astype(np.float32)
