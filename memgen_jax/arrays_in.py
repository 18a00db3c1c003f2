"""What may stand for an array: lists, [n, 1] columns, torch tensors on the CPU, pandas columns.

    @takes_arrays
    def f(distance: Float[np.ndarray, " sample"], ...): ...

Each argument that is annotated as an array becomes one, of the annotated kind and number of dimensions, or is refused
in one sentence with its name. Arrays that are so already pass untouched, and traced ones are asked for their kind and
shape alone. What is annotated as a number, a class, a function, a list … is refused where it is none; see
`annotations`. Sizes of one name must be one number in all arguments.
"""

import functools
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Sized
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax.annotations import Asked, asked_by, read_number, shown
from memgen_jax.errors import InputError

Function = TypeVar("Function", bound=Callable)


def takes_arrays(function: Function) -> Function:
    """The function, for whatever can be read as what its annotations ask for; of a class, its making."""
    if isinstance(function, type):
        function.__init__ = takes_arrays(function.__init__)  # type: ignore[misc]
        return typing.cast(Function, function)

    @functools.cache
    def asked() -> "_Arguments":  # at the first call: reading annotations would be most of an import
        return _Arguments.of(function)

    @functools.wraps(function)
    def taking(*args, **kwargs):
        args, kwargs = asked().read(args, kwargs)
        return function(*args, **kwargs)

    taking.asked = asked  # type: ignore[attr-defined]
    return typing.cast(Function, taking)


class _Arguments(typing.NamedTuple):
    """What a function asks for: a reader of each argument, None for what is taken as it comes; its arrays' kinds."""

    in_order: tuple[tuple[str, Callable[[str, Any], Any] | None], ...]
    by_name: dict[str, Callable[[str, Any], Any] | None]
    kinds: dict[str, "_Kind"]

    @classmethod
    def of(cls, function: Callable) -> "_Arguments":
        hints = _hints_of(function)
        readers: dict[str, Callable[[str, Any], Any] | None] = {}
        in_order, kinds = [], {}
        for name, parameter in inspect.signature(function).parameters.items():
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                continue
            hint = hints.get(name, Any)
            asked = asked_by(hint, _array_asked_by)
            readers[name] = asked.read if asked else None
            if parameter.kind is not parameter.KEYWORD_ONLY:
                in_order.append((name, readers[name]))
            if (kind := _array_kind(hint)) is not None:
                kinds[name] = kind
        return cls(tuple(in_order), readers, kinds)

    def read(self, args: tuple, kwargs: dict[str, Any]) -> tuple[list, dict[str, Any]]:
        """The arguments as they are wanted; what is too many or unknown is left for Python to tell."""
        taken = [
            value if read is None else read(name, value)
            for (name, read), value in zip(self.in_order, args, strict=False)
        ]
        taken.extend(args[len(taken) :])
        named = {
            name: value if (read := self.by_name.get(name)) is None else read(name, value)
            for name, value in kwargs.items()
        }
        if len(self.kinds) > 0:
            arrays = [(name, value) for (name, _), value in zip(self.in_order, taken, strict=False)]
            arrays.extend(named.items())
            _require_one_size(
                [(name, value, self.kinds[name]) for name, value in arrays if name in self.kinds]
            )
        return taken, named


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
    if isinstance(value, np.ndarray) and not isinstance(value, np.ma.MaskedArray):
        return _of_numbers(name, value, value)
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
    return _of_numbers(name, value, array)


def _of_numbers(name: str, value: Any, array: np.ndarray) -> np.ndarray:
    if (
        array.dtype == object
        and array.size
        and all(isinstance(one, int | float | np.number) for one in array.flat)
    ):
        array = np.asarray(array.tolist())  # a pandas column of numbers of several types
    if array.dtype.kind not in "biuf" and not jnp.issubdtype(array.dtype, np.floating):
        what = (
            f"{type(value).__name__} of {array.dtype}"
            if array.dtype != object or array is value
            else type(value).__name__
        )
        raise InputError(f"{name} is {what}, not an array of numbers: give numbers, in rows of one length")
    return array


