"""Exact nearest neighbours under L2, tiled, on processors or on every local accelerator.

The search runs in three steps, so that it is as fast as a matrix product and still exact.

1. Tiles of queries meet tiles of references in Gram form, |r|² - 2 q·r: on a processor's cores by BLAS
   (`on_processors`), of items too long for a tile some coordinates at a time (`in_parts`), else on JAX's devices
   (`on_devices`). Of every tile only a few candidates a query survive,
   and a bound below all scores that were left out.
2. The candidates' distances are computed again from float32 differences, on the host: identical items
   give exactly 0, and no rounding of the Gram form reaches the result.
3. If some item that was not kept could, within the Gram form's rounding error, be as near as the
   k-th one, the query is searched again with more candidates. So the answer does not depend on
   tile, memory, device or precision of the search.
"""

import functools
import hashlib
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float32, Int, Int32, Shaped

from memgen_jax.annotations import FloatName
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import room
from memgen_jax.errors import InputError
from memgen_jax.mapped import let_go
from memgen_jax.neighbors.finder import Finder
from memgen_jax.neighbors.in_parts import InParts, are_long
from memgen_jax.neighbors.on_devices import OnDevices
from memgen_jax.neighbors.on_processors import OnProcessors
from memgen_jax.neighbors.rows import LEAST_MEMORY, as_rows, local_mesh, tile_memory
from memgen_jax.neighbors.scales import require_one_scale

# Extra candidates: they settle near-ties without a second search.
SPARE, SPARE_ON_PROCESSORS = 4, 2
LONG = 2**20  # bytes of an item, which is then let go as soon as it is read


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
    dtype: FloatName = "float32",
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
      mesh: devices that share the queries; by default all local accelerators, or, where there is none, the cores of
        the processor by BLAS.
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
    if mesh is None and (jax.default_backend() != "cpu" or dtype != "float32"):
        mesh = local_mesh()
    if memory is None:
        memory = LEAST_MEMORY if mesh is None else tile_memory(mesh)
    prepare = functools.partial(_finder, memory=memory, dtype=dtype, mesh=mesh)
    finder = prepare(references)
    if mesh is None:
        spare = SPARE_ON_PROCESSORS
    else:
        spare = 0 if k == 1 else SPARE  # one alone is found without sorting
    square, index, certain = finder(queries, exclude, k, k + spare, progress)
    some = functools.partial(room.taken, memory=memory)
    rows = np.flatnonzero(~certain)
    if len(rows):  # near-ties
        again = some(queries, rows)
        square[rows], index[rows], certain[rows] = finder(again, exclude[rows], k, 8 * (k + SPARE))
        rows = np.flatnonzero(~certain)
    if len(rows):  # any number of ties
        square[rows], index[rows] = _settle(prepare, finder, some, some(queries, rows), exclude[rows], k)
    distance = square * scale**2 if squared else np.sqrt(square) * scale
    return Neighbors(distance.astype(np.float32), index.astype(np.int32))


def _finder(references: np.ndarray, memory: int, dtype: str, mesh: Mesh | None) -> Finder:
    if mesh is not None:
        return OnDevices(references, memory, jnp.dtype(dtype), mesh)
    if are_long(len(references), references.shape[1], memory):
        return InParts(references, memory)
    return OnProcessors(references, memory)


def _settle(
    prepare: Callable[[np.ndarray], Finder],
    finder: Finder,
    some: Callable[[np.ndarray, np.ndarray], np.ndarray],
    queries: np.ndarray,
    exclude: np.ndarray,
    k: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Searches again where more items tie than were kept.

    Nearly always these are exact duplicates among the references (a collapsed model repeats one
    image thousands of times), so equal rows are searched as one and taken apart afterwards.

    Args:
      some: of items those at some rows, in a file where they have no room.
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
        distinct = prepare(some(finder.references, firsts))
    square = np.empty((len(queries), k))
    index = np.empty((len(queries), k), np.int64)
    open_rows, candidates = np.arange(len(queries)), 8 * (k + SPARE)
    while len(open_rows):
        near, groups, certain = distinct(
            some(queries, open_rows), ignored[open_rows], min(k, len(firsts)), candidates
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
        if item.nbytes > LONG:
            let_go(items)
    return list(groups.values())
