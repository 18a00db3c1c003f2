"""Stored images, of any kind that Pillow decodes, as one uint8 array; folders of them."""

import collections
import io
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt8

from memgen_jax.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

# Endings of pictures, in either case; those that this Pillow cannot decode are counted among what was not read.
SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"),
    *(
        ".avif",
        ".avifs",
        ".jp2",
        ".j2k",
        ".jpx",
        ".jpf",
        ".jpc",
        ".ppm",
        ".pgm",
        ".pbm",
        ".pnm",
        ".tga",
        ".pcx",
    ),
)
ORIENTATION = 0x0112  # the EXIF tag
CHUNK = 1024  # images decoded at a time, so that memory is set by the result and not by the queue

File = Path | io.BytesIO


class Items(NamedTuple):
    """Items read from one place, in a stated order.

    Attributes:
      values: uint8 [item, height, width, channel] for images, float32 [item, dim] for vectors.
      names: what to call each item: the file's path inside its folder, or "file[17]".
      note: one line on what was done to the stored values; "" where nothing was.
      skipped: names of what should have been read and could not be.
      unread: kind (".txt", "linked folder") -> how many of it were there and are no items.
    """

    values: Shaped[np.ndarray, "item ..."]
    names: Sequence[str]
    note: str = ""
    skipped: Sequence[str] = ()
    unread: Mapping[str, int] = MappingProxyType({})


def joined(parts: Sequence[Items]) -> Items:
    """Several sets as one, in their order.

    Raises:
      InputError: they hold items of different shapes or kinds.
    """
    first = parts[0]
    for part in parts[1:]:
        if part.values.shape[1:] != first.values.shape[1:] or part.values.dtype != first.values.dtype:
            raise InputError(
                f"{part.names[0]} has shape {part.values.shape[1:]} and {first.names[0]} {first.values.shape[1:]}: "
                "items of one set must be of one shape; {0} and {1} bring images to one",
                "size",
                "channels",
            )
    unread: collections.Counter[str] = collections.Counter()
    for part in parts:
        unread.update(part.unread)
    return Items(
        np.concatenate([part.values for part in parts]),
        [name for part in parts for name in part.names],
        "; ".join(dict.fromkeys(part.note for part in parts if part.note)),
        [name for part in parts for name in part.skipped],
        dict(unread),
    )