def as_number(name: str, value: Any) -> float:
    """One number as a float.

    Raises:
      InputError: it is none, or several.
    """
    number = read_number(name, value, float)
    if np.ndim(number):
        raise InputError(f"{name} has shape {np.shape(number)}, and one number is wanted")
    return float(number)


def as_numbers(name: str, value: Any) -> jax.Array | np.ndarray:
    """What JAX can take: arrays as they are, lists and tensors as float32; see `as_array` for what is refused."""
    if isinstance(value, jax.Array | np.ndarray):
        return value
    return as_array(name, value).astype(np.float32)


def require_items(**arrays: Sized) -> None:
    """Raises InputError where an array holds nothing."""
    for name, array in arrays.items():
        if not len(array):
            raise InputError(f"{name} is empty: give at least one")


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


def _hints_of(function: Callable) -> dict[str, Any]:
    """Its annotations, those too that name what is imported for type checkers alone."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError:
        told = " ".join(str(hint) for hint in inspect.get_annotations(function).values())
        known = inspect.unwrap(function).__globals__
        names = {
            name for name in re.findall(r"[a-z_.]+(?=\.[A-Z])", told) if name.partition(".")[0] not in known
        }
        modules = [importlib.import_module(name) for name in names]
        roots = {module.__name__.partition(".")[0] for module in modules}
        return typing.get_type_hints(
            function, localns={root: sys.modules[root] for root in roots}, include_extras=True
        )


class _Kind(typing.NamedTuple):
    """What an annotation asks for of an array.

    Attributes:
      ndim: number of dimensions, None for any.
      letters: NumPy's of its dtypes; "n" for numbers of any, "" for truths too.
      dtype: the one that it must have, "" for any of its letters.
      shape: its words.
    """

    ndim: int | None
    letters: str
    dtype: str
    shape: str

    @property
    def sizes(self) -> list[str]:
        return self.shape.split()

    @property
    def takes_one_number(self) -> bool:
        return all(size.startswith("*") or "..." in size for size in self.sizes)

    @property
    def words(self) -> str:
        return "one number" if self.ndim == 0 else f"[{', '.join(self.sizes)}]"


def _parts(hint: Any) -> tuple:
    one_of = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if one_of else (hint,)


def _dtypes(part: Any) -> tuple[str, ...]:
    """The dtypes of a hint of an array; none where any will do."""
    dtypes = getattr(part, "dtypes", ())
    return tuple(dtypes) if isinstance(dtypes, list | tuple) else ()


def _array_kind(hint: Any) -> _Kind | None:
    """What an annotation asks for where it is of an array, alone or beside other things."""
    if typing.get_origin(hint) is typing.Annotated:
        return _array_kind(typing.get_args(hint)[0])
    option = next((part for part in _parts(hint) if hasattr(part, "array_type")), None)
    if option is None or "prng_key" in _dtypes(option):
        return None
    sizes = option.dim_str.split()
    fixed = not any(size.startswith("*") or "..." in size for size in sizes)
    dtypes = _dtypes(option)
    told = " ".join(dtypes)
    whole, broken = "int" in told, "float" in told
    letters = "b" if dtypes and not whole and not broken else "n" if dtypes else ""
    if whole != broken:
        letters = "f" if broken else "iu" if "uint" in told else "i"
    return _Kind(
        len(sizes) if fixed else None,
        letters,
        dtypes[0] if len(dtypes) == 1 else "",
        " ".join(size.partition("=")[2] or size for size in sizes),
    )


def _array_asked_by(hint: Any) -> Asked | None:
    """What a hint of arrays alone asks for."""
    if any("prng_key" in _dtypes(part) for part in _parts(hint)):
        return Asked("a random key", _key)
    if hint is np.ndarray:
        return Asked("an array", _plain)
    if hint is jax.Array:
        return Asked("an array", lambda name, value: value if _is_key(value) else _of_jax(name, value, _ANY))
    kind = _array_kind(hint)
    if kind is None or not hasattr(hint, "array_type"):
        return None if kind is None else _array_or_more(hint, kind)
    read = _of_jax if hint.array_type is jax.Array else _fitted
    return Asked(f"an array {kind.words}", lambda name, value: read(name, value, kind))


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, bool | int | float | np.generic) or value is None:
        raise InputError(f"{name}={shown(value)} is no array: give a list")
    return value if isinstance(value, jax.core.Tracer) else as_array(name, value)


_ANY = _Kind(None, "", "", "...")


def _array_or_more(hint: Any, kind: _Kind) -> Asked:
    """An array, or what else the hint has; of NumPy and of JAX as they are, where it has both."""
    parts = _parts(hint)
    types_ = {getattr(part, "array_type", None) for part in parts}
    numbers = [part for part in parts if isinstance(part, type) and part in (int, float)]
    others = [
        asked
        for part in parts
        if not hasattr(part, "array_type")
        and part not in (int, float, np.integer, np.ndarray, jax.Array, type(None))
        if (asked := asked_by(part, _array_asked_by)) is not None
    ]

    def read(name: str, value: Any) -> Any:
        if value is None and type(None) in parts:
            return None
        if numbers and isinstance(value, bool | int | float | np.generic):
            return read_number(name, value, float if float in numbers else int)
        for other in others:
            try:
                return other.read(name, value)
            except InputError:
                pass
        if jax.Array in types_ and (np.ndarray not in types_ or isinstance(value, jax.Array)):
            return _of_jax(name, value, kind)
        return _fitted(name, value, kind)

    return Asked(f"an array {kind.words}", read)


def _is_key(value: Any) -> bool:
    return isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def _key(name: str, value: Any) -> Any:
    raw = isinstance(value, jax.Array) and value.dtype == np.uint32 and value.ndim == 1
    if not raw and not (_is_key(value) and value.ndim == 0):
        what = (
            f"{type(value).__name__} of shape {value.shape}"
            if hasattr(value, "shape")
            else type(value).__name__
        )
        raise InputError(f"{name} is {what}, and one random key is wanted: give jax.random.key(0)")
    return value


def _of_jax(name: str, value: Any, kind: _Kind) -> Any:
    """A JAX array of the kind; of traced ones only what is known of them is looked at."""
    if not isinstance(value, jax.Array):
        is_array = isinstance(value, np.ndarray)
        if isinstance(value, bool | int | float) and kind.takes_one_number and kind.letters in ("f", "n", ""):
            return jnp.asarray(float(value) if kind.letters == "f" else value)
        array = _fitted(name, value, kind)
        if array.dtype.kind == "f" and not is_array and not hasattr(value, "dtype"):
            array = array.astype(np.float32)
        return jnp.asarray(array)
    if _is_key(value) or jnp.issubdtype(value.dtype, np.complexfloating):
        raise InputError(f"{name} holds {value.dtype} numbers, and real ones are wanted")
    _require_ndim(name, value, kind)
    if kind.letters == "f" and not jnp.issubdtype(value.dtype, np.floating):
        _refuse_pixels(name, value)
        return value.astype(np.float32)
    if kind.letters in ("i", "iu", "b") and not isinstance(value, jax.core.Tracer):
        good = np.bool_ if kind.letters == "b" else np.signedinteger if kind.letters == "i" else np.integer
        return value if jnp.issubdtype(value.dtype, good) else jnp.asarray(_fitted(name, value, kind))
    return value


def _require_ndim(name: str, array: Any, kind: _Kind) -> None:
    least = sum(not (size.startswith("*") or "..." in size) for size in kind.sizes)
    if array.ndim < least or (kind.ndim is not None and array.ndim != kind.ndim):
        raise InputError(f"{name} has shape {array.shape}, and {kind.words} is wanted")


def _refuse_pixels(name: str, array: Any) -> None:
    if array.dtype == np.uint8 and array.ndim > 1:
        raise InputError(
            f"{name} holds uint8 pixels from 0 to 255, and floats are wanted: give data.decode({name})"
        )


def _fitted(name: str, value: Any, kind: _Kind) -> Any:
    """A NumPy array of the kind; traced ones as they are."""
    if isinstance(value, jax.core.Tracer):
        return value
    if value is None:
        raise InputError(f"{name} is None: give numbers")
    if isinstance(value, bool | int | float | np.generic) and not kind.takes_one_number:
        raise InputError(f"{name}={shown(value)} is one number, and {kind.words} is wanted: give a list")
    _refuse_masked(name, value)
    array = as_array(name, value)
    if kind.ndim == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    _require_ndim(name, array, kind)
    if kind.letters == "f":
        _refuse_pixels(name, array)
        if array.dtype.kind in "biu":
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
    if kind.letters == "n" and array.dtype == bool:
        array = array.astype(np.int64)
    if kind.letters == "b" and array.dtype != bool:
        if not np.isin(array, (0, 1)).all():
            raise InputError(f"{name} holds {array.dtype} numbers, and True or False is wanted")
        array = array.astype(bool)
    return _of_dtype(name, array, kind.dtype)


def _of_dtype(name: str, array: np.ndarray, dtype: str) -> np.ndarray:
    """The same numbers in the one dtype that is wanted, "" for any."""
    if not dtype or array.dtype == dtype or dtype not in np.sctypeDict:
        return array
    if array.size and np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        if array.min() < limits.min or array.max() > limits.max:
            raise InputError(
                f"{name} holds {array.min()} to {array.max()}, and whole numbers from {limits.min} to {limits.max} "
                "are wanted"
            )
    return array.astype(dtype)


def _require_one_size(arrays: list[tuple[str, Any, _Kind]]) -> None:
    """Refuses arrays in which a size of one name is not one number, and those of another size than a stated one."""
    seen: dict[str, tuple[Any, str, Any, _Kind]] = {}
    for name, array, kind in arrays:
        shape = getattr(array, "shape", None)
        if shape is None or not isinstance(array, np.ndarray | jax.Array):
            continue
        for size, number in _sizes_of(kind, shape):
            if size.isdecimal():
                if int(size) != number:
                    raise InputError(f"{name} has shape {shape}, and {kind.words} is wanted")
                continue
            known, first, its, whose = seen.setdefault(size, (number, name, shape, kind))
            if known == number:
                continue
            if kind.sizes == whose.sizes == [size] and not size.startswith("*"):
                raise InputError(f"{first} has {known}, {name} has {number}: give one of each for every item")
            raise InputError(
                f"{name} has shape {shape} and {first} {its}: {size.lstrip('*')} must be the same in both, "
                f"of {kind.words} and {whose.words}"
            )


def _sizes_of(kind: _Kind, shape: tuple[int, ...]) -> list[tuple[str, Any]]:
    """Each size that has a name or is stated, with its number; of a name with a star, with its numbers."""
    sizes = kind.sizes
    if kind.ndim is None:
        at = next(place for place, size in enumerate(sizes) if size.startswith("*") or "..." in size)
        after = len(sizes) - at - 1
        if len(shape) < len(sizes) - 1:
            return []
        middle = tuple(shape[at : len(shape) - after])
        pairs = [*zip(sizes[:at], shape, strict=False), (sizes[at], middle)]
        pairs += list(zip(sizes[at + 1 :], shape[len(shape) - after :], strict=False))
    elif len(shape) != len(sizes):
        return []
    else:
        pairs = list(zip(sizes, shape, strict=True))
    return [
        (size, number)
        for size, number in pairs
        if size.isdecimal() or (size.lstrip("*").isidentifier() and not size.lstrip("*").startswith("_"))
    ]


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".") if str(error) else type(error).__name__
