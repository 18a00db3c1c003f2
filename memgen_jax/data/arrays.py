"""Items stored as numpy arrays: `.npz` and `.npy` files, uint8 or float, whole folders of them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import ranges, room
from memgen_jax.data.items import Account, Items, legible, listed, numbered
from memgen_jax.data.numpy_files import Header, NumpyFile
from memgen_jax.errors import FIELD, InputError
from memgen_jax.mapped import let_go

# What others call the items in an .npz; beside labels and statistics the first of these that is there counts.
USUAL_NAMES = ("images", "samples", "x_train", "train_images", "arr_0")
HELD_OUT = {"x_train": "x_test", "train_images": "test_images"}  # beside such a name; else "held_out"
LAYOUTS = ("nhwc", "nchw")
SUFFIXES = (".npz", ".npy")


def read_array(
    path: str | os.PathLike,
    value_range: str | None = None,
    name: str | None = None,
    layout: str | None = None,
    memory: int | None = None,
) -> tuple[Items, Items | None]:
    """Reads the items of one file, and its held-out items if it has any.

    The array is one of `USUAL_NAMES` of an `.npz` (or the only one that can be items), or an `.npy` as a whole;
    `held_out` of the `.npz` (or `x_test` beside `x_train`, `test_images` beside `train_images`) holds real items kept
    out of training. Images are [n, height, width], [n, height, width, channel], or [n, channel, height, width] where
    only that fits or `layout` says so, with 1 or 3 channels, either uint8 or floats in [0, 1] or [-1, 1]; which of the
    two ranges is inferred, see `ranges.decide`, and said in `note`. Floats are rounded to uint8.
    Arrays [n, dim] of floats are vectors and are kept as float32.

    Args:
      value_range: the range of float images, one of `ranges.RANGES`, in place of the guess.
      name: which array of an `.npz`, where it is none of the usual.
      layout: "nhwc" or "nchw", of arrays with four axes.
      memory: bytes above which the items are mapped from a file.

    Raises:
      InputError: names the file and what is wrong with it.
    """
    path = Path(path)
    main, held_out, account = _parts(path, name, layout, memory)
    both = [main] if held_out is None else [main, held_out]
    # One range for both parts: a held-out part without dark pixels must not be read differently.
    note, values = _finished(both, value_range, memory)
    items = [Items(array, numbered(path.name, len(array)), note) for array in values]
    return account.of(items[0]), items[1] if held_out is not None else None


def read_arrays(
    files: Sequence[Path],
    value_range: str | None = None,
    layout: str | None = None,
    memory: int | None = None,
    skip_bad: bool = False,
) -> Items:
    """Reads `.npz` and `.npy` files as one set, in their order, as samplers write them: a few items a file.

    The array of each is chosen as by `read_array`. Float images of all files are in one range: a file without dark
    pixels must not be read as another kind. One that ends at 0 beside one that reaches far below is refused, unless
    `value_range` is said. A file of labels, one number an item, is no part of the set.

    Raises:
      InputError: names the file and what is wrong with it.
    """
    parts: list[Part] = []
    names: list[str] = []
    account = Account(skip_bad)
    for file in files:
        try:
            stored = NumpyFile(file)
            chosen = _chosen(stored, None)
            if len(stored.headers[chosen].shape) < 2:
                account.other(file.name, "file without items")
                continue
            part, _, own = _parts(file, None, layout, memory)
        except InputError as error:
            if not skip_bad:
                raise
            account.bad(file.name, error)
            continue
        if parts and (part.array.shape[1:], part.is_image) != (parts[0].array.shape[1:], parts[0].is_image):
            raise InputError(
                f"{file} holds {part.array.dtype} items of shape {part.array.shape[1:]} and {files[0].name} "
                f"{parts[0].array.dtype} of {parts[0].array.shape[1:]}: the items of one set must be alike"
            )
        account.unread.update(own.unread)
        account.left_out += own.left_out
        parts.append(part)
        names += numbered(file.name, len(part.array))
    if not parts:
        raise InputError(f"none of the {len(files)} files ({files[0]}, ...) holds items: check them")
    note, values = _finished(parts, value_range, memory, alike=True)
    said = f"{len(parts)} files as one set"
    return account.of(
        Items(
            room.copied(values, memory), names, f"{said}; {note}" if note and len(parts) > 1 else note or said
        )
    )


def items_of_arrays(
    main: np.ndarray,
    held_out: np.ndarray | None,
    where: str,
    value_range: str | None = None,
    layout: str | None = None,
    memory: int | None = None,
) -> tuple[Items, Items | None]:
    """The items of an array, and of one with held-out items if there is any; both as `read_array` says.

    Args:
      where: what sentences call the place that they come from.
    Raises:
      InputError: names it and what is wrong with it.
    """
    given = {"images": main} if held_out is None else {"images": main, "held_out": held_out}
    parts = [_part(array, f"{where} ({name})", layout) for name, array in given.items()]
    note, values = _finished(parts, value_range, memory)
    items = [Items(array, numbered(Path(where).name, len(array)), note) for array in values]
    return items[0], items[1] if held_out is not None else None


@takes_arrays
def as_pixels(values: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """Whole numbers in 0..255 in the shape of pictures are pixels, whatever their type; all else as it is."""
    whole = np.issubdtype(values.dtype, np.integer) and values.ndim > 2 and values.size
    return values.astype(np.uint8) if whole and 0 <= values.min() <= values.max() <= 255 else values


@takes_arrays
def span_at_hand(
    values: Shaped[np.ndarray, "..."], what: str, layout: str | None = None
) -> tuple[float, float] | None:
    """As `float_span`, of an array at hand."""
    part = _part(values, what, layout)
    return span(part) if part.needs_range else None


def float_span(
    files: Sequence[Path], name: str | None = None, layout: str | None = None
) -> tuple[float, float] | None:
    """The lowest and highest value of the float images of some files; None where there are no such images."""
    spans = []
    for file in files:
        stored = NumpyFile(file)
        if len(stored.headers[_chosen(stored, name)].shape) < 2:
            continue
        main, held_out, _ = _parts(file, name, layout, None)
        spans += [span(part) for part in (main, held_out) if part is not None and part.needs_range]
    return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None


def item_shape(path: Path, name: str | None = None, layout: str | None = None) -> tuple[int, ...]:
    """The shape of one of `read_array`'s items, by the file's header alone."""
    stored = NumpyFile(path)
    header = stored.headers[_chosen(stored, name)]
    _require_items(header.shape, header.dtype, str(path), layout)
    return _in_item_shape(np.broadcast_to(np.zeros((), header.dtype), header.shape), layout).shape[1:]


class Part(NamedTuple):
    """A stored array seen as items [n, h, w, c] or vectors [n, d], not yet converted."""

    array: Shaped[np.ndarray, "item ..."]
    what: str

    @property
    def is_image(self) -> bool:
        return self.array.ndim == 4

    @property
    def needs_range(self) -> bool:
        return self.is_image and self.array.dtype != np.uint8


def _parts(
    path: Path, name: str | None, layout: str | None, memory: int | None
) -> tuple[Part, Part | None, Account]:
    """The items of a file, its held-out ones, and the account of its other arrays."""
    stored = NumpyFile(path)
    main = _chosen(stored, name)
    other = HELD_OUT.get(main, "") if HELD_OUT.get(main, "") in stored.headers else "held_out"
    held_out = other if name is None and other in stored.headers and other != main else None
    account = Account()
    for unread in stored.headers:
        if unread not in (main, held_out):
            account.other(f"{path.name}:{unread}", "other array")
    for unread in stored.objects:
        account.other(f"{path.name}:{unread}", "array of Python objects")

    def part(key: str) -> Part:
        what = f"{path} ({key})" if stored.is_zip else str(path)
        header = stored.headers[key]
        _require_items(header.shape, header.dtype, what, layout)
        return Part(_in_item_shape(stored.array(key, memory), layout), what)

    return part(main), part(held_out) if held_out is not None else None, account


def _part(array: np.ndarray, what: str, layout: str | None) -> Part:
    _require_items(array.shape, array.dtype, what, layout)
    return Part(_in_item_shape(array, layout), what)


def _chosen(stored: NumpyFile, name: str | None) -> str:
    """Which of a file's arrays holds the items."""
    arrays = stored.headers
    if name is not None and name in arrays:
        return name
    others = {*HELD_OUT.values(), "held_out"}
    possible = {
        key: len(arrays[key].shape) for key in arrays if key not in others and _may_be_items(arrays[key])
    }
    usual = [known for known in USUAL_NAMES if known in possible]
    images = [key for key, num_axes in possible.items() if num_axes > 2]
    if name is None and (len(arrays) == 1 or len(usual) == 1):
        return usual[0] if usual else next(iter(arrays))
    if name is None and not usual and len(images or possible) == 1:  # beside labels, say
        return next(iter(images or possible))
    path = legible(str(stored.path))
    if name in stored.objects:
        raise InputError(
            f"{path}:{legible(str(name))} holds Python objects: save plain numbers with np.savez"
        )
    if not arrays:
        raise InputError(f"{path} holds no array: save the items with np.savez")
    there = listed(sorted(arrays))
    said = (
        f"no {name!r}"
        if name is not None
        else "more than one that could be the items"
        if usual
        else "none with a usual name"
    )
    raise InputError(
        f"{path} holds the arrays {there}, {said}: say which with {path}:NAME, or name one of them 'images'"
    )


