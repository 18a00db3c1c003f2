"""What may stand for an array: lists, [n, 1] columns, torch tensors on the CPU, pandas columns.

    @takes_arrays
    def f(distance: Float[np.ndarray, " sample"], ...): ...

Each argument that is annotated as a NumPy array becomes one, of the annotated kind and number of dimensions, or is
refused in one sentence with its name. Arrays that are so already pass untouched. One that is annotated as a number, a
class, or a sequence of one is refused where it is none, as is what lacks the attributes of a protocol.
"""

import collections.abc
import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax.errors import InputError

Function = TypeVar("Function", bound=Callable)


def takes_arrays(function: Function) -> Function:
    """The function, for whatever can be read as the arrays that its annotations ask for."""
    signature = inspect.signature(function)
    hints = typing.get_type_hints(function)
    kinds = {
        name: kind for name in signature.parameters if (kind := _array_kind(hints.get(name))) is not None
    }

    others = {
        name: hints[name] for name in signature.parameters if name in hints and _can_be_checked(hints[name])
    }
    of_jax = {name for name in signature.parameters if name not in kinds and _is_of_jax(hints.get(name))}
    shapes = {name for name in signature.parameters if hints.get(name) == tuple[int, ...]}
    numbers = {name: hints[name] for name in signature.parameters if hints.get(name) in (int, float)}
    optional = {name for name in kinds if type(None) in typing.get_args(hints[name])}
    for_all = {name for name in kinds if {int, float} & set(typing.get_args(hints[name]))}

    @functools.wraps(function)
    def taking(*args, **kwargs):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            return function(*args, **kwargs)  # says it in Python's words
        for name, value in bound.arguments.items():
            if name in of_jax and not isinstance(value, jax.Array | np.ndarray | int | float | np.generic):
                bound.arguments[name] = jnp.asarray(as_numbers(name, value))
            elif name in shapes:
                bound.arguments[name] = _as_shape(name, value)
            elif name in others:
                _require_kind(name, value, others[name])
            elif name in numbers:
                bound.arguments[name] = _number(name, value, numbers[name])
            elif name in kinds and name not in for_all and isinstance(value, bool | int | float | np.generic):
                raise InputError(
                    f"{name}={value} is one number, and [{kinds[name].shape}] is wanted: give a list"
                )
            elif name in kinds and value is not None:
                bound.arguments[name] = _fitted(name, value, kinds[name])
            elif name in kinds and name not in optional:
                raise InputError(f"{name} is None: give numbers")
        _require_one_length(bound.arguments, kinds)
        return function(*bound.args, **bound.kwargs)

    return typing.cast(Function, taking)


def as_array(name: str, value: Any) -> np.ndarray:
    """A NumPy array of numbers from what can be read as one.

    Raises:
      InputError: names the argument and what is wrong: it is on an accelerator of torch's, ragged, or no numbers, or
        some of its numbers are masked.
    """
    _refuse_masked(name, value)
    device = getattr(value, "device", None)
    is_tensor = hasattr(value, "detach")  # of torch, without torch
    if is_tensor and getattr(device, "type", "cpu") != "cpu":
        raise InputError(f"{name} is a tensor on {device}: give {name}.cpu()")
    try:
        array = np.asarray(value.detach().numpy() if is_tensor else value)
    except (
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:  # a tensor of a type that NumPy lacks, a sparse one
        reason = _first_line(error)
        raise InputError(
            f"{name} cannot be read as an array ({reason}): give numbers, in rows of one length"
        ) from None
    if array.dtype == object or array.dtype.kind not in "biuf":
        what = f"{type(value).__name__} of {array.dtype}" if array.dtype != object else type(value).__name__
        raise InputError(f"{name} is {what}, not an array of numbers: give numbers, in rows of one length")
    return array


def as_number(name: str, value: Any) -> float:
    """One number as a float.

    Raises:
      InputError: it is none, or several.
    """
    _number(name, value, float)
    if np.ndim(value):
        raise InputError(f"{name} has shape {np.shape(value)}, and one number is wanted")
    return float(value)


def as_numbers(name: str, value: Any) -> jax.Array | np.ndarray:
    """What JAX can take: arrays as they are, lists and tensors as float32; see `as_array` for what is refused."""
    if isinstance(value, jax.Array | np.ndarray):
        return value
    return as_array(name, value).astype(np.float32)


def require_items(**arrays: collections.abc.Sized) -> None:
    """Raises InputError where an array holds nothing."""
    for name, array in arrays.items():
        if not len(array):
            raise InputError(f"{name} is empty: give at least one")


def _number(name: str, value: Any, kind: type) -> Any:
    """The number; a whole one as Python's, whatever it came as, where such a one is wanted."""
    is_number = isinstance(value, int | float | np.number | np.bool_ | jax.Array) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    )
    if not is_number:
        raise InputError(f"{name}={value!r} is not a number: give one")
    if kind is not int or isinstance(value, jax.Array):
        return value
    if not np.isfinite(value) or value != int(value):
        raise InputError(f"{name}={value!r} is not a whole number: give one")
    return value if isinstance(value, bool) else int(value)


def _require_one_length(arguments: dict[str, Any], kinds: "dict[str, _Kind]") -> None:
    """Refuses lists that go together item by item, annotated with one and the same name, and are not of one length."""
    lengths: dict[str, dict[str, int]] = {}
    for name, kind in kinds.items():
        value = arguments.get(name)
        if kind.ndim == 1 and kind.shape.isidentifier() and isinstance(value, np.ndarray) and value.ndim == 1:
            lengths.setdefault(kind.shape, {})[name] = len(value)
    for own in lengths.values():
        if len(set(own.values())) > 1:
            told = ", ".join(f"{name} has {length}" for name, length in own.items())
            raise InputError(f"{told}: give one of each for every item")


