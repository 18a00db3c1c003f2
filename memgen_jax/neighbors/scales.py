"""Whether two sets are on one scale: a distance from pixels in 0..255 to others in [-1, 1] means nothing."""

import numpy as np

from memgen_jax.errors import InputError

FEWEST_NUMBERS, FEWEST_PIXELS = 64, 16  # below these a set may be anything
SEEN = 256  # items that are looked at: a set may be as large as the disk
NUMBERS_SEEN = 2**22  # of more than one item


def require_one_scale(**items: np.ndarray) -> None:
    """Refuses pictures on two scales: pixels from 0 to 255, as uint8 or as whole floats, beside others in [-1, 1].

    Floats are taken for pixels where at least `FEWEST_NUMBERS` of them, in items of at least `FEWEST_PIXELS` numbers,
    are all whole, within 0..255, and reach beyond 100; and for pictures in [-1, 1] where all lie there and are not
    whole, 0 and 1 or such. Vectors, counts and one-hot codes are rarely both at once, and a few numbers tell nothing.

    Raises:
      InputError: names one of each.
    """
    pixels = [name for name, array in items.items() if array.dtype == np.uint8]
    floats = [name for name, array in items.items() if array.dtype != np.uint8]
    if pixels and floats:
        raise InputError(
            f"{floats[0]} holds {items[floats[0]].dtype} numbers and {pixels[0]} uint8 pixels from 0 to 255: bring "
            "both to one scale (data.decode gives pixels in [-1, 1], data.encode the reverse)"
        )
    looked_at = {name: seen for name in floats if (seen := _looked_at(items[name])) is not None}
    whole = next((name for name, seen in looked_at.items() if _is_of_pixels(seen)), None)
    unit = whole and next((name for name, seen in looked_at.items() if _is_of_unit(seen)), None)
    if whole and unit:
        raise InputError(
            f"{unit} lies within [-1, 1] and {whole} holds whole numbers up to {looked_at[whole].max():g}, as pixels "
            "do: bring both to one scale (x / 127.5 - 1 gives pixels in [-1, 1])"
        )


def _looked_at(items: np.ndarray) -> np.ndarray | None:
    """The numbers by which a scale is told; None where there are too few."""
    if items.ndim < 2 or items[:1].size < FEWEST_PIXELS:
        return None
    seen = np.asarray(items[: max(1, min(SEEN, NUMBERS_SEEN // items[:1].size))])
    return seen if seen.size >= FEWEST_NUMBERS and seen.dtype.kind in "fiu" else None


def _is_of_pixels(seen: np.ndarray) -> bool:
    return bool(seen.min() >= 0 and 100 < seen.max() <= 255 and np.array_equal(seen, np.rint(seen)))


def _is_of_unit(seen: np.ndarray) -> bool:
    return bool(seen.min() < 0 and np.abs(seen).max() <= 1 and not np.array_equal(seen, np.rint(seen)))
