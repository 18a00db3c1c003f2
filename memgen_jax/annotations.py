"""What an annotation asks of a value: a reader that gives the value back as it is wanted, or refuses it.

Arrays are `arrays_in`'s; here are the other kinds: numbers, text, classes, protocols, functions, lists, tuples,
mappings, one of several.
"""

import collections.abc
import os
import types
import typing
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from memgen_jax.errors import InputError


class Asked(typing.NamedTuple):
    """What is wanted, in words that complete "and … is wanted", and `read(name, value) -> value`.

    Attributes:
      number: int or float, where it is one number.
    """

    words: str
    read: Callable[[str, Any], Any]
    number: type | None = None


class AtLeast(typing.NamedTuple):
    """Of an annotation: the least value of a number, or the fewest entries of a list or an array."""

    least: float


class OneOf(typing.NamedTuple):
    """Of an annotation of text: what it may be, `Annotated[str, OneOf(("a", "b"))]`."""

    values: tuple[str, ...]


Positive = typing.Annotated[int, AtLeast(1)]
NotNegative = typing.Annotated[int, AtLeast(0)]
Amount = typing.Annotated[float, AtLeast(0)]
Anything = typing.TypeVar("Anything")
Some = typing.Annotated[Anything, AtLeast(1)]
"""`Some[Sequence[int]]`: not empty."""
FloatName = typing.Annotated[str, OneOf(("float32", "float16", "bfloat16"))]

_UNCHECKED = (typing.Any, object, type, complex)


def shown(value: object) -> str:
    """A value in one short line."""
    line = " ".join(repr(value).split())
    return line if len(line) <= 60 else f"{line[:57]}…"


def asked_by(hint: Any, array_asked_by: Callable[[Any], Asked | None]) -> Asked | None:
    """What a hint asks for; None where anything goes.

    Args:
      array_asked_by: the same for hints of arrays alone, None for all others.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    own = None if origin is typing.Annotated else array_asked_by(hint)
    if own is not None:
        return own

    def inner(part: Any) -> Asked | None:
        return asked_by(part, array_asked_by)

    if hint in _UNCHECKED or hint is None or hint is type(None):
        return None
    if isinstance(hint, typing.TypeVar):
        if hint.__constraints__:
            return _one_of(hint.__constraints__, inner)
        return inner(hint.__bound__) if hint.__bound__ else None
    if origin is typing.Annotated:
        if isinstance(parts[1], OneOf):
            return _literal(parts[1].values)
        asked = inner(parts[0])
        least = next((one.least for one in parts[1:] if isinstance(one, AtLeast)), None)
        return asked if asked is None or least is None else _at_least(asked, least)
    if origin in (typing.Union, types.UnionType):
        return _one_of(parts, inner)
    if origin is typing.Literal:
        return _literal(parts)
    if hint in (int, float):
        return _number(hint)
    if hint is bool:
        return Asked("True or False", _bool)
    if origin is tuple:
        return _tuple(parts, inner)
    if hint is Callable or origin is collections.abc.Callable:
        return Asked("a function", _function)
    if origin in (collections.abc.Mapping, dict) or hint in (collections.abc.Mapping, dict):
        return _mapping(parts, inner)
    if origin in (collections.abc.Sequence, list) or hint in (collections.abc.Sequence, list):
        return _sequence(inner(parts[0]) if parts else None)
    if origin is collections.abc.Iterable:
        return _iterable(inner(parts[0]))
    kind = origin if isinstance(origin, type) else hint
    return _class(kind) if isinstance(kind, type) else None


def as_given(name: str, value: Any) -> Any:
    return value


def read_number(name: str, value: Any, kind: type) -> Any:
    """The number; a whole one as Python's, whatever it came as, where such a one is wanted.

    Of a tensor with one number, that number; True and False are no whole numbers.
    """
    if type(value) is kind or (kind is float and isinstance(value, float)):
        return value  # of a million, each at once
    if hasattr(value, "detach"):
        value = _number_of_tensor(name, value)
    is_number = isinstance(value, int | float | np.number | np.bool_ | jax.Array) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    )
    if not is_number or getattr(getattr(value, "dtype", None), "kind", "f") in "cOSU":
        raise InputError(f"{name}={shown(value)} is not a number: give one")
    if isinstance(value, jax.Array):
        if value.ndim:
            raise InputError(f"{name} has shape {value.shape}, and one number is wanted")
        return value
    if kind is not int:
        return bool(value) if isinstance(value, np.bool_) else value
    truth = isinstance(value, bool) or getattr(value, "dtype", None) == np.bool_
    if truth or not np.isfinite(value) or value != int(value):
        raise InputError(f"{name}={shown(value)} is not a whole number: give one")
    return int(value)


def _number_of_tensor(name: str, tensor: Any) -> Any:
    """The number of a tensor of torch's without dimensions, without torch."""
    if getattr((device := getattr(tensor, "device", None)), "type", "cpu") != "cpu":
        raise InputError(f"{name} is a tensor on {device}: give {name}.cpu()")
    try:
        array = np.asarray(tensor.detach().numpy())
    except (TypeError, ValueError, RuntimeError):  # a tensor of a type that NumPy lacks, a sparse one
        raise InputError(f"{name} is a tensor that cannot be read as a number: give one") from None
    if array.ndim:
        raise InputError(f"{name} has shape {array.shape}, and one number is wanted")
    return array[()]


