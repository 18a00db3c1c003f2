"""Stored images, of any kind that Pillow decodes, as one uint8 array."""

import collections
import contextlib
import io
import itertools
import math
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import UInt8
from tqdm import tqdm

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.cores import available_cores
from memgen_jax.data.items import Account, Items, legible
from memgen_jax.data.room import blocks, converted, make_room
from memgen_jax.errors import FIELD, InputError
from memgen_jax.mapped import let_go

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
# What a file may turn out to be, whatever its ending; no kind that runs another program, such as PostScript. What
# Pillow knows by its ending alone would take damaged files of other kinds for its own.
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM")
BY_ENDING = {".tga": "TGA", ".pcx": "PCX"}
ORIENTATION = 0x0112  # the EXIF tag
CHUNK = 2**26  # bytes of images decoded at a time, so that memory is set by the result and not by the queue
LARGE = 2**23  # pixels above which images are decoded one at a time
MOST = 2**26 + 2**24  # pixels above which a file is taken for harm, as Pillow warns near there

_one_large = threading.Lock()

File = Path | io.BytesIO


class Decoded(NamedTuple):
    """One image's pixels, uint8.

    Attributes:
      either: it is grey and was stored as a palette, as GIF stores all: among RGB images it is one of them.
    """

    values: UInt8[np.ndarray, "height width channel"]
    either: bool = False