def _may_be_items(header: Header) -> bool:
    """Whether an array's shape and type are those of items; a square one of two axes is rather a covariance."""
    shape, numbers = header.shape, header.dtype == np.uint8 or np.issubdtype(header.dtype, np.floating)
    return bool(numbers and (len(shape) > 2 or (len(shape) == 2 and shape[0] != shape[1])))


def _require_items(shape: tuple[int, ...], dtype: np.dtype, what: str, layout: str | None) -> None:
    """Refuses arrays that cannot be items, by their type and shape alone."""
    if layout is not None and layout not in LAYOUTS:
        raise InputError.setting("layout", layout, f"one of {' or '.join(LAYOUTS)}")
    if dtype != np.uint8 and not np.issubdtype(dtype, np.floating):
        raise InputError(f"{legible(what)} has type {dtype}: save it as uint8 0..255 or as floats")
    what = legible(what)
    if len(shape) == 2 and dtype != np.uint8:
        channels: tuple[int, ...] = (1,)
    elif len(shape) == 4:
        channels = (shape[-1], shape[1]) if layout is None else (shape[1 if layout == "nchw" else -1],)
    else:
        channels = (1,) if len(shape) == 3 else ()
    if not set(channels) & {1, 3}:
        raise InputError(
            f"{what} has shape {shape}: images must be [n, height, width] or [n, height, width, channel] with 1 or 3 "
            "channels, last or first"
            + (f", and with {FIELD[0]}={layout} it has {channels[0]}" if channels and layout else "")
            + ("; vectors must be floats" if len(shape) == 2 else ""),
            *(("layout",) if channels and layout else ()),
        )
    if len(shape) == 3 and shape[-1] in (1, 3) and min(shape[:2]) > 3:
        raise InputError(
            f"{what} has shape {shape}, which is that of one image: images must be [n, height, width] or [n, height, "
            "width, channel]"
        )
    if len(shape) == 4 and layout is None and {shape[1], shape[-1]} <= {1, 3} and max(shape[1:]) > 3:
        raise InputError(
            f"{what} has shape {shape}, in which the channels may be first or last: say which with {FIELD[0]}=nchw or "
            f"{FIELD[0]}=nhwc",
            "layout",
        )
    if 0 in shape:
        raise InputError(f"{what} has shape {shape}, which holds nothing: give at least one item")


