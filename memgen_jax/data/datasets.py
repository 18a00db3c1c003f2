"""One shape for every data set: training items, held-out items, the range of their values."""

import dataclasses
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Float, Shaped

from memgen_jax.annotations import NotNegative, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data.items import Items
from memgen_jax.data.sources import KINDS, of_arrays, read
from memgen_jax.data.spread import SCALES, centre_and_spread, scaled
from memgen_jax.errors import FIELD, InputError, whole_number

NAMED = ("digits", "circle", "gaussian_pixels")
"""Data sets that are made, not read."""
SPLIT_SEED = 0  # of the split that sets items aside where a data set comes without one

Pixels = TypeVar("Pixels", np.ndarray, jax.Array)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Training items S (of which every sweep takes subsets) and real items that no model sees.

    Attributes:
      name: what reports call it.
      train: uint8 [num_train, height, width, channel] for images, float32 [num_train, ...] else.
      held_out: the same kind of items, disjoint from `train`; may be empty ([0, ...]).
      value_range: interval that holds every decoded value. Images are decoded to [-1, 1].
      note: one line on what reading changed or left out; "" where nothing was.
    """

    name: str
    train: Shaped[np.ndarray, " num_train *item"]
    held_out: Shaped[np.ndarray, " num_held_out *item"]
    value_range: tuple[float, float] = (-1.0, 1.0)
    note: str = ""

    def __post_init__(self) -> None:
        if self.train.dtype not in (np.uint8, np.float32) or self.train.dtype != self.held_out.dtype:
            raise InputError(
                f"data set {self.name}: items must be uint8 images or float32 vectors, train and "
                f"held-out alike, not {self.train.dtype} and {self.held_out.dtype}: convert them"
            )
        if self.train.shape[1:] != self.held_out.shape[1:]:
            raise InputError(
                f"data set {self.name}: training items have shape {self.train.shape[1:]} but "
                f"held-out items {self.held_out.shape[1:]}: bring them to one shape"
            )
        if len(self.train) == 0:
            raise InputError(f"data set {self.name} has no training items: give at least one")

    @property
    def is_image(self) -> bool:
        """True for uint8 pixels: `decode` and `encode` convert, and items can be drawn."""
        return self.train.dtype == np.uint8

    @property
    def item_shape(self) -> tuple[int, ...]:
        """Shape of one item, such as (height, width, channel)."""
        return self.train.shape[1:]

    @property
    def num_train(self) -> int:
        """Number of training items."""
        return len(self.train)


@takes_arrays
def decode(items: Pixels) -> Pixels:
    """Maps uint8 pixels 0..255 to float32 in [-1, 1]; items that are floats already pass as is.

    Works on numpy and on jax arrays, also under `jit`.

    Raises:
      InputError: whole numbers of another type, which a list of them gives.

    >>> import numpy as np
    >>> from memgen_jax import data
    >>> data.decode(np.array([0, 255], np.uint8)).tolist()
    [-1.0, 1.0]
    """
    if items.dtype.kind in "iub" and items.dtype != np.uint8:
        raise InputError(
            f"items holds {items.dtype} numbers, which are neither pixels nor floats: give np.uint8, as by "
            "np.asarray(items, np.uint8), or floats"
        )
    if items.dtype != np.uint8:
        return items
    return items.astype(np.float32) / 127.5 - 1.0


@takes_arrays
def encode(images: Pixels) -> Pixels:
    """Maps floats in [-1, 1] to uint8 pixels by rounding; what lies outside is clipped.

    The inverse of `decode` on every uint8 value. Works on numpy and on jax arrays.

    >>> import numpy as np
    >>> from memgen_jax import data
    >>> data.encode(np.array([-1.0, 1.0, 2.0], np.float32)).tolist()
    [0, 255, 255]
    """
    return ((images + 1.0) * 127.5).round().clip(0, 255).astype(np.uint8)


def digits() -> Dataset:
    """The 1,797 handwritten 8×8 digits that come with scikit-learn: 1,437 to train, 360 held out.

    Their 17 grey levels 0..16 are spread over 0..255 by rounding. The split is one permutation
    with seed `SPLIT_SEED` (0).
    """
    from sklearn.datasets import load_digits  # seconds to import, so only where it is used

    levels = load_digits().images
    images = np.round(levels * (255 / 16)).astype(np.uint8)[..., None]
    train, held_out = _set_aside(images, num_held_out=360)
    return Dataset("digits", train, held_out)


@takes_arrays
def circle(
    num_train: Positive = 60_000, num_held_out: NotNegative = 10_000, seed: NotNegative = 0
) -> Dataset:
    """Points uniform on the unit circle (Pham et al. 2025, App. A), as float32 [num_train, 2].

    The points come one after another from `seed`, so a smaller set is a prefix of a larger one.
    Held-out points are fresh draws from a stream of their own.

    Raises:
      InputError: a number of points, or the seed, is no whole number from 0 on.
    """

    num_train = whole_number("num_train", num_train, 1)
    num_held_out, seed = whole_number("num_held_out", num_held_out, 0), whole_number("seed", seed, 0)

    def points(count: int, stream: int) -> Float[np.ndarray, "count 2"]:
        angle = np.random.default_rng((seed, stream)).uniform(0, 2 * np.pi, count)
        return np.stack([np.cos(angle), np.sin(angle)], axis=-1).astype(np.float32)

    return Dataset("circle", points(num_train, 0), points(num_held_out, 1))


@takes_arrays
def gaussian_pixels(
    item_shape: tuple[int, ...] = (16, 16, 1),
    num_train: Positive = 100_000,
    num_held_out: NotNegative = 10_000,
    *,
    mean: float = 0.5,
    std: float = 0.1,
    seed: NotNegative = 0,
) -> Dataset:
    """Independent Gaussian pixels N(mean, std²), the onset paper's data (Onset 2024, section 4).

    Items are float32 in the paper's own units, not scaled to [-1, 1] and not quantised, so that
    densities keep their closed forms. `value_range` is mean ± 6 std; a value beyond it (one in
    five hundred million) is set to its end, so the range holds for every value.

    Args:
      item_shape: `(16, 16, 1)` for the paper's images, `(d,)` for vectors.
      std: above 0.
    Raises:
      InputError: a number out of range.
    """
    if not 0 < std < math.inf:
        raise InputError.setting("std", std, "a finite number above 0")
    if not math.isfinite(mean):
        raise InputError.setting("mean", mean, "a finite number")
    low, high = mean - 6 * std, mean + 6 * std

    def draw(count: int, stream: int) -> Float[np.ndarray, "count ..."]:
        rng = np.random.default_rng((seed, stream))
        normal = rng.standard_normal((count, *item_shape), dtype=np.float32)
        return (mean + std * normal).clip(low, high)

    return Dataset("gaussian_pixels", draw(num_train, 0), draw(num_held_out, 1), (low, high))


@takes_arrays
def load(
    name: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    size: int | None = None,
    channels: int | None = None,
    num_held_out: int = 0,
    skip_bad: bool = False,
    value_range: str | None = None,
    layout: str | None = None,
    scale: str = "",
    arrays: tuple[np.ndarray, ...] = (),
) -> Dataset:
    """Loads a data set by its name or from where it is stored.

    Args:
      name: "digits", "circle", "gaussian_pixels"; or a source as `read` takes it: an .npz or .npy file,
        a folder of images, "tfds:NAME", "idx:FOLDER" and more.
      data_dir, size, channels, skip_bad, value_range, layout: see `read`; they apply to stored data sets only.
      arrays: the items themselves, and held-out items if there are any, in place of what is stored under the name;
        see `read_array` for what they may be.
      scale: "spread" centres vectors and divides them by their standard deviation over all coordinates together,
        both of the items that are read (held-out ones of a source's own are brought to the same units); "" takes them
        as they are.
      num_held_out: items to set aside, chosen by `SPLIT_SEED`, where a source has none of its own. At 0
        such a data set has no held-out items.
    Raises:
      InputError: names what cannot be found, read or used.

    >>> from memgen_jax import load
    >>> digits = load("digits")
    >>> digits.train.shape, digits.train.dtype.name, len(digits.held_out)
    ((1437, 8, 8, 1), 'uint8', 360)
    """
    if not isinstance(name, str | os.PathLike):
        raise InputError(
            f"a data set is loaded by its name or path, not from {type(name).__name__}: give one"
        )
    name = os.fspath(name)
    named: dict[str, Callable[[], Dataset]] = dict(zip(NAMED, (digits, circle, gaussian_pixels), strict=True))
    if scale not in SCALES:
        raise InputError.setting("scale", scale, "spread, or nothing")
    if name in NAMED and not arrays:
        if size is not None or channels is not None or num_held_out or scale:
            raise InputError(
                f"data set {name} comes as it is: leave out size, channels, scale and num_held_out, which apply "
                "to stored items"
            )
        return named[name]()
    if not arrays and not re.search(r"[:/.]", name) and not (name and Path(name).exists()):
        raise InputError(f"unknown data set {name!r}: give one of {', '.join(named)}, or {KINDS}")
    if arrays:
        items, held_out = of_arrays(
            arrays, name, size=size, channels=channels, value_range=value_range, layout=layout
        )
    else:
        items, held_out = read(
            name,
            data_dir=data_dir,
            size=size,
            channels=channels,
            skip_bad=skip_bad,
            value_range=value_range,
            layout=layout,
        )
    if scale:
        items, held_out = _in_units_of_spread(items, held_out, name)
    if held_out is not None:
        if num_held_out:
            raise InputError(
                f"{name} has {len(held_out.values)} held-out items of its own: leave out num_held_out"
            )
        train, rest = items.values, held_out.values
    else:
        if not 0 <= num_held_out < len(items.values):
            raise InputError(
                f"num_held_out={num_held_out} must lie in 0..{len(items.values) - 1} for the "
                f"{len(items.values)} items of {name}: change it"
            )
        train, rest = _set_aside(items.values, num_held_out)
    interval = (-1.0, 1.0)
    if train.dtype != np.uint8:
        both = [part for part in (train, rest) if len(part)]
        interval = (float(min(p.min() for p in both)), float(max(p.max() for p in both)))
    return Dataset(_short_name(name), train, rest, interval, items.note)


@takes_arrays
def set_aside(dataset: Dataset, num_held_out: int) -> Dataset:
    """A data set without held-out items, with so many of its training items set aside: as `load` does it.

    Args:
      num_held_out: from 1 up to one less than there are training items.
    Raises:
      InputError: there are held-out items already, or too few training items.
    """
    if len(dataset.held_out):
        raise InputError(f"{dataset.name} has {len(dataset.held_out)} held-out items already")
    if not 1 <= num_held_out < dataset.num_train:
        raise InputError.setting("num_held_out", num_held_out, f"in 1..{dataset.num_train - 1}")
    train, held_out = _set_aside(dataset.train, num_held_out)
    return dataclasses.replace(dataset, train=train, held_out=held_out)


def _in_units_of_spread(items: Items, held_out: Items | None, name: str) -> tuple[Items, Items | None]:
    if items.values.dtype == np.uint8:
        raise InputError(f"{FIELD[0]}=spread applies to vectors, not to images: leave it out", "scale")
    centre, spread = centre_and_spread(items.values, name)
    told = f"centred and divided by their spread, {spread:.6g}"
    note = f"{items.note}; {told}" if items.note else told
    own = held_out and held_out._replace(values=scaled(held_out.values, centre, spread))
    return items._replace(values=scaled(items.values, centre, spread), note=note), own


def _short_name(name: str) -> str:
    kind, _, rest = name.partition(":")
    return rest if kind == "tfds" else Path(rest if kind == "idx" else name).name


def _set_aside(
    items: Shaped[np.ndarray, " num_items *item"], num_held_out: int
) -> tuple[Shaped[np.ndarray, " num_train *item"], Shaped[np.ndarray, " num_held_out *item"]]:
    """Splits off `num_held_out` items chosen by `SPLIT_SEED`; both parts keep the file order."""
    order = np.random.default_rng(SPLIT_SEED).permutation(len(items))
    num_train = len(items) - num_held_out
    return items[np.sort(order[:num_train])], items[np.sort(order[num_train:])]
