"""Second and third step of an exact search: what was found is computed again, and proven.

Distances of the candidates come from float32 differences: identical items give exactly 0, and no rounding of the Gram
form reaches the result. A query is proven where no item that was left out could, within the Gram form's rounding
error, be as near as its k-th.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from memgen_jax.neighbors.rows import rounding_doubt, squared_distances
from memgen_jax.neighbors.tiles import Kept


class Rounded(NamedTuple):
    """What bounds the rounding of a tile's scores; norms are those of centred items."""

    norm: Float[np.ndarray, " query"]
    error: Float[np.ndarray, " query"]  # by how much rounding to the search's dtype may move a distance
    largest: float  # norm of any reference


def prove(
    queries: np.ndarray,
    references: np.ndarray,
    found: Kept,
    rounded: Rounded,
    k: int,
    *,
    threads: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The k nearest of the candidates, and whether no other item can be nearer.

    Args:
      queries: some of them, and all `references`, as stored.
      found: candidates of each query, and a bound of the scores that were left out.
      rounded: what bounds the rounding of the scores.
      threads: whether several may compute distances.

    Returns:
      Squared distances (float64) and indices [query, k], and whether each row is proven.
    """
    index = np.asarray(found.index, np.int64)
    square = np.full(index.shape, np.inf)  # stays so for the excluded item and slots never filled
    rows, columns = np.nonzero(_may_be_among(np.asarray(found.score), rounded, queries.shape[1], k))
    square[rows, columns] = squared_distances(
        queries, references, rows, index[rows, columns], threads=threads
    )
    order = np.lexsort((index, square))[:, :k]
    square, index = np.take_along_axis(square, order, 1), np.take_along_axis(index, order, 1)
    farthest = np.sqrt(square[:, -1])
    # An item whose norm exceeds |q| + farthest is farther away: only the others can mislead.
    reach = rounded.norm + np.minimum(rounded.largest, rounded.norm + farthest)
    doubt = rounding_doubt(queries.shape[1], reach)
    left_out = np.sqrt(np.maximum(found.bound + rounded.norm**2 - doubt, 0))
    return square, index, farthest < left_out - rounded.error - 2.0**-23 * reach


def _may_be_among(
    score: Float[np.ndarray, "query candidate"], rounded: Rounded, dim: int, k: int
) -> Bool[np.ndarray, "query candidate"]:
    """Which candidates may, within rounding, be among the k nearest: only those are worth a second look."""
    norm = rounded.norm[:, None]
    doubt = rounding_doubt(dim, norm + rounded.largest)
    error = rounded.error[:, None] + 2.0**-23 * (norm + rounded.largest)
    square = score.astype(np.float64) + norm**2
    farthest = np.partition(square, k - 1, axis=1)[:, k - 1 : k]
    nearest_it_may_be = np.sqrt(np.maximum(square - doubt, 0)) - error
    return (nearest_it_may_be <= np.sqrt(np.maximum(farthest + doubt, 0)) + error) & np.isfinite(score)