def stack(
    files: Iterable[File | Exception],
    names: Sequence[str],
    *,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    memory: int | None = None,
    progress: str | None = None,
) -> Items:
    """Decodes stored images with a few threads into one array, as a viewer shows them.

    They are turned as their EXIF says, transparent parts are laid on white, and of several frames the first is taken;
    each is counted in `note`.

    Args:
      files: the images' files, one after another; an exception in place of one that cannot be had.
      names: what to call each of them.
      size: crops every image to its central square and resizes that to size × size (bicubic). Without it all images
        must have one size.
      channels: 1 turns all images grey, 3 makes all RGB. Without it grey images stay grey, all others become RGB, and
        the two must not be mixed; palettes of greys go with either, and are grey among themselves (`Items.either`).
      skip_bad: leaves out images that cannot be decoded and counts them in `note`.
      memory: bytes above which the array is mapped from a file.
      progress: what a bar on the terminal calls this; no bar where not given.
    Raises:
      InputError: names the first image at fault, or the setting.
    """
    require_side(size)
    if channels not in (None, 1, 3):
        raise InputError.setting("channels", channels, "1 or 3")

    shown: collections.Counter[str] = collections.Counter()

    def attempt(file: File | Exception, name: str) -> Decoded | Exception:
        if isinstance(file, Exception):
            return file
        try:
            return pixels(file, size=size, channels=channels, shown=shown, name=name)
        except Exception as error:  # Pillow's decoders raise whatever a damaged file leads them to
            return error

    decodable()  # Pillow registers its decoders once, which must not happen in two threads
    values: np.ndarray | None = None
    kept: list[str] = []
    all_either = True
    account = Account(skip_bad)
    left = zip(files, names, strict=True)
    chunk = 8
    with (
        ThreadPoolExecutor(available_cores()) as pool,
        warnings.catch_warnings(),
        tqdm(total=len(names), desc=progress, unit="image", disable=None if progress else True) as bar,
    ):
        warnings.simplefilter("ignore")  # of odd tags in pictures that can be read
        while opened := _some(left, chunk):
            for (_, name), decoded in zip(opened, pool.map(attempt, *zip(*opened, strict=True)), strict=True):
                if isinstance(decoded, Exception):
                    account.bad(name, _reason(decoded), "image ")
                    continue
                image = decoded.values
                if values is None:
                    values = make_room((len(names), *image.shape), np.dtype(np.uint8), memory)
                    queue = CHUNK if memory is None else min(CHUNK, memory // 4)
                    chunk = min(max(queue // image.size, 2 * available_cores()), 1024)
                if decoded.either and values.shape[-1] == 3:
                    image = np.repeat(image, 3, axis=-1)
                elif all_either and image.shape[-1] > values.shape[-1]:
                    values = _coloured(values, len(kept), memory)
                _require_same_kind(image.shape, name, values.shape[1:], kept[:1])
                all_either &= decoded.either
                values[len(kept)] = image
                kept.append(name)
            let_go(values)
            bar.update(len(opened))
    if values is None:
        raise InputError(
            f"none of the {len(names)} images ({legible(names[0])}, ...) can be read: check them"
            if names
            else "there is no image to read: give at least one"
        )
    num_bad = len(account.skipped)
    bad = f"{num_bad} unreadable image{'s' * (num_bad > 1)} skipped" if num_bad else ""
    notes = [bad, *(f"{count:,} {what}" for what, count in sorted(shown.items()))]
    items = Items(values[: len(kept)], kept, "; ".join(filter(None, notes)), either=all_either)
    return account.of(items)


def _some(left: Iterator[tuple[File | Exception, str]], most: int) -> list[tuple[File | Exception, str]]:
    """The next files, at most so many, and no more of their bytes in memory than of decoded images."""
    some, held = [], 0
    for file, name in itertools.islice(left, most):
        some.append((file, name))
        held += file.getbuffer().nbytes if isinstance(file, io.BytesIO) else 0
        if held >= CHUNK:
            break
    return some


def pixels(
    file: File,
    *,
    size: int | None = None,
    channels: int | None = None,
    shown: "collections.Counter[str] | None" = None,
    name: str = "",
) -> Decoded:
    """Decodes one image as a viewer shows it; see `stack` for `size` and `channels`.

    Args:
      shown: counts what was done for it.
      name: its ending tells a few kinds that their first bytes do not.
    """
    from PIL import Image

    shown = collections.Counter() if shown is None else shown
    own = BY_ENDING.get(PurePath(name).suffix.lower())
    formats = [known for known in (*FORMATS, own) if known in Image.OPEN]
    with Image.open(file, formats=formats) as image:
        num_pixels = math.prod(image.size)
        if num_pixels > MOST:
            raise ValueError(
                f"it has {num_pixels:,} pixels, and more than {MOST:,} are not decoded; shrink it"
            )
        if image.mode.startswith(("I", "F")):
            raise ValueError("it has more than 8 bits per channel; save it with 8")
        with _one_large if num_pixels > LARGE else contextlib.nullcontext():
            return _as_shown(image, size, channels, shown)


def _as_shown(
    image: "Image.Image", size: int | None, channels: int | None, shown: "collections.Counter[str]"
) -> Decoded:
    from PIL import Image, ImageOps

    counted = []
    if getattr(image, "n_frames", 1) > 1:
        counted.append("with several frames, of which the first was taken")
    if any("16" in str(tile[3]) for tile in getattr(image, "tile", ())):
        counted.append("of 16 bits a channel, of which the upper 8 were taken")
    if image.mode == "CMYK":
        counted.append("in CMYK, turned to RGB without its colour profile")
    either = channels is None and image.mode in ("P", "PA") and _is_palette_of_greys(image)
    grey = either or image.mode in ("1", "L", "LA", "La") if channels is None else channels == 1
    turned: Image.Image = image
    if _orientation(image) != 1:
        image.load()
        turned = ImageOps.exif_transpose(image)
        counted.append("turned as their EXIF says")
    if "A" in turned.mode or "a" in turned.mode or "transparency" in turned.info:
        over = turned.convert("RGBA")
        alpha = over.getchannel("A")
        if np.asarray(alpha).min() < 255:
            counted.append("with transparent parts, laid on white")
            turned = Image.new("RGB", over.size, "white")
            turned.paste(over, mask=alpha)
        del over, alpha
    turned = turned.convert("L" if grey else "RGB")
    values = np.asarray(_fit(turned, size))
    shown.update(counted)
    return Decoded(values if values.ndim == 3 else values[..., None], either)


def _is_palette_of_greys(image: "Image.Image") -> bool:
    """Whether every colour that the pixels use is a grey; what is wholly transparent has none."""
    table = np.array(image.getpalette("RGBA") or (), np.uint8).reshape(-1, 4)
    used = np.unique(np.asarray(image)[..., :1] if image.mode == "PA" else np.asarray(image))
    clear = image.info.get("transparency")
    if isinstance(clear, bytes):  # one opacity after another
        used = used[[index >= len(clear) or clear[index] > 0 for index in used]]
    elif clear is not None:
        used = used[used != clear]
    if len(used) and used.max() >= len(table):  # its palette is cut off; Pillow takes black for the rest
        used = used[used < len(table)]
    colours = table[used]
    colours = colours[colours[:, 3] > 0, :3]
    return bool((colours == colours[:, :1]).all())


def _coloured(
    values: UInt8[np.ndarray, "item height width 1"], count: int, memory: int | None
) -> UInt8[np.ndarray, "item height width 3"]:
    """Room for as many RGB images, the first `count` with the greys repeated."""
    made = make_room((*values.shape[:3], 3), values.dtype, memory)
    for rows in blocks(count, made[:1].nbytes):
        made[rows] = values[rows]
        let_go(values)
        let_go(made)
    return made


def _orientation(image: "Image.Image") -> int:
    """What the EXIF says, 1 where it is damaged: the pixels may be whole all the same."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:
        return 1


def _reason(error: Exception) -> str:
    """Why an image cannot be decoded, without the machine's name for an open file."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return (
        "it is no image, or a damaged one"
        if "cannot identify" in str(error)
        else str(error) or type(error).__name__
    )


def resize(
    images: UInt8[np.ndarray, "item _ _ channel"], size: int, memory: int | None = None
) -> UInt8[np.ndarray, "item {size} {size} channel"]:
    """Crops decoded images to their central square and resizes it to size × size (bicubic)."""
    from PIL import Image

    require_side(size)
    if images.shape[1:3] == (size, size):
        return images
    grey = images.shape[-1] == 1

    def fitted(block: np.ndarray) -> np.ndarray:
        pictures = [_fit(Image.fromarray(image[..., 0] if grey else image), size) for image in block]
        return np.stack([np.asarray(picture) for picture in pictures]).reshape(
            -1, size, size, images.shape[-1]
        )

    return converted(images, fitted, (size, size, images.shape[-1]), images.dtype, memory)


def recolour(
    images: UInt8[np.ndarray, "item height width _"], channels: int, memory: int | None = None
) -> UInt8[np.ndarray, "item height width {channels}"]:
    """Makes decoded images grey (1 channel, the luma of ITU-R 601) or RGB (3, grey repeated)."""
    from PIL import Image

    if channels not in (1, 3):
        raise InputError.setting("channels", channels, "1 or 3")
    if images.shape[-1] == channels:
        return images

    def grey(block: np.ndarray) -> np.ndarray:
        return np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in block])[..., None]

    def coloured(block: np.ndarray) -> np.ndarray:
        return np.repeat(block, 3, axis=-1)

    shape = (*images.shape[1:3], channels)
    return converted(images, coloured if channels == 3 else grey, shape, images.dtype, memory)


