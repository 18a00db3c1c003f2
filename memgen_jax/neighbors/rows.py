"""Rows, tiles and rounding: what the search for nearest items and the counting of near ones share."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from jaxtyping import Array, Float, Int, Shaped

from memgen_jax.cores import available_cores, one_thread_each
from memgen_jax.errors import InputError
from memgen_jax.mapped import let_go
from memgen_jax.neighbors.tiles import BLOCK

LEAST_MEMORY = 2**29
FEW_AMID = (
    16  # items whose median is the point that is taken from all: more of them take longer than they save
)
PIECE = 2**17  # numbers of items that are taken at a time on the host: they fit a processor's cache
FEW_PIECES = 64  # so many are done sooner than threads have started
FEW = 8  # rows of which a tile is a multiple where a block of them has no room
SMALL = (128, 192, 256, 384, 512, 768, 1024)  # rows of small tiles; multiples of a block


def local_mesh() -> Mesh:
    """All local devices in one mesh axis, `query`."""
    return jax.make_mesh(
        (jax.local_device_count(),),
        ("query",),
        axis_types=(AxisType.Auto,),
        devices=jax.local_devices(),
    )


def tile_memory(mesh: Mesh) -> int:
    """Bytes that tiles may take on each device: half of what an accelerator has free; 512 MiB where none is told."""
    free = []
    for device in mesh.local_devices:
        told = device.memory_stats() or {}
        if device.platform != "cpu" and "bytes_limit" in told:
            free.append(told["bytes_limit"] - told.get("bytes_in_use", 0))
    return max(min(free) // 2, LEAST_MEMORY) if free else LEAST_MEMORY


def place_of_references(count: int, dim: int, memory: int, devices: int) -> Literal["each", "spread", "sent"]:
    """Where references stay during a search: on each device, spread over all of them, or nowhere.

    They may take a quarter of a device's `memory` (bytes), as float32. What stays nowhere is sent anew for each tile of
    queries.
    """
    needed = 4 * (count + BLOCK) * dim
    if needed <= memory // 4:
        return "each"
    return "spread" if devices > 1 and needed <= devices * (memory // 4) else "sent"


def as_rows(name: str, items: np.ndarray | Array) -> np.ndarray:
    if items.ndim < 1 or len(items) == 0:
        raise InputError(f"{name} is empty; give at least one item")
    items = np.asarray(items)
    if items.dtype not in (np.uint8, np.float16, np.float32):
        items = items.astype(np.float32)
    return items.reshape(len(items), -1)


def rounding_doubt(dim: int, reach: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """By how much rounding may move a squared distance in Gram form, of items whose norms sum to `reach`.

    Rounding of sums of d products grows as sqrt(d) u (Higham & Mary 2019); 4 is a margin.
    """
    return rounding_constant(dim) * reach**2


def rounding_constant(dim: int) -> float:
    """See `rounding_doubt`: what the square of the norms' sum is multiplied with."""
    return (4 * math.sqrt(dim) + 8) * 2.0**-24


def squared_distances(
    queries: np.ndarray,
    references: np.ndarray,
    query: Int[np.ndarray, " pair"],
    reference: Int[np.ndarray, " pair"],
    *,
    threads: bool = True,
) -> Float[np.ndarray, " pair"]:
    """|q - r|² from float32 differences (exact for uint8), summed in float64; many, by a thread a core."""
    square = np.zeros(len(query))
    dim = queries.shape[1]
    piece = max(1, PIECE // dim)

    def compute(starts: Sequence[int] | Int[np.ndarray, " start"]) -> None:
        shape = min(piece, len(query)), min(dim, PIECE)
        difference, other, long = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape)
        for start in starts:
            pairs = slice(start, start + piece)
            for first in range(0, dim, PIECE):  # one, but for very long items
                part = slice(first, min(first + PIECE, dim))
                here = slice(len(query[pairs])), slice(part.stop - first)
                _take(references, reference[pairs], part, difference[here])
                _take(queries, query[pairs], part, other[here])
                difference[here] -= other[here]
                long[here] = difference[here]
                square[pairs] += np.vecdot(long[here], long[here])
            if dim > PIECE:  # a whole item of a file was read
                let_go(queries)
                let_go(references)

    starts = range(0, len(query), piece)
    if not threads:
        compute(starts)
        return square
    with one_thread_each():
        if len(starts) <= FEW_PIECES:
            compute(starts)
        else:
            with ThreadPoolExecutor(available_cores()) as pool:
                list(pool.map(compute, np.array_split(starts, FEW_PIECES)))
    return square


def _take(
    items: np.ndarray, rows: Int[np.ndarray, " row"], part: slice, out: Float[np.ndarray, "row number"]
) -> None:
    """Writes a part of some rows to `out`: at once where nothing is to be converted."""
    if items.dtype == out.dtype and items.flags.c_contiguous and out.shape[1] == items.shape[1]:
        np.take(items, rows, axis=0, out=out, mode="clip")  # "raise" would copy once more
    else:
        out[...] = items[rows, part]


def refuse_what_is_not_finite(queries: np.ndarray, references: np.ndarray) -> None:
    for name, items in (("queries", queries), ("references", references)):
        for row, item in enumerate(items):
            if not np.isfinite(item).all():
                raise InputError(f"item {row} of {name} holds NaN or infinity; remove or repair it")
    raise InputError("distances overflow float32; scale the items to a range such as [-1, 1]")


def tile_sides(memory: int, dim: int, most: int) -> tuple[int, int]:
    """Rows of a tile of queries, at most about `most`, and of one of references.

    Items and scores fit in 3/4 of the memory, 8 q r + 8 (q + r) d bytes; the two are alike where `most`
    allows it.
    """
    room = 3 * memory // 4
    queries = _whole(min(math.isqrt(dim**2 + room // 8) - dim, most))
    return queries, _whole((room - 8 * queries * dim) // (8 * (queries + dim)))


def _whole(rows: int) -> int:
    """So many rows or fewer, whole blocks where there is room for one; at least one row."""
    multiple = _multiple(rows, BLOCK)
    return max(rows - rows % multiple, 1)


def _multiple(side: int, usual: int) -> int:
    """Of what a tile's rows are a multiple where it has at most so many: items may be so long that few fit."""
    return usual if side >= BLOCK else FEW if side >= FEW else 1


def rows_per_tile(count: int, side: int, multiple: int) -> int:
    """Rows per tile: all tiles alike, and small ones of a few sizes only, for each size is compiled.

    What a small tile has beyond its rows is compared too: at most half as many as there are.
    """
    if side >= BLOCK and count <= min(side, SMALL[-1]):
        return min(next(size for size in SMALL if count <= size), side)
    per_tile = math.ceil(count / math.ceil(count / side))
    multiple = _multiple(side, multiple)
    return math.ceil(per_tile / multiple) * multiple


def point_amid(references: Shaped[np.ndarray, "reference dim"]) -> Float[np.ndarray, " dim"]:
    """The median of a few of the items, of fewer where they are very long."""
    dim = references.shape[1]
    count = min(FEW_AMID, max(1, 128 * PIECE // dim))
    few = references[:: max(1, len(references) // count)][:count]
    middle = np.empty(dim, np.float32)
    for first in range(0, dim, PIECE):
        part = slice(first, first + PIECE)
        middle[part] = np.median(few[:, part].astype(np.float32), axis=0)
        let_go(references)
    return middle


def padded(rows: np.ndarray, count: int) -> np.ndarray:
    if len(rows) == count:
        return rows
    return np.concatenate([rows, np.zeros((count - len(rows), *rows.shape[1:]), rows.dtype)])
