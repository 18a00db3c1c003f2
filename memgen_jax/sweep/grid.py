"""The sizes K of a sweep: given, the paper's grid, a coarse search, or the search and then the grid."""

import ast
from collections.abc import Sequence

import numpy as np
from scipy.optimize import isotonic_regression

from memgen_jax.data import coarse_grid, paper_grid
from memgen_jax.errors import InputError

KINDS = ("given", "paper", "coarse", "auto")


def first_sizes(
    grid: str, *, given: Sequence[int], ends: Sequence[int], total: int, first: int
) -> tuple[int, ...]:
    """The sizes to train before anything is known: all of them, or for "auto" those of the coarse search.

    Args:
      grid: "given" takes `given`; "paper" the 38 sizes around `ends`, A and B (`data.paper_grid`); "coarse"
        and "auto" the search from `first` on, doubling (`data.coarse_grid`); sizes written out, such as
        "(2, 500, 1000)", are taken as they are.
      total: number of training items.
    Raises:
      InputError: another word, or A and B that do not satisfy 2 < A < B < total.
    """
    if grid == "given":
        return tuple(given)
    if grid == "paper":
        if len(ends) != 2:
            raise InputError.setting("grid_ends", tuple(ends), "two sizes, A and B")
        return paper_grid(ends[0], ends[1], total)
    if grid in ("coarse", "auto"):
        return coarse_grid(total, first)
    try:
        sizes = ast.literal_eval(grid)
    except (ValueError, SyntaxError):
        sizes = None
    if not isinstance(sizes, tuple) or not all(type(size) is int for size in sizes):
        raise InputError.setting("grid", grid, f"one of {', '.join(KINDS)}, or sizes such as (2,500,1000)")
    return sizes


def propose_ends(
    num_train: Sequence[int], memorized: Sequence[float], total: int, high: float = 0.9, low: float = 0.1
) -> tuple[int, int]:
    """A and B from a coarse curve: the sizes between which memorization falls.

    The curve is first made non-increasing (isotonic regression). A is the largest size of the search that
    is still memorized to at least `high`, or the smallest size if none is; B the smallest that is memorized
    to at most `low`, or the largest size below the whole data set if none is.

    Args:
      num_train: sizes of the search, ascending.
      memorized: memorized fraction at each.
      total: number of training items.
    Raises:
      InputError: the search leaves no room for a grid.
    """
    sizes = np.asarray(num_train)
    curve = isotonic_regression(np.asarray(memorized, float), increasing=False).x
    full, gone = sizes[curve >= high], sizes[curve <= low]
    below = sizes[sizes < total]
    a = int(full.max() if len(full) else sizes.min())
    b = int(gone.min() if len(gone) else below.max(initial=0))
    if b == total:
        b = int(below.max(initial=0))
    if not 2 < a < b < total:
        shares = ", ".join(f"{share:.0%} at {size:,}" for size, share in zip(sizes, curve, strict=True))
        raise InputError(
            f"the coarse search proposes A = {a} and B = {b}, between which no grid fits (memorized: "
            f"{shares}): in a new workdir lower grid_first, raise train.num_steps, or give grid_ends with grid=paper."
        )
    return a, b