@takes_arrays
def in_one_colour(sets: Sequence[Items], memory: int | None = None) -> list[Items]:
    """Sets of which one is RGB: those whose greys were stored as palettes (`Items.either`) become RGB too."""
    shapes = [items.values.shape[1:] for items in sets]
    coloured = next((shape for shape in shapes if len(shape) == 3 and shape[-1] == 3), ())
    return [beside(items, coloured, memory) for items in sets]


@takes_arrays
def beside(items: Items, item_shape: Sequence[int], memory: int | None = None) -> Items:
    """As `in_one_colour`, of a set beside items of a shape."""
    if not (items.either and len(item_shape) == 3 and item_shape[-1] == 3):
        return items
    return items._replace(values=recolour(items.values, 3, memory), either=False)


def _fit(image: "Image.Image", size: int | None) -> "Image.Image":
    from PIL import Image, ImageOps

    if size is None or image.size == (size, size):
        return image
    return ImageOps.fit(image, (size, size), Image.Resampling.BICUBIC)


def require_side(size: int | None) -> None:
    """Refuses a side to which no image can be brought."""
    if size is not None and not 1 <= size <= math.isqrt(MOST):
        raise InputError.setting("size", size, f"a side of 1..{math.isqrt(MOST)} pixels")


def decodable() -> frozenset[str]:
    """Those of `SUFFIXES` that the installed Pillow decodes."""
    from PIL import Image

    known = Image.registered_extensions()
    return frozenset(suffix for suffix in SUFFIXES if known.get(suffix) in Image.OPEN)


def _require_same_kind(
    shape: tuple[int, ...], name: str, expected: tuple[int, ...], first: list[str]
) -> None:
    if shape[:2] != expected[:2]:
        raise InputError(
            f"image {legible(name)} has {shape[0]}×{shape[1]} pixels but {legible(first[0])} has "
            f"{expected[0]}×{expected[1]}: give {FIELD[0]}=N to crop and resize all to one square",
            "size",
        )
    if shape[2] != expected[2]:
        kind = {1: "grey", 3: "RGB"}
        raise InputError(
            f"image {legible(name)} is {kind[shape[2]]} but {legible(first[0])} is {kind[expected[2]]}: give "
            f"{FIELD[0]}=1 or {FIELD[0]}=3 to bring all to one kind",
            "channels",
        )
