"""Vectors that stay on the devices on which they were made: a search takes them from there and sends nothing.

The host has them too, for candidates are verified there. An array of the host and the rows on the devices are told
to belong together by where the array lies in memory, so a slice of it, any `array[a:b]`, is found as well. The rows go
when the array does.
"""

import functools
import math
import weakref
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.neighbors.rows import local_mesh, padded, tile_memory


class _Twin(NamedTuple):
    """Rows of an array of the host, `length` of them from `address` on, that are on every device too."""

    rows: Array  # [at least length, dim]
    address: int
    length: int


_TWINS: dict[int, _Twin] = {}  # by the id of the array that owns the memory


def worthwhile(mesh: Mesh) -> bool:
    """Whether the devices have a memory of their own: that of a CPU is the host's."""
    return mesh.devices.flat[0].platform != "cpu"


class Keeper:
    """Gathers rows, made some at a time, into one array on every device; keeps none where they have no room.

    They may take a quarter of the memory that a search may take, as references may.
    """

    def __init__(self, mesh: Mesh, dtype: np.dtype | str):
        self._everywhere = NamedSharding(mesh, PartitionSpec())
        self._dtype = np.dtype(dtype)
        self._room = tile_memory(mesh) // 4 if worthwhile(mesh) else 0
        self._rows: Array | None = None
        self._added = 0

    def add(self, rows: Array, first: int, total: int) -> np.ndarray:
        """Takes rows first, first + 1, … of `total`, and returns them on the host, as the dtype says.

        Args:
          rows: [row, dim], as many in every call; in the last there may be fewer, or some too many.
        """
        if self._rows is None and self._room:
            capacity = math.ceil(total / len(rows)) * len(rows)
            if capacity * rows.shape[1] * self._dtype.itemsize > self._room:
                self._room = 0
            else:
                shape = capacity, rows.shape[1]
                self._rows = jnp.zeros(shape, self._dtype, device=self._everywhere)
        if self._rows is not None and self._rows.shape[1] != rows.shape[1]:
            self._rows, self._room = None, 0
        if self._rows is None:
            return np.asarray(rows).astype(self._dtype, copy=False)
        rows = rows.astype(self._dtype)  # here: the host's and the devices' are then the same numbers
        self._rows = _put(self._rows, jax.device_put(rows, self._everywhere), first)
        self._added += min(len(rows), total - first)
        return np.asarray(rows)

    def keep(self, items: np.ndarray) -> None:
        """Says that `items` are the rows, where all of them were added; they can no longer be written to."""
        if self._rows is not None and self._added == len(items):
            _remember(items, self._rows)


def _remember(items: np.ndarray, rows: Array) -> None:
    items.flags.writeable = False
    owner = _owner(items)
    _TWINS[id(owner)] = _Twin(rows, items.ctypes.data, len(items))
    weakref.finalize(owner, _TWINS.pop, id(owner), None)


def release() -> None:
    """Lets all rows on the devices go, before something else needs their memory; the host's stay."""
    _TWINS.clear()


@takes_arrays
def taken(
    items: Shaped[np.ndarray, "item dim"], rows: slice | Int[np.ndarray, " row"]
) -> Shaped[np.ndarray, "_ dim"]:
    """items[rows]; they are on the devices, if there is room, where those of `items` are."""
    chosen = items[rows]
    found = _found(items)
    if found is not None and isinstance(rows, np.ndarray):
        twin, first = found
        if chosen.nbytes > tile_memory(local_mesh()) // 4:
            return chosen
        _remember(chosen, jnp.take(twin.rows, jnp.asarray(first + rows), axis=0))
    return chosen


def rows_there(items: Shaped[np.ndarray, "row dim"], count: int, sharding: NamedSharding) -> Array:
    """The rows on the devices, laid out by `sharding`, and beyond them finite ones up to `count`.

    They are a new array, which may be used up.
    """
    found = _found(items)
    if found is None:
        return jax.device_put(padded(items, count), sharding)
    twin, first = found
    if twin.rows.sharding.device_set != sharding.device_set:
        return jax.device_put(padded(items, count), sharding)
    return jax.device_put(_part(twin.rows, first, count), sharding)


def _owner(items: np.ndarray) -> np.ndarray:
    while isinstance(items.base, np.ndarray):
        items = items.base
    return items


def _found(items: np.ndarray) -> tuple[_Twin, int] | None:
    """The rows on the devices that `items` are a part of, and which of them is its first."""
    twin = _TWINS.get(id(_owner(items))) if _TWINS else None
    if twin is None or not len(items) or items.dtype != twin.rows.dtype or not items.flags.c_contiguous:
        return None
    if items.ndim != 2 or items.shape[1] != twin.rows.shape[1]:
        return None
    first, rest = divmod(items.ctypes.data - twin.address, items[:1].nbytes)
    return (twin, first) if not rest and 0 <= first <= twin.length - len(items) else None


@functools.partial(jax.jit, donate_argnums=0)
def _put(all_rows: Array, rows: Array, first: int | Array) -> Array:
    return jax.lax.dynamic_update_slice(all_rows, rows, (first, 0))


@functools.partial(jax.jit, static_argnums=2)
def _part(rows: Array, first: int | Array, count: int) -> Array:
    """Rows first, first + 1, …; the last again where there are not so many."""
    return jnp.take(rows, first + jnp.arange(count), axis=0, mode="clip")
