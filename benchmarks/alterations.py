"""Pictures of which copies are planted, and what is done to a copy so that it is hard to find.

Every picture comes with a margin of real surroundings, so that what a shift or a turn brings in was there, too.
"""

import io
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

MARGIN = 8  # pixels around a picture
FLAT = 25.0  # standard deviation, of 255, below which a crop shows nothing that a copy could be known by


class Sets(NamedTuple):
    """Pictures with their margin [item, height, width, channel]: a training set, and others that it does not hold."""

    train: np.ndarray
    unseen: np.ndarray


def photographs(side: int = 64, num_unseen: int = 150) -> Sets:
    """Crops without overlap of the photographs that come with scikit-learn and scikit-image, in random order."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    names = ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry", "hubble_deep_field")
    photos = [*load_sample_images().images, *(getattr(data, name)() for name in names)]
    photos += data.stereo_motorcycle()[:1]
    whole = side + 2 * MARGIN
    crops = [
        photo[y : y + whole, x : x + whole]
        for photo in photos
        for y in range(0, photo.shape[0] - whole + 1, whole)
        for x in range(0, photo.shape[1] - whole + 1, whole)
    ]
    kept = np.stack([crop for crop in crops if crop.std() >= FLAT])
    kept = kept[np.random.default_rng(0).permutation(len(kept))]
    return Sets(kept[num_unseen:], kept[:num_unseen])


def clothes(folder: str, num_train: int = 1000, num_unseen: int = 500) -> Sets:
    """Fashion-MNIST from its original files; the surroundings are black, as the background is."""
    from memgen_jax.data import read

    train, test = (items.values for items in read(f"idx:{folder}"))  # type: ignore[union-attr]
    edge = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0))
    return Sets(np.pad(train[:num_train], edge), np.pad(test[:num_unseen], edge))


def middle(wide: np.ndarray) -> np.ndarray:
    """Pictures without their margin."""
    return wide[..., MARGIN:-MARGIN, MARGIN:-MARGIN, :]


def _shift(pixels: int) -> Callable:
    def shift(wide, random, other):
        dy, dx = random.permutation([pixels * random.choice([-1, 1]), random.integers(-pixels, pixels + 1)])
        height, width, _ = wide.shape
        return wide[MARGIN + dy : height - MARGIN + dy, MARGIN + dx : width - MARGIN + dx]

    return shift


def _crop(wide, random, other):
    """A part of 90% of each side, anywhere in the picture, brought up to the whole."""
    picture = middle(wide)
    height, width, _ = picture.shape
    part = round(0.9 * height), round(0.9 * width)
    y, x = random.integers(0, height - part[0] + 1), random.integers(0, width - part[1] + 1)
    own = _image(picture[y : y + part[0], x : x + part[1]])
    return _pixels(own.resize((width, height), Image.Resampling.BICUBIC))


def _turn(wide, random, other):
    return middle(_pixels(_image(wide).rotate(5 * random.choice([-1, 1]), Image.Resampling.BICUBIC)))


def _brightness(wide, random, other):
    return (middle(wide) * random.choice([0.75, 1.25])).round().clip(0, 255).astype(np.uint8)


def _noise(wide, random, other):
    picture = middle(wide)
    return (picture + random.normal(0, 8, picture.shape)).round().clip(0, 255).astype(np.uint8)


def _jpeg(wide, random, other):
    stream = io.BytesIO()
    _image(middle(wide)).save(stream, "JPEG", quality=30)
    return _pixels(Image.open(stream))


def _blur(wide, random, other):
    return middle(_pixels(_image(wide).filter(ImageFilter.GaussianBlur(1))))


def _blend(wide, random, other):
    return middle((wide.astype(np.uint16) + other + 1) // 2).astype(np.uint8)


def _quarter(wide, random, other):
    """A quarter of the picture inside another one: a partial copy."""
    made = middle(other).copy()
    height, width = made.shape[0] // 2, made.shape[1] // 2
    made[:height, :width] = middle(wide)[height // 2 : height // 2 + height, width // 2 : width // 2 + width]
    return made


ALTERATIONS: dict[str, Callable] = {
    "identical": lambda wide, random, other: middle(wide),
    "noise 8": _noise,
    "JPEG 30": _jpeg,
    "blur 1 px": _blur,
    "brightness ±25%": _brightness,
    "mirror": lambda wide, random, other: middle(wide)[:, ::-1],
    **{f"shift {pixels} px": _shift(pixels) for pixels in (1, 2, 3, 4)},
    "crop 90%": _crop,
    "turn 5°": _turn,
    "blend of two": _blend,
    "a quarter pasted": _quarter,
}


def altered(sets: Sets, count: int) -> dict[str, np.ndarray]:
    """Alteration -> copies of as many training pictures, altered so.

    A blend is of two training pictures; what a quarter is pasted into is not in the training set.
    """
    random = np.random.default_rng(1)
    made = {}
    for name, alter in ALTERATIONS.items():
        others = sets.unseen if alter is _quarter else sets.train[count:]
        chosen = others[random.integers(0, len(others), count)]
        pairs = zip(sets.train[:count], chosen, strict=True)
        made[name] = np.stack([alter(wide, random, other) for wide, other in pairs])
    return made


def _image(pixels: np.ndarray) -> Image.Image:
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _pixels(image: Image.Image) -> np.ndarray:
    values = np.asarray(image)
    return values if values.ndim == 3 else values[..., None]
