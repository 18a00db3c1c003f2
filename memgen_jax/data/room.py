"""Room for what is read: in memory, or in a file without a name where it is too large for that."""

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from memgen_jax.errors import FIELD, InputError
from memgen_jax.mapped import let_go

SHARE = 3  # a set that takes more than this part of the free memory lies in a file
BLOCK = 2**25  # bytes that are converted at a time


def free_memory() -> int:
    """Bytes that the machine, and the control group that this process is in, still have."""
    free = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable")]
        group = Path("/sys/fs/cgroup")
        limit, used = group / "memory.max", group / "memory.current"
        if not limit.exists():  # the first version of control groups
            limit, used = (group / "memory" / f"memory.{what}_in_bytes" for what in ("limit", "usage"))
        free += [int(limit.read_text()) - int(used.read_text())]
    except (OSError, ValueError):  # no Linux, no such group, or "max"
        pass
    return max(min(free), 0)


def own_memory() -> int:
    """Bytes of memory that this process holds at present; 0 where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 0


def most_held_by(call: Callable[[], object]) -> int:
    """Bytes by which a call raises the memory of this process, at most; 0 where the system does not tell."""
    before = own_memory()
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forgets the highest so far
    except OSError:  # no Linux, or not allowed: then at least what is still held afterwards
        call()
        return max(own_memory() - before, 0)
    call()
    status = Path("/proc/self/status").read_text()
    return max(1024 * int(status.partition("VmHWM:")[2].split()[0]) - before, 0)


def allowed(memory: int | None) -> int:
    """Bytes that one set may take in memory, where `memory` says none."""
    return free_memory() // SHARE if memory is None else memory


def make_room(shape: tuple[int, ...], dtype: np.dtype, memory: int | None = None) -> np.ndarray:
    """An array to fill; above `memory` bytes it is mapped from a file whose blocks are taken from the disk at once.

    A map that finds the disk full while it is written would kill the process without a word.

    Raises:
      InputError: neither has room.
    """
    needed = math.prod(shape) * dtype.itemsize
    if needed <= allowed(memory):
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="memgen-items-") as file:
            if hasattr(os, "posix_fallocate"):  # macOS has none
                os.posix_fallocate(file.fileno(), 0, needed)
            return np.memmap(file, dtype, "r+", shape=shape)
    except (OSError, OverflowError, ValueError) as error:
        what = f"{shape[0]:,} numbers"
        if len(shape) > 1:
            what = f"{shape[0]:,} items of {'×'.join(map(str, shape[1:]))}"
        raise InputError(
            f"{what} take {needed / 1e9:,.1f} GB, for which there is no "
            f"room in memory nor in {tempfile.gettempdir()} ({getattr(error, 'strerror', None) or error}): give "
            f"{FIELD[0]} to shrink images, or set TMPDIR to a folder with room",
            "size",
        ) from error


def blocks(count: int, item_bytes: int) -> Iterator[slice]:
    """Rows that fit a block, one after another."""
    step = max(1, BLOCK // max(1, item_bytes))
    for start in range(0, count, step):
        yield slice(start, min(start + step, count))


def converted(
    array: Shaped[np.ndarray, "item ..."],
    change: Callable[[np.ndarray], np.ndarray],
    item_shape: tuple[int, ...],
    dtype: np.dtype,
    memory: int | None = None,
) -> Shaped[np.ndarray, "item ..."]:
    """`change` of an array, made block by block."""
    out = make_room((len(array), *item_shape), dtype, memory)
    for rows in blocks(len(array), math.prod(array.shape[1:]) * max(array.dtype.itemsize, dtype.itemsize)):
        out[rows] = change(array[rows])
        let_go(array)
        let_go(out)
    return out


def in_memory(array: np.memmap) -> np.ndarray:
    """A copy of a mapped array, made block by block."""
    out = np.empty(array.shape, array.dtype)
    for rows in blocks(len(array), array[:1].nbytes):
        out[rows] = array[rows]
        let_go(array)
    return out


def taken(array: np.ndarray, chosen: np.ndarray, memory: int | None = None) -> np.ndarray:
    """Some items of an array, in their order."""
    out = make_room((len(chosen), *array.shape[1:]), array.dtype, memory)
    for rows in blocks(len(chosen), array[:1].nbytes):
        out[rows] = array[chosen[rows]]
        let_go(array)
        let_go(out)
    return out


def copied(parts: Sequence[np.ndarray], memory: int | None = None) -> np.ndarray:
    """Arrays of one kind after one another."""
    if len(parts) == 1:
        return parts[0]
    out = make_room((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype, memory)
    start = 0
    for part in parts:
        for rows in blocks(len(part), math.prod(part.shape[1:]) * part.dtype.itemsize):
            out[start + rows.start : start + rows.stop] = part[rows]
            let_go(part)
            let_go(out)
        start += len(part)
    return out