def read_folder(
    folder: str | os.PathLike,
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
) -> Items:
    """Reads all images under a folder, sorted by their path inside it.

    Args:
      folder: searched with its subfolders for the endings in `SUFFIXES`; hidden files are left out, and all else
        is counted in `unread`.
      size: crops every image to its central square and resizes that to size × size (bicubic). Without
        it all images must have one size.
      channels: 1 turns all images grey, 3 makes all RGB. Without it grey images stay grey, all others
        become RGB, and the two must not be mixed. Images are taken as a viewer shows them: turned as their
        EXIF says, transparent parts on white, the first frame of several.
      skip_bad: leaves out files that cannot be decoded and counts them in `note`.
    Raises:
      InputError: names the folder, or the first image at fault.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: give a folder of images (PNG, JPEG, WebP, TIFF, ...)")
    decodable = _decodable()
    names: list[str] = []
    skipped: list[str] = []
    unread: collections.Counter[str] = collections.Counter()

    def refuse(name: str, reason: object) -> None:
        if not skip_bad:
            raise InputError(
                f"cannot read {name} ({reason}): repair or remove it, or pass {{0}} to leave such files out",
                "skip_bad",
            )
        skipped.append(name)

    def cannot_list(error: OSError) -> None:
        refuse(f"folder {error.filename}", error.strerror)

    for place, folders, files in os.walk(folder, onerror=cannot_list):
        unread["linked folder"] += sum(os.path.islink(os.path.join(place, name)) for name in folders)
        for file in files:
            path = Path(place) / file
            name, suffix = path.relative_to(folder).as_posix(), path.suffix.lower()
            if file.startswith("."):
                continue
            if suffix not in decodable:
                unread[suffix or "no ending"] += 1
            elif not path.is_file():
                refuse(name, "it is no file, or a link to nothing")
            else:
                names.append(name)
    unread = +unread  # without the zeros
    if not names:
        others = f" (but {count_by_kind(unread)})" if unread else ""
        raise InputError(
            f"folder {folder} holds no image{others}: give a folder of PNG, JPEG, WebP, BMP, TIFF or GIF images"
        )
    names.sort()
    items = stack([folder / name for name in names], names, size=size, channels=channels, skip_bad=skip_bad)
    notes = [items.note, f"{count_by_kind(unread)} not read" if unread else ""]
    return items._replace(
        note="; ".join(filter(None, notes)), skipped=(*skipped, *items.skipped), unread=dict(unread)
    )


def count_by_kind(unread: Mapping[str, int]) -> str:
    """What was not read in words, most frequent first.

    >>> count_by_kind({".txt": 1, ".heic": 12})
    '12 .heic, 1 .txt'
    """
    ordered = sorted(unread.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {kind}" for kind, count in ordered)


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

    shown: collections.Counter[str] = collections.Counter()

    def attempt(file: File) -> UInt8[np.ndarray, "height width channel"] | Exception:
        try:
            return pixels(file, size=size, channels=channels, shown=shown)
        except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
            return error

    values: np.ndarray | None = None
    kept: list[str] = []
    skipped: list[str] = []
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), CHUNK):
            chunk = range(start, min(start + CHUNK, len(names)))
            opened = files(chunk) if callable(files) else files[chunk.start : chunk.stop]
            for index, image in zip(chunk, pool.map(attempt, opened), strict=True):
                if isinstance(image, Exception):
                    if skip_bad:
                        skipped.append(names[index])
                        continue
                    raise InputError(
                        f"cannot read image {names[index]} ({image or type(image).__name__}): repair or remove "
                        "it, or pass {0} to leave such files out",
                        "skip_bad",
                    )
                if values is None:
                    values = np.empty((len(names), *image.shape), np.uint8)
                _require_same_kind(image.shape, names[index], values.shape[1:], kept[:1])
                values[len(kept)] = image
                kept.append(names[index])
    if values is None:
        raise InputError(f"none of the {len(names)} images ({names[0]}, ...) can be read: check them")
    bad = f"{len(skipped)} unreadable image{'s' * (len(skipped) > 1)} skipped" if skipped else ""
    notes = [bad, *(f"{count:,} {what}" for what, count in sorted(shown.items()))]
    return Items(values[: len(kept)], kept, "; ".join(filter(None, notes)), skipped)


def pixels(
    file: File,
    *,
    size: int | None = None,
    channels: int | None = None,
    shown: "collections.Counter[str] | None" = None,
) -> UInt8[np.ndarray, "height width channel"]:
    """Decodes one image as a viewer shows it; see `read_folder` for `size` and `channels`.

    Args:
      shown: counts what was done for it.
    """
    from PIL import Image, ImageOps

    turned: Image.Image
    shown = collections.Counter() if shown is None else shown
    with Image.open(file) as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits per channel")
        if getattr(image, "n_frames", 1) > 1:
            shown["with several frames, of which the first was taken"] += 1
        grey = image.mode in ("1", "L", "LA") if channels is None else channels == 1
        turned = ImageOps.exif_transpose(image)
        if image.getexif().get(ORIENTATION, 1) != 1:
            shown["turned as their EXIF says"] += 1
        if "A" in turned.mode or "transparency" in turned.info:
            over = turned.convert("RGBA")
            if np.asarray(over)[..., 3].min() < 255:
                shown["with transparent parts, laid on white"] += 1
                turned = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        values = np.asarray(_fit(turned.convert("L" if grey else "RGB"), size))
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


def _decodable() -> frozenset[str]:
    """Those of `SUFFIXES` that the installed Pillow decodes."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix in SUFFIXES if known.get(suffix) in Image.OPEN)


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