def _in_item_shape(array: Shaped[np.ndarray, "..."], layout: str | None) -> Shaped[np.ndarray, "item ..."]:
    """[n, h, w, c] or [n, d], seen without copying."""
    if array.ndim == 3:
        return array[..., None]
    first = layout == "nchw" or (layout is None and array.ndim == 4 and array.shape[-1] not in (1, 3))
    return np.moveaxis(array, 1, -1) if array.ndim == 4 and first else array


def span(part: Part) -> tuple[float, float]:
    """The lowest and highest value.

    Raises:
      InputError: one is NaN or infinite, as a float32 too.
    """
    low, high = np.inf, -np.inf
    array = part.array
    for rows in room.blocks(len(array), array[:1].size * array.dtype.itemsize):
        with np.errstate(over="ignore"):
            block = array[rows].astype(np.float32).reshape(rows.stop - rows.start, -1)
        finite = np.isfinite(block).all(axis=1)
        if not finite.all():
            raise InputError(
                f"{legible(part.what)} has NaN or infinite values, first in item {rows.start + int(np.argmin(finite))} "
                f"of {len(array)}: remove such items"
            )
        low, high = min(low, float(block.min())), max(high, float(block.max()))
        let_go(array)
    return low, high


def _finished(
    parts: Sequence[Part], value_range: str | None, memory: int | None, *, alike: bool = False
) -> tuple[str, list[Shaped[np.ndarray, "item ..."]]]:
    """The arrays as uint8 images or float32 vectors, and what was done to them.

    Args:
      alike: whether parts that look like two ranges are refused, where none was said.
    """
    ranges.require_known(value_range)
    spans = [span(part) if part.array.dtype != np.uint8 else (0.0, 255.0) for part in parts]
    floats = [own for own, part in zip(spans, parts, strict=True) if part.needs_range]
    note = chosen = ""
    if floats:
        what = legible(parts[0].what)
        (chosen,) = ranges.decide(
            {what: (min(low for low, _ in floats), max(high for _, high in floats))}, value_range
        ).values()
        if alike and (value_range is None or isinstance(value_range, ranges.Guess)):
            told = zip(spans, parts, strict=True)
            ranges.of_one_set({legible(part.what): own for own, part in told if part.needs_range})
        note = ranges.described(chosen)
    values = []
    for part in parts:
        array = part.array
        shape = array.shape[1:]
        if part.needs_range:
            array = room.converted(
                array,
                lambda block: ranges.to_pixels(block.astype(np.float32), chosen),
                shape,
                np.dtype(np.uint8),
                memory,
            )
        elif array.dtype not in (np.uint8, np.float32) or not array.flags.c_contiguous:
            kind = np.dtype(np.uint8 if part.is_image else np.float32)
            array = room.converted(array, lambda block, kind=kind: block.astype(kind), shape, kind, memory)  # type: ignore[misc]
        elif array.nbytes <= room.allowed(memory) and isinstance(array, np.memmap):
            array = room.in_memory(array)
        values.append(array)
    return note, values