def _number(kind: type) -> Asked:
    words = "a whole number" if kind is int else "a number"
    return Asked(words, lambda name, value: read_number(name, value, kind), kind)


def _at_least(asked: Asked, least: float) -> Asked:
    def read(name: str, value: Any) -> Any:
        value = asked.read(name, value)
        listed = hasattr(value, "__len__")
        entries = value.size if isinstance(value, np.ndarray | jax.Array) else len(value) if listed else None
        if listed:
            if not entries:
                raise InputError(f"{name} is empty: give at least {least}")
        elif not isinstance(value, jax.Array) and not value >= least:
            raise InputError.setting(name, value, f"at least {least}")
        return value

    return Asked(f"{asked.words} of at least {least}", read)


def _bool(name: str, value: Any) -> Any:
    if isinstance(value, bool | jax.Array):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    raise InputError(f"{name} is {shown(value)}, and True or False is wanted")


def _function(name: str, value: Any) -> Any:
    if not callable(value):
        raise InputError(f"{name} is {type(value).__name__}, and a function is wanted")
    return value


def _iterable(of: Asked | None) -> Asked:
    """What can be gone through; what is no list is left for that."""
    listed = _sequence(of)

    def read(name: str, value: Any) -> Any:
        if hasattr(value, "__getitem__"):
            return listed.read(name, value)
        if not isinstance(value, collections.abc.Iterable):
            raise InputError(f"{name} is {type(value).__name__}, and a list is wanted")
        return value

    return Asked("a list", read)


def _literal(parts: tuple) -> Asked:
    words = "one of " + ", ".join(map(str, parts))

    def read(name: str, value: Any) -> Any:
        if not isinstance(value, str | int) or value not in parts:
            raise InputError.setting(name, value, words)
        return value

    return Asked(words, read)


def _one_of(parts: tuple, inner: Callable[[Any], Asked | None]) -> Asked | None:
    """One of several kinds: the first that takes the value."""
    optional = type(None) in parts
    several = [part for part in parts if part is not type(None)]
    kinds = [inner(part) for part in several]
    plain = kinds[several.index(np.ndarray)] if np.ndarray in several else None
    if None in kinds:
        return None
    asked = [kind for kind in kinds if kind is not None]
    if len(asked) == 1 and not optional:
        return asked[0]
    words = " or ".join([one.words for one in asked] + (["None"] if optional else []))

    def read(name: str, value: Any) -> Any:
        if value is None and optional:
            return None
        if plain is not None and isinstance(value, np.ndarray):  # at once, not entry by entry
            return plain.read(name, value)
        refusals = []
        for one in asked:
            try:
                return one.read(name, value)
            except InputError as refusal:
                refusals.append(refusal)
        if len(refusals) == 1:
            raise refusals[0]
        raise InputError(f"{name} is {shown(value)}, and {words} is wanted")

    return Asked(words, read)