def _as_shape(name: str, value: Any) -> tuple[int, ...]:
    sides = tuple(value) if isinstance(value, tuple | list | np.ndarray) and np.ndim(value) == 1 else None
    if sides is None or not all(isinstance(side, int | np.integer) for side in sides):
        sides = () if isinstance(value, tuple | list) and not value else None
    if sides is None:
        raise InputError.setting(name, value, "a tuple of whole numbers, such as (28, 28, 1) or (2,)")
    return tuple(int(side) for side in sides)


def _is_of_jax(hint: Any) -> bool:
    """Whether a hint is of a JAX array, or of one or a number; not one that may be None too."""
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    return any(getattr(part, "array_type", None) is jax.Array for part in parts) and type(None) not in parts


def _can_be_checked(hint: Any) -> bool:
    """Whether a hint is a class that is no number and no array, or a sequence."""
    if typing.get_origin(hint) is collections.abc.Sequence:
        return True
    unchecked = (typing.Any, int, float, bool, complex, object, np.ndarray, jax.Array)
    return isinstance(hint, type) and hint not in unchecked and not hasattr(hint, "array_type")


def _require_kind(name: str, value: Any, kind: Any) -> None:
    """Refuses what is not of a class, lacks a protocol's attributes, or is no sequence of what is wanted."""
    if typing.get_origin(kind) is collections.abc.Sequence:
        if not hasattr(value, "__len__") or not hasattr(value, "__getitem__") or isinstance(value, str):
            raise InputError(f"{name} is {type(value).__name__}, and a list is wanted")
        (of,) = typing.get_args(kind)
        if _can_be_checked(of) and typing.get_origin(of) is None:
            for place, one in enumerate(value):
                _require_kind(f"{name}[{place}]", one, of)
        return
    if getattr(kind, "_is_protocol", False):
        wanted = {*vars(kind), *getattr(kind, "__annotations__", {})}
        fits = all(hasattr(value, attribute) for attribute in wanted if not attribute.startswith("_"))
    else:
        fits = isinstance(value, kind)
    if not fits:
        raise InputError(f"{name} is {type(value).__name__}, and {kind.__name__} is wanted")


def _refuse_masked(name: str, value: Any) -> None:
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise InputError(
            f"{name} has masked numbers, which would count as they stand: remove them, or give its .filled(…)"
        )


def require_distances(*, infinite: bool = False, **distances: np.ndarray) -> None:
    """Refuses what is no distance: NaN, negative numbers and, unless `infinite`, infinite ones.

    Args:
      infinite: whether one may be infinite, that of an item without another, for instance.
      distances: name -> numbers of any shape.
    Raises:
      InputError: names the argument and the first such number.
    """
    for name, array in distances.items():
        good = array >= 0 if infinite else (array >= 0) & np.isfinite(array)
        if not np.all(good):
            place = int(np.argmin(np.reshape(good, -1)))
            allowed = "0 or more" if infinite else "finite and 0 or more"
            raise InputError(
                f"{name} holds {np.reshape(array, -1)[place]} at place {place}, and a distance is {allowed}: "
                "remove or measure again what has none"
            )


class _Kind(typing.NamedTuple):
    """What an annotation asks for: the number of dimensions, None for any; NumPy's letters of its dtypes; its words."""

    ndim: int | None
    letters: str
    shape: str


def _array_kind(hint: Any) -> _Kind | None:
    """What an annotation asks for where it is of a NumPy array, alone or beside other things."""
    one_of = typing.get_origin(hint) in (typing.Union, types.UnionType)
    parts = typing.get_args(hint) if one_of else (hint,)
    options = [part for part in parts if getattr(part, "array_type", None) is np.ndarray]
    if not options:
        return None
    option = options[0]
    words = option.dim_str.strip()
    fixed = not any(part.startswith("*") or part == "..." for part in words.split())
    dtypes = " ".join(option.dtypes) if isinstance(option.dtypes, list | tuple) else ""
    whole, broken = "int" in dtypes, "float" in dtypes
    of_integers = "iu" if "uint" in dtypes else "i"
    letters = "f" if broken and not whole else of_integers if whole and not broken else ""
    return _Kind(len(words.split()) if fixed else None, letters, words)


def _fitted(name: str, value: Any, kind: _Kind) -> Any:
    if isinstance(
        value, jax.Array | bool | int | float | np.generic
    ):  # of traced code, or one number for all
        return value
    _refuse_masked(name, value)
    array = value if isinstance(value, np.ndarray) else as_array(name, value)
    if kind.ndim == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if kind.ndim is not None and array.ndim != kind.ndim:
        raise InputError(f"{name} has shape {array.shape}, and [{', '.join(kind.shape.split())}] is wanted")
    if kind.letters == "f" and array.dtype == np.uint8 and array.ndim > 1:
        raise InputError(
            f"{name} holds uint8 pixels from 0 to 255, and floats are wanted: give data.decode({name})"
        )
    if kind.letters == "f" and array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if kind.letters == "i" and array.dtype.kind == "u":  # in which a difference would run over
        if array.size and array.max() > np.iinfo(np.int64).max:
            raise InputError(f"{name} holds {array.max()}, which is no count or place")
        array = array.astype(np.int64)
    if kind.letters in ("i", "iu") and array.dtype.kind not in "iu":
        with np.errstate(invalid="ignore"):  # NaN is no whole number either
            whole = array.astype(np.int64)
        if not np.array_equal(whole, array):
            raise InputError(f"{name} holds {array.dtype} numbers, and whole ones are wanted")
        array = whole
    return array


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error) else type(error).__name__
