"""What every reader returns: items with their names, and the account of what was there and was not read."""

import collections
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import FIELD, InputError


class Items(NamedTuple):
    """Items read from one place, in a stated order.

    Attributes:
      values: uint8 [item, height, width, channel] for images, float32 [item, dim] for vectors; mapped from a file
        where they take more than the memory that reading may use.
      names: what to call each item: the file's path inside its folder, or "file[17]".
      note: one line on what was done to the stored values; "" where nothing was.
      skipped: names of what should have been read and could not be.
      unread: kind (".txt", "hidden") -> how many of it were there and are no items.
      left_out: name and reason of each of both.
      either: all are grey images that were stored as palettes, so that beside RGB sets they count as RGB.
    """

    values: Shaped[np.ndarray, "item ..."]
    names: Sequence[str]
    note: str = ""
    skipped: Sequence[str] = ()
    unread: Mapping[str, int] = MappingProxyType({})
    left_out: Sequence[tuple[str, str]] = ()
    either: bool = False


class Account:
    """Keeps the names of what is not read: refused at once, or skipped where `skip_bad` says so."""

    def __init__(self, skip_bad: bool = False):
        self.skip_bad = skip_bad
        self.skipped: list[str] = []
        self.unread: collections.Counter[str] = collections.Counter()
        self.left_out: list[tuple[str, str]] = []

    def bad(self, name: str, reason: object, what: str = "") -> None:
        """Something that should be read and cannot be."""
        why = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
        if not self.skip_bad:
            raise InputError(
                f"cannot read {what}{legible(name)} ({legible(why)}): repair or remove it, or pass {FIELD[0]} to leave "
                "such files out",
                "skip_bad",
            )
        self.skipped.append(name)
        self.left_out.append((name, why))

    def other(self, name: str, kind: str | None = None) -> None:
        """Something that is no item."""
        kind = kind or kind_of(name)
        self.unread[kind] += 1
        self.left_out.append((name, f"{kind}: not read"))

    def of(self, items: Items) -> Items:
        """The items, with this account added to their own."""
        unread = collections.Counter(items.unread) + self.unread
        said = f"{count_by_kind(self.unread)} not read" if self.unread else ""
        return items._replace(
            note="; ".join(filter(None, (items.note, said))),
            skipped=(*self.skipped, *items.skipped),
            unread=dict(unread),
            left_out=(*self.left_out, *items.left_out),
        )


@takes_arrays
def with_unused(items: Items, held_out: Items | None) -> Items:
    """The items, with held-out ones that came from the same source and have no use accounted for."""
    if held_out is None:
        return items
    account = Account()
    for name in held_out.names:
        account.other(name, "held-out items of the same source")
    return account.of(items)


def kind_of(name: str) -> str:
    """The kind of a file by its name: its ending in small letters, or "no ending"."""
    suffix = legible(PurePath(name).suffix.lower())
    return "other endings" if len(suffix) > 12 else suffix or "no ending"


@takes_arrays
def legible(name: str) -> str:
    """A name as a sentence can hold it: bytes that are no text and control characters escaped.

    >>> from memgen_jax import data
    >>> data.legible("a\\nb")
    'a\\\\nb'
    """
    text = name.encode(errors="backslashreplace").decode()
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)


@takes_arrays
def listed(names: Iterable[str], most: int = 20) -> str:
    """Names in words, of many only the first.

    >>> from memgen_jax import data
    >>> data.listed(["x", "y", "z"], most=2)
    'x, y and 1 more'
    """
    known = list(names)
    more = f" and {len(known) - most:,} more" if len(known) > most else ""
    return ", ".join(map(legible, known[:most])) + more


@takes_arrays
def count_by_kind(unread: Mapping[str, int]) -> str:
    """What was not read in words, most frequent first.

    >>> from memgen_jax import data
    >>> data.count_by_kind({".txt": 1, ".heic": 12})
    '12 .heic, 1 .txt'
    """
    ordered = sorted(unread.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ordered)


def joined(parts: Sequence[Items], memory: int | None = None) -> Items:
    """Several sets as one, in their order; above `memory` bytes mapped from a file.

    Raises:
      InputError: they hold items of different shapes or kinds.
    """
    from memgen_jax.data.room import copied

    first = parts[0]
    for part in parts[1:]:
        if part.values.shape[1:] != first.values.shape[1:] or part.values.dtype != first.values.dtype:
            raise InputError(
                f"{legible(part.names[0])} has shape {part.values.shape[1:]} and {legible(first.names[0])} "
                f"{first.values.shape[1:]}: items of one set must be of one shape; {FIELD[0]} and {FIELD[1]} bring "
                "images to one",
                "size",
                "channels",
            )
    unread: collections.Counter[str] = collections.Counter()
    for part in parts:
        unread.update(part.unread)
    return Items(
        copied([part.values for part in parts], memory),
        [name for part in parts for name in part.names],
        "; ".join(dict.fromkeys(part.note for part in parts if part.note)),
        [name for part in parts for name in part.skipped],
        dict(unread),
        [entry for part in parts for entry in part.left_out],
        all(part.either for part in parts),
    )


def numbered(name: str, count: int) -> list[str]:
    """What the items of one file are called."""
    return [f"{name}[{i}]" for i in range(count)]


def first_line(error: BaseException | Iterable[str]) -> str:
    """What an exception says, in one line."""
    return legible(str(error).splitlines()[0].rstrip(".:")[:200]) if str(error) else type(error).__name__
