"""Items stored as numpy arrays: `.npz` and `.npy` files, uint8 or float."""

import collections
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Shaped, UInt8

from memgen_jax.data.images import Items
from memgen_jax.errors import InputError

# What others call the items in an .npz; beside labels and statistics the first of these that is there counts.
USUAL_NAMES = ("images", "samples", "x_train", "train_images", "arr_0")
RANGES = {"0,1": (0.0, 1.0), "-1,1": (-1.0, 1.0), "0,255": (0.0, 255.0)}
NEAR = 0.25  # a lowest value above minus this, and below 0, is neither range's: [-1, 1] reaches lower
ROUNDING = 1e-3  # by how much a float image may leave [0, 1] or [-1, 1] and still count as inside


def read_array(
    path: str | os.PathLike, value_range: str | None = None, name: str | None = None
) -> tuple[Items, Items | None]:
    """Reads the items of one file, and its held-out items if it has any.

    The array is one of `USUAL_NAMES` of an `.npz` (or its only array), or an `.npy` as a whole; `held_out` of the
    `.npz` holds real items kept out of training. Images are [n, height, width], [n, height, width, channel], or
    [n, channel, height, width] where only that fits, with 1 or 3 channels, either uint8 or floats in [0, 1] or
    [-1, 1]; which of the two ranges is inferred from whether any value is negative, and said in `note`. Floats are
    rounded to uint8.
    A lowest value a little below 0 fits neither and is refused, for the guess would decide what is a copy.
    Arrays [n, dim] of floats are vectors and are kept as float32.

    Args:
      value_range: the range of float images, one of `RANGES`, in place of the guess; values beyond it are clipped.
      name: which array of an `.npz`, where it is none of the usual.

    Raises:
      InputError: names the file and what is wrong with it.
    """
    if value_range is not None and value_range not in RANGES:
        raise InputError.setting("value_range", value_range, f"one of {' or '.join(RANGES)}")
    path = Path(path)
    arrays = _stored_arrays(path)
    held_out = arrays.pop("held_out", None) if name is None else None
    main = arrays[_chosen(arrays, name, path)]
    return items_of_arrays(main, held_out, str(path), value_range)


def items_of_arrays(
    main: np.ndarray, held_out: np.ndarray | None, where: str, value_range: str | None = None
) -> tuple[Items, Items | None]:
    """The items of an array, and of one with held-out items if there is any; both as `read_array` says.

    Args:
      where: what sentences call the place that they come from.
    Raises:
      InputError: names it and what is wrong with it.
    """
    parts = {"images": main} if held_out is None else {"images": main, "held_out": held_out}
    parts = {name: _in_item_shape(array, f"{where} ({name})") for name, array in parts.items()}
    note = ""
    if all(array.ndim == 4 and array.dtype == np.float32 for array in parts.values()):
        # One range for both parts: a held-out part without dark pixels must not be read differently.
        low = float(min(array.min() for array in parts.values()))
        high = float(max(array.max() for array in parts.values()))
        bounds = RANGES[value_range] if value_range else _guessed_range(low, high, where)
        parts = {name: _to_pixels(array, bounds) for name, array in parts.items()}
        note = f"floats in [{bounds[0]:g}, {bounds[1]:g}] rounded to 256 levels"
    items = {
        name: Items(array, [f"{Path(where).name}[{i}]" for i in range(len(array))], note)
        for name, array in parts.items()
    }
    return items["images"], items.get("held_out")


