"""Stored images (PNG, JPEG, WebP) as one uint8 array; folders of them."""

import io
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from memgen_jax.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
CHUNK = 1024  # images decoded at a time, so that memory is set by the result and not by the queue

File = Path | io.BytesIO


class Items(NamedTuple):
    """Items read from one place, in a stated order.

    Attributes:
      values: uint8 [item, height, width, channel] for images, float32 [item, dim] for vectors.
      names: what to call each item: the file's path inside its folder, or "file[17]".
      note: one line on what was done to the stored values; "" where nothing was.
    """

    values: Shaped[np.ndarray, "item ..."]
    names: Sequence[str]
    note: str = ""


def read_folder(
    folder: str | os.PathLike,
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
) -> Items:
    """Reads all images under a folder, sorted by their path inside it.

    Args:
      folder: searched with its subfolders for .png, .jpg, .jpeg and .webp; hidden files are left out.
      size: crops every image to its central square and resizes that to size × size (bicubic). Without
        it all images must have one size.
      channels: 1 turns all images grey, 3 makes all RGB. Without it grey images stay grey, all others
        become RGB, and the two must not be mixed. Transparency is dropped.
      skip_bad: leaves out files that cannot be decoded and counts them in `note`.
    Raises:
      InputError: names the folder, or the first image at fault.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give a folder of PNG, JPEG or WebP images")
    names = sorted(
        (Path(place) / file).relative_to(folder).as_posix()
        for place, _, files in os.walk(folder)
        for file in files
        if file.lower().endswith(SUFFIXES) and not file.startswith(".")
    )
    if not names:
        raise InputError(f"folder {folder} holds no PNG, JPEG or WebP image: give a folder that does")
    return stack([folder / name for name in names], names, size=size, channels=channels, skip_bad=skip_bad)


def stack(
    files: Sequence[File] | Callable[[range], Sequence[File]],
    names: Sequence[str],
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
) -> Items:
    """Decodes stored images with a few threads into one array; the settings are `read_folder`'s.

    Args:
      files: the images' files, or a function that opens those of a range of indices.
      names: what an error calls each of them.
    """
    if channels not in (None, 1, 3) or (size is not None and size < 1):
        field, value = ("channels", channels) if channels not in (None, 1, 3) else ("size", size)
        raise InputError.setting(field, value, "1 or 3" if field == "channels" else "positive")

    def attempt(file: File) -> UInt8[np.ndarray, "height width channel"] | Exception:
        try:
            return pixels(file, size=size, channels=channels)
        except _unreadable() as error:
            return error

    values: np.ndarray | None = None
    kept: list[str] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), CHUNK):
            chunk = range(start, min(start + CHUNK, len(names)))
            opened = files(chunk) if callable(files) else files[chunk.start : chunk.stop]
            for index, image in zip(chunk, pool.map(attempt, opened), strict=True):
                if isinstance(image, Exception):
                    if skip_bad:
                        continue
                    raise InputError(
                        f"cannot read image {names[index]} ({image}): repair or remove it, or pass "
                        "{0} to leave such files out",
                        "skip_bad",
                    )
                if values is None:
                    values = np.empty((len(names), *image.shape), np.uint8)
                _require_same_kind(image.shape, names[index], values.shape[1:], kept[:1])
                values[len(kept)] = image
                kept.append(names[index])
    if values is None:
        raise InputError(f"none of the {len(names)} images ({names[0]}, ...) can be read: check them")
    skipped = len(names) - len(kept)
    note = f"{skipped} unreadable image{'s' * (skipped > 1)} skipped" if skipped else ""
    return Items(values[: len(kept)], kept, note)


def pixels(
    file: File, *, size: int | None = None, channels: int | None = None
) -> UInt8[np.ndarray, "height width channel"]:
    """Decodes one image; see `read_folder` for `size` and `channels`."""
    from PIL import Image

    with Image.open(file) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits per channel")
        grey = image.mode in ("1", "L", "LA") if channels is None else channels == 1
        values = np.asarray(_fit(image.convert("L" if grey else "RGB"), size))
    return values if values.ndim == 3 else values[..., None]


def resize(
    images: UInt8[np.ndarray, "item _ _ channel"], size: int
) -> UInt8[np.ndarray, "item {size} {size} channel"]:
    """Crops decoded images to their central square and resizes it to size × size (bicubic)."""
    from PIL import Image

    if images.shape[1:3] == (size, size):
        return images
    grey = images.shape[-1] == 1
    fitted = [_fit(Image.fromarray(image[..., 0] if grey else image), size) for image in images]
    return np.stack([np.asarray(image) for image in fitted]).reshape(-1, size, size, images.shape[-1])


def recolour(
    images: UInt8[np.ndarray, "item height width _"], channels: int
) -> UInt8[np.ndarray, "item height width {channels}"]:
    """Makes decoded images grey (1 channel, the luma of ITU-R 601) or RGB (3, grey repeated)."""
    from PIL import Image

    if channels not in (1, 3):
        raise InputError.setting("channels", channels, "1 or 3")
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    return np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in images])[..., None]


def _fit(image: "Image.Image", size: int | None) -> "Image.Image":
    from PIL import Image, ImageOps

    if size is None or image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def _unreadable() -> tuple[type[Exception], ...]:
    """What PIL raises on files that are cut, damaged, or no images."""
    from PIL import Image

    return OSError, SyntaxError, ValueError, EOFError, Image.DecompressionBombError


def _require_same_kind(
    shape: tuple[int, ...], name: str, expected: tuple[int, ...], first: list[str]
) -> None:
    if shape[:2] != expected[:2]:
        raise InputError(
            f"image {name} has {shape[0]}×{shape[1]} pixels but {first[0]} has "
            f"{expected[0]}×{expected[1]}: give {{0}}=N to crop and resize all to one square",
            "size",
        )
    if shape[2] != expected[2]:
        kind = {1: "grey", 3: "RGB"}
        raise InputError(
            f"image {name} is {kind[shape[2]]} but {first[0]} is {kind[expected[2]]}: give {{0}}=1 "
            "or {0}=3 to bring all to one kind",
            "channels",
        )