def _tuple(parts: tuple, inner: Callable[[Any], Asked | None]) -> Asked:
    """A tuple of any length, or of one of its own for each place; a list will do."""
    if parts == (int, ...):
        return Asked("a tuple of whole numbers", _shape)
    alike = len(parts) == 2 and parts[1] is ...
    each = [inner(part) for part in (parts[:1] if alike else parts)]
    words = "a tuple" if alike else f"a tuple of {len(parts)}"

    def read(name: str, value: Any) -> Any:
        if not isinstance(value, tuple | list | np.ndarray) or _is_scalar(value):
            raise InputError(f"{name} is {shown(value)}, and {words} is wanted")
        if not alike and len(value) != len(parts):
            raise InputError(f"{name} has {len(value)} entries, and {words} is wanted")
        return _each_read(name, value, each * len(value) if alike else each, tuple)

    return Asked(words, read)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, np.ndarray | jax.Array | np.generic) and value.ndim == 0


def _shape(name: str, value: Any) -> tuple[int, ...]:
    sides = None
    if isinstance(value, tuple | list) or (isinstance(value, np.ndarray) and value.ndim == 1):
        whole = all(isinstance(side, int | np.integer) and not isinstance(side, bool) for side in value)
        sides = tuple(int(side) for side in value) if whole else None
    if sides is None:
        raise InputError.setting(name, value, "a tuple of whole numbers, such as (28, 28, 1) or (2,)")
    return sides


def _each_read(name: str, values: Any, each: list[Asked | None], kind: type[list] | type[tuple]) -> Any:
    """The values, each read; the very same object where nothing changed and it is of the kind that is wanted."""
    read = [
        one if asked is None else asked.read(f"{name}[{place}]", one)
        for place, (one, asked) in enumerate(zip(values, each, strict=True))
    ]
    if type(values) is kind and all(new is old for new, old in zip(read, values, strict=True)):
        return values
    return kind(read)


def _mapping(parts: tuple, inner: Callable[[Any], Asked | None]) -> Asked:
    of_value = inner(parts[1]) if len(parts) == 2 else None

    def read(name: str, value: Any) -> Any:
        if not isinstance(value, collections.abc.Mapping):
            raise InputError(f"{name} is {type(value).__name__}, and a dict is wanted")
        if of_value is not None:
            for key, one in value.items():
                of_value.read(f"{name}[{shown(key)}]", one)
        return value

    return Asked("a dict", read)


def _sequence(of: Asked | None) -> Asked:
    def read(name: str, value: Any) -> Any:
        listed = hasattr(value, "__len__") and hasattr(value, "__getitem__")
        if not listed or isinstance(value, str | bytes | collections.abc.Mapping) or _is_scalar(value):
            raise InputError(f"{name} is {type(value).__name__}, and a list is wanted")
        if isinstance(value, range) or (of is None and isinstance(value, collections.abc.Sequence)):
            return value
        if of is not None and of.number and (read_at_once := _numbers(value, of.number)) is not None:
            return read_at_once
        values = value if isinstance(value, list | tuple) else list(value)
        kind: type[tuple] | type[list] = tuple if isinstance(value, tuple) else list
        return _each_read(name, values, [of] * len(values), kind)

    return Asked("a list", read)


def _numbers(values: Any, kind: type) -> Any:
    """A list of numbers that are of the kind without a doubt; None of any other, which is read one by one."""
    if isinstance(values, list | tuple):
        return values if all(type(one) is kind for one in values) else None
    if not isinstance(values, np.ndarray) or values.ndim != 1:
        return None
    if values.dtype.kind in "iu":
        return values.tolist()
    return list(values) if values.dtype.kind == "f" and kind is float else None


def _class(kind: type) -> Asked:
    """One of a class, or what has the attributes of a protocol."""
    if getattr(kind, "_is_protocol", False):
        wanted = [
            attribute
            for base in kind.__mro__
            if getattr(base, "_is_protocol", False)
            for attribute in {**vars(base), **getattr(base, "__annotations__", {})}
            if not attribute.startswith("_")
        ]

        def fits(value: Any) -> bool:
            return all(hasattr(value, attribute) for attribute in wanted)
    else:

        def fits(value: Any) -> bool:
            return isinstance(value, kind)

    words = "a path" if kind is os.PathLike else kind.__name__

    def read(name: str, value: Any) -> Any:
        if not fits(value):
            raise InputError(f"{name} is {type(value).__name__}, and {words} is wanted")
        return value

    return Asked(words, read)
