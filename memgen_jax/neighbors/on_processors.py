"""The first step of an exact search on processors: products by BLAS, a few queries on each core.

A core makes the scores |r|² - 2 q·r of its queries in memory that it uses again and again, picks the candidates while
the scores are in its cache, and computes their distances anew. Nothing is compiled, and no core waits for another.
Where faiss is installed it names the candidates: its scores too come from float32 products, so one bound proves both.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float32, Int, Shaped

from memgen_jax.cores import available_cores, one_thread_each
from memgen_jax.mapped import let_go
from memgen_jax.neighbors.finder import Finder, Proven
from memgen_jax.neighbors.proof import Rounded, prove
from memgen_jax.neighbors.rows import PIECE, point_amid, refuse_what_is_not_finite
from memgen_jax.neighbors.tiles import Kept, nothing_kept

QUERIES = 1024  # most that a core takes at once
REFERENCES = 4096  # most that they meet in one product
SCORES = 2**17  # of which candidates are picked at once: they fit a core's cache
PASSES = 16  # most candidates for each of which the scores are read once


class OnProcessors(Finder):
    """Pieces of queries on each core, past as many references as are held, centred.

    Of the memory a quarter is for these, an eighth each for queries, their scores and their candidates.
    """

    def __init__(self, references: np.ndarray, memory: int):
        super().__init__(references)
        self.memory = memory
        # Distances do not change when one point is taken from everything, and the Gram form loses less.
        self.centre = point_amid(references)
        self.cores = available_cores()
        count, dim = references.shape
        self.at_once = min(count, max(1, memory // 4 // (4 * dim)))  # references that are held, centred
        # Each as -2 r with |r|² after it: with a 1 after q, the product is the score.
        self.item = np.empty((self.at_once, dim + 1), np.float32)
        self.first = -1  # row of the first that is held; none yet
        self.largest = 0.0  # squared norm of any reference seen so far
        self.own = threading.local()  # each core's memory

    def pieces(
        self, queries: np.ndarray, exclude: np.ndarray, k: int, candidates: int
    ) -> Iterator[tuple[slice, Proven]]:
        count = len(queries)
        side = self._side(count)
        together = max(self.cores * side, self.memory // 8 // (8 * candidates))  # whose candidates are held
        with _on(self.cores) as run:
            for start in range(0, count, together):
                stop = min(start + together, count)
                pieces = [
                    _Piece(slice(first, min(first + side, stop)), candidates)
                    for first in range(start, stop, side)
                ]
                for first in range(0, len(self.references), self.at_once):
                    self._hold(first, run)
                    last = first + self.at_once >= len(self.references)

                    def work(piece: _Piece) -> Proven | None:
                        self._compare(piece, queries, exclude)
                        found = self._proven(piece, queries, k) if last else None
                        let_go(queries)
                        return found

                    for piece, found in zip(pieces, run(work, pieces), strict=True):
                        if found is not None:
                            yield piece.rows, found
                    let_go(self.references)

    def _side(self, count: int) -> int:
        """Queries that a core takes at once: all cores as many, and as often."""
        dim = self.references.shape[1]
        most = min(QUERIES, max(1, self.memory // 8 // self.cores // (4 * dim)))
        return math.ceil(count / (self.cores * math.ceil(count / (self.cores * most))))

    def _hold(self, first: int, run: "Callable[[Callable, Iterable], Iterable]") -> None:
        """Holds the references from row `first` on, less the centre."""
        if self.first == first:
            return
        part = self.references[first : first + self.at_once]
        side = math.ceil(len(part) / self.cores)

        def move(begin: int) -> None:
            rows = slice(begin, min(begin + side, len(part)))
            self.item[rows, -1] = _moved(part[rows], self.centre, self.item[rows, :-1], -2)

        list(run(move, range(0, len(part), side)))
        self.first = first
        self.largest = float(np.maximum(self.largest, self.item[: len(part), -1].max()))

    def _compare(self, piece: "_Piece", every: np.ndarray, exclude: Int[np.ndarray, " query"]) -> None:
        """Brings the queries of a piece, some of `every`, past the references that are held."""
        queries, exclude = every[piece.rows], exclude[piece.rows]
        held = min(self.at_once, len(self.references) - self.first)
        width = min(REFERENCES, held, max(64, self.memory // 8 // self.cores // (4 * len(queries))))
        moved = self._room("queries", len(queries) * self.item.shape[1]).reshape(len(queries), -1)
        piece.norm[:] = _moved(queries, self.centre, moved[:, :-1])
        moved[:, -1] = 1
        if not (math.isfinite(self.largest) and np.isfinite(piece.norm).all()):
            refuse_what_is_not_finite(every, self.references)
        if (faiss := _faiss()) is not None:
            few = min(piece.kept.score.shape[1] + 1, held)  # one more, for it may be the ignored one
            _found_by_faiss(faiss, piece.kept, moved, self.item[:held], few, exclude, self.first)
            return
        for begin in range(0, held, width):
            there = self.item[begin : min(begin + width, held)]
            scores = self._room("scores", len(queries) * len(there)).reshape(len(queries), len(there))
            np.dot(moved, there.T, out=scores)
            first = self.first + begin
            few = max(1, SCORES // len(there))
            for start in range(0, len(queries), few):
                rows = slice(start, start + few)
                ignored = exclude[rows] - first
                hit = np.flatnonzero((ignored >= 0) & (ignored < len(there)))
                scores[start + hit, ignored[hit]] = np.inf
                pick(Kept(*(part[rows] for part in piece.kept)), scores[rows], first)

    def _proven(self, piece: "_Piece", queries: np.ndarray, k: int) -> Proven:
        norm = np.sqrt(piece.norm, dtype=np.float64)
        rounded = Rounded(norm, np.zeros(len(norm)), math.sqrt(self.largest))
        return prove(queries[piece.rows], self.references, piece.kept, rounded, k, threads=False)

    def _room(self, name: str, size: int) -> Float32[np.ndarray, " number"]:
        """Memory of this core, the same at each call: fresh memory takes long to get."""
        room = getattr(self.own, name, None)
        if room is None or len(room) < size:
            room = np.empty(size, np.float32)
            setattr(self.own, name, room)
        return room[:size]


class _Piece:
    """Some of the queries, which one core takes, and what it has found so far."""

    def __init__(self, rows: slice, candidates: int):
        count = rows.stop - rows.start
        self.rows = rows
        self.kept = nothing_kept(count, candidates)
        self.norm = np.empty(count, np.float32)  # of the queries, squared


def _moved(
    items: Shaped[np.ndarray, "row dim"],
    centre: Float32[np.ndarray, " dim"],
    out: Float32[np.ndarray, "row dim"],
    factor: int = 1,
) -> Float32[np.ndarray, " row"]:
    """Writes a multiple of the items less the centre to `out`; returns squared norms, not finite where an item is not.

    The norms are those of the items less the centre.
    """
    norm = np.zeros(len(items), np.float32)
    few = max(1, PIECE // items.shape[1])
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, len(items), few):
            rows = slice(start, start + few)
            for first in range(0, items.shape[1], PIECE):  # one, but for very long items
                part = slice(first, first + PIECE)
                moved: np.ndarray = out[rows, part]
                np.subtract(items[rows, part], centre[part], out=moved)
                norm[rows] += np.vecdot(moved, moved)
                if factor != 1:
                    moved *= factor
    return norm


def pick(kept: Kept, scores: Float32[np.ndarray, "query reference"], first: int) -> None:
    """Brings `kept` up to date with the scores of the references from row `first` on; uses them up.

    A pass over a row for its least score takes a hundredth of the time in which the row was multiplied, so each
    candidate has a pass of its own, until none is better than what is kept.
    """
    count, columns = kept.score.shape[1], scores.shape[1]
    few, worst = min(count, columns), kept.score.max(axis=1)
    if few > PASSES:
        column = np.argpartition(scores, few - 1, axis=1)[:, :few]
        score = np.take_along_axis(scores, column, axis=1)
        np.put_along_axis(scores, column, np.inf, axis=1)
    else:
        column = np.zeros((len(scores), few), np.intp)
        score = np.full((len(scores), few), np.inf, np.float32)
        rows = np.arange(len(scores))
        for place in range(few):
            column[:, place] = scores.argmin(axis=1)
            score[:, place] = scores[rows, column[:, place]]
            if not (score[:, place] < worst).any():
                break
            scores[rows, column[:, place]] = np.inf
    _merge(kept, score, column.astype(np.int32) + first, scores.min(axis=1))


def _found_by_faiss(
    faiss: Any,
    kept: Kept,
    moved: Float32[np.ndarray, "query number"],
    items: Float32[np.ndarray, "reference number"],
    few: int,
    exclude: Int[np.ndarray, " query"],
    first: int,
) -> None:
    """As products and `pick`: faiss finds the largest products, and their negatives are the scores."""
    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # of this thread
    try:
        product, row = faiss.knn(np.negative(moved, out=moved), items, few, metric=faiss.METRIC_INNER_PRODUCT)
    finally:
        faiss.omp_set_num_threads(threads)
    score, index = -product, row.astype(np.int32) + first
    left = score[:, -1].copy() if few < len(items) else np.full(len(score), np.inf, np.float32)
    score[index == exclude[:, None]] = np.inf
    _merge(kept, score, index, left)


def _merge(
    kept: Kept,
    score: Float32[np.ndarray, "query candidate"],
    index: Int[np.ndarray, "query candidate"],
    left: Float32[np.ndarray, " query"],
) -> None:
    """Keeps the best of what is kept and of other candidates; none that those left out is below `left`."""
    count = kept.score.shape[1]
    score = np.concatenate([kept.score, score], axis=1)
    index = np.concatenate([kept.index, index], axis=1)
    order = np.argpartition(score, count, axis=1)
    next_ = score[np.arange(len(score)), order[:, count]]
    kept.bound[:] = np.minimum(np.minimum(kept.bound, left), next_)
    kept.score[:] = np.take_along_axis(score, order[:, :count], axis=1)
    kept.index[:] = np.take_along_axis(index, order[:, :count], axis=1)


@cache
def _faiss() -> Any:
    """The library where it is installed (the extra `faiss`), else nothing."""
    try:
        import faiss
    except ImportError:
        return None
    return faiss if hasattr(faiss, "knn") else None  # not a folder of that name, nor a release without it


@contextlib.contextmanager
def _on(cores: int) -> Iterator[Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]]:
    """A `map` that has so many threads, each with a BLAS of its own; an error ends it at once."""
    with one_thread_each(), ThreadPoolExecutor(cores) as pool:

        def run(work: Callable[[Any], Any], pieces: Iterable[Any]) -> Iterable[Any]:
            pieces = list(pieces)
            return map(work, pieces) if len(pieces) == 1 else pool.map(work, pieces)

        try:
            yield run
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