def read_array_folder(folder: str | os.PathLike, value_range: str | None = None) -> Items:
    """Reads the `.npz` and `.npy` files of a folder, in the order of their names, as one set.

    As samplers write them, a few items a file. The array of each is chosen as by `read_array`, and one range counts
    for all: a file without dark pixels must not be read as another kind.

    Raises:
      InputError: names the file and what is wrong with it.
    """
    if value_range is not None and value_range not in RANGES:
        raise InputError.setting("value_range", value_range, f"one of {' or '.join(RANGES)}")
    files = sorted(
        f for f in Path(folder).iterdir() if f.suffix.lower() in (".npz", ".npy") and f.name[0] != "."
    )
    parts: list[np.ndarray] = []
    names: list[str] = []
    for file in files:
        arrays = _stored_arrays(file)
        part = _in_item_shape(arrays[_chosen(arrays, None, file)], str(file))
        if parts and (part.shape[1:], part.dtype) != (parts[0].shape[1:], parts[0].dtype):
            raise InputError(
                f"{file} holds {part.dtype} items of shape {part.shape[1:]} and {files[0].name} {parts[0].dtype} of "
                f"{parts[0].shape[1:]}: the items of one set must be alike"
            )
        parts.append(part)
        names += [f"{file.name}[{i}]" for i in range(len(part))]
    values, note = np.concatenate(parts), f"{len(files)} files as one set"
    if values.ndim == 4 and values.dtype == np.float32:
        low, high = float(values.min()), float(values.max())
        bounds = RANGES[value_range] if value_range else _guessed_range(low, high, str(folder))
        values = _to_pixels(values, bounds)
        note += f"; floats in [{bounds[0]:g}, {bounds[1]:g}] rounded to 256 levels"
    others = collections.Counter(
        f.suffix.lower() or "no ending" for f in Path(folder).iterdir() if f not in files
    )
    return Items(values, names, note, unread=others)


def _chosen(arrays: dict[str, np.ndarray], name: str | None, path: Path) -> str:
    """Which of a file's arrays holds the items."""
    if name is not None and name in arrays:
        return name
    usual = [known for known in USUAL_NAMES if known in arrays]
    if name is None and (len(arrays) == 1 or len(usual) == 1):
        return usual[0] if usual else next(iter(arrays))
    there = ", ".join(sorted(arrays)) or "none"
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


def _stored_arrays(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file():
        raise InputError(f"there is no file {path}: give an .npz or .npy file that exists")
    try:
        stored: Any = np.load(path, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            return {"images": stored}
        with stored:
            return dict(stored)
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        if "pickle" in reason:  # numpy's guess at whatever it does not know, and its advice is not ours
            reason = "it holds Python objects, or is no file of numpy's"
        raise InputError(
            f"cannot read {path} as numpy arrays ({reason}): save plain numbers with np.savez or np.save"
        ) from error


def _in_item_shape(array: Shaped[np.ndarray, "..."], what: str) -> Shaped[np.ndarray, "item ..."]:
    """uint8 [n, h, w, c] or float32 [n, h, w, c] or float32 [n, d]; refuses all else."""
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise InputError(f"{what} has type {array.dtype}: save it as uint8 0..255 or as floats")
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim == 4 and array.shape[-1] not in (1, 3) and array.shape[1] in (1, 3):
        array = np.moveaxis(array, 1, -1)  # channels first, as PyTorch has them
    vectors = array.ndim == 2 and array.dtype != np.uint8
    if not vectors and (array.ndim != 4 or array.shape[-1] not in (1, 3)):
        raise InputError(
            f"{what} has shape {array.shape}: images must be [n, height, width] or [n, height, width, "
            "channel] with 1 or 3 channels, last or first"
        )
    if array.size == 0:
        raise InputError(f"{what} has shape {array.shape}, which holds nothing: give at least one item")
    if array.dtype == np.uint8:
        return array
    finite = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not finite.all():
        raise InputError(
            f"{what} has NaN or infinite values, first in item {int(np.argmin(finite))} of {len(array)}: "
            "remove such items"
        )
    return array.astype(np.float32)


def _guessed_range(low: float, high: float, path: str) -> tuple[float, float]:
    if low < -1 - ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"the float images of {path} run from {low:g} to {high:g}: save them as uint8 0..255, scale them to "
            "[0, 1] or [-1, 1], or say their range with {0}",
            "value_range",
        )
    if -NEAR < low < -ROUNDING:
        raise InputError(
            f"the float images of {path} run from {low:g} to {high:g}, which is neither [0, 1] nor clearly [-1, 1]: "
            "say which with {0}=0,1 or {0}=-1,1",
            "value_range",
        )
    return RANGES["0,1"] if low >= -ROUNDING else RANGES["-1,1"]


def _to_pixels(
    images: Float32[np.ndarray, "*shape"], bounds: tuple[float, float]
) -> UInt8[np.ndarray, "*shape"]:
    low, high = bounds
    return ((images - low) / (high - low) * 255).round().clip(0, 255).astype(np.uint8)
