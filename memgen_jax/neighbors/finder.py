"""What the ways to search have in common: references once, then any number of queries, in pieces that are proven."""

import abc
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int
from tqdm import tqdm

Proven = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Squared distances (float64) and indices [query, k], and whether each row is proven; see `prove`."""


class Finder(abc.ABC):
    """The references with what a search over them needs; called once per set of queries."""

    def __init__(self, references: np.ndarray):
        self.references = references

    def __call__(
        self,
        queries: np.ndarray,
        exclude: Int[np.ndarray, " query"],
        k: int,
        candidates: int,
        progress: str | None = None,
    ) -> Proven:
        """The k nearest references of every query, of so many candidates.

        Args:
          exclude: the row of the references that is no neighbour of a query, -1 for none.
          progress: what a bar calls this; no bar where not given, and none where the output is no terminal.
        """
        count = len(queries)
        square, index, certain = np.empty((count, k)), np.empty((count, k), np.int64), np.empty(count, bool)
        hidden = None if progress else True  # None: shown on a terminal only
        with tqdm(total=count, desc=progress, unit="item", disable=hidden) as bar:
            for rows, found in self.pieces(queries, exclude, k, min(candidates, len(self.references))):
                square[rows], index[rows], certain[rows] = found
                bar.update(rows.stop - rows.start)
        return square, index, certain

    @abc.abstractmethod
    def pieces(
        self, queries: np.ndarray, exclude: Int[np.ndarray, " query"], k: int, candidates: int
    ) -> Iterator[tuple[slice, Proven]]:
        """Some of the queries, and what was found of them, until all are done; see `__call__`."""
