"""How much memory an audit may take, and which part of it each stage."""

import functools
from typing import NamedTuple

import jax

from memgen_jax.data import room

LEAST = 2**27  # bytes beside the program itself
MOST_BY_DEFAULT = 4 * 2**30  # for the tiles of a search, which gets no faster with more
PROGRAMS = 3 * 2**26  # what compiled programs take, and their compiler while it works


class Budget(NamedTuple):
    """Bytes that the stages of an audit may take; one stage works at a time, and the sets stay.

    Attributes:
      items: that each of the sets may take in memory; a larger one lies in a file.
      embedding: of a batch of pictures, half of which the vectors of a set may take in memory.
      tiles: of a search, on each device; None where an accelerator is asked for its own.
    """

    items: int
    embedding: int
    tiles: int | None


def of(gigabytes: float | None) -> Budget:
    """Of so many gigabytes for the whole process; by default a third of what is free."""
    devices = jax.local_devices()
    on_cpu = devices[0].platform == "cpu"
    if gigabytes is None:
        left = max(room.free_memory() // 3, LEAST)
        tiles = min(left // 2, MOST_BY_DEFAULT) // len(devices) if on_cpu else None
    else:
        left = max(round(gigabytes * 2**30) - _own(gigabytes), LEAST)
        tiles = left // 2 // (len(devices) if on_cpu else 1)
    return Budget(left // 8, left // 2, tiles)


def warning(gigabytes: float | None) -> str:
    """A sentence where so many gigabytes cannot be kept; else ""."""
    if gigabytes is None or round(gigabytes * 2**30) >= (own := _own(gigabytes)) + LEAST:
        return ""
    return (
        f"Warning: {gigabytes:g} GB of memory cannot be kept to: the program itself takes {own / 2**30:.1f}, and the "
        f"least that it works with is {(own + LEAST) / 2**30:.1f}."
    )


@functools.cache
def _own(gigabytes: float) -> int:
    """What the program itself takes, measured once for a limit: later it would count what an audit left."""
    return room.own_memory() + PROGRAMS
