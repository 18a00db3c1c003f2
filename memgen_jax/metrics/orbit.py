"""Up to a mirror, a shift, a turn, a brightness: the distance is the least over these versions of an image."""

import dataclasses
import itertools
import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, Int32, UInt8

from memgen_jax.errors import InputError
from memgen_jax.metrics.metric import Metric
from memgen_jax.neighbors import Neighbors

KINDS = ("flip", "shift=N", "rotate", "brightness[=F]")
BRIGHTNESS = 0.3  # by default up to 30% darker and brighter
BRIGHTNESS_STEP = 0.1

Images = UInt8[np.ndarray, "image height width channel"]


@dataclasses.dataclass(frozen=True)
class Orbit:
    """A set of versions of an image, the image itself among them.

    Attributes:
      flip: also mirrored, left and right exchanged.
      shift: also moved by up to so many pixels in each direction; what comes in repeats the edge.
      rotate: also turned by 90, 180 and 270 degrees.
      brightness: also with pixel values times 1 ± 0.1, 1 ± 0.2, … up to this, clipped at white.
    """

    flip: bool = False
    shift: int = 0
    rotate: bool = False
    brightness: float = 0.0

    def __len__(self) -> int:
        """Number of versions, hence by how much longer a search takes."""
        return len(list(self._choices()))

    def versions(self, images: Images) -> Iterator[Images]:
        """The images in every version, one version after another; the first is the images as they are."""
        for mirrored, turns, (down, right), factor in self._choices():
            changed = images[:, :, ::-1] if mirrored else images
            changed = np.rot90(changed, turns, axes=(1, 2)) if turns else changed
            changed = shifted(changed, down, right) if down or right else changed
            if factor != 1:
                changed = (changed * np.float32(factor)).round().clip(0, 255).astype(np.uint8)
            yield np.ascontiguousarray(changed)

    def _choices(self) -> Iterator[tuple[bool, int, tuple[int, int], float]]:
        moves = sorted(
            itertools.product(range(-self.shift, self.shift + 1), repeat=2), key=lambda m: m != (0, 0)
        )
        steps = [BRIGHTNESS_STEP * i for i in range(1, int(self.brightness / BRIGHTNESS_STEP + 1e-9) + 1)]
        factors = [1.0, *(1 + sign * step for step in steps for sign in (-1, 1))]
        mirrors = (False, True) if self.flip else (False,)
        turns = range(4 if self.rotate else 1)
        return itertools.product(mirrors, turns, moves, factors)  # type: ignore[return-value]

    @property
    def phrase(self) -> str:
        """What a sentence calls it, behind a distance."""
        parts = [
            "mirrored" if self.flip else "",
            f"shifted by up to {self.shift} px" if self.shift else "",
            "turned by quarters" if self.rotate else "",
            f"up to {100 * self.brightness:.0f}% darker or brighter" if self.brightness else "",
        ]
        return f"the least over each image as it is, {', '.join(part for part in parts if part)}"

    def require_shape(self, item_shape: tuple[int, ...], field: str = "up_to") -> None:
        """Refuses items that have no such versions.

        Raises:
          InputError: vectors, a turn of images that are not square, or a shift of half an image and more.
        """
        if len(item_shape) != 3:
            raise InputError("{0} is about images, and these items are vectors; leave it out", field)
        height, width, _ = item_shape
        if self.rotate and height != width:
            raise InputError(
                f"{{0}} rotate needs square images, and these are {height}×{width}; leave it out", field
            )
        if 2 * self.shift >= min(height, width):
            raise InputError(
                f"{{0}} shift={self.shift} is half of {height}×{width} images or more; give a smaller one",
                field,
            )


def parse_orbit(text: str, field: str = "up_to") -> Orbit:
    """Reads "flip,shift=2,rotate,brightness".

    Raises:
      InputError: another word, a word twice, or a number that it cannot have.

    >>> from memgen_jax import metrics
    >>> len(metrics.parse_orbit("flip,shift=1"))  # mirrored or not, at 9 places
    18
    """
    chosen: dict[str, bool | int | float] = {}
    for word in text.split(","):
        match = re.fullmatch(r"\s*(flip|rotate|shift=(\d+)|brightness(?:=(\d*\.?\d+))?)\s*", word)
        if not match:
            raise InputError(f"{{0}}={text!r}: {word.strip()!r} is not one of {', '.join(KINDS)}", field)
        name = match[1].partition("=")[0]
        if name in chosen:
            raise InputError(f"{{0}}={text!r} names {name} twice; give it once", field)
        chosen[name] = True
        if name == "shift":
            chosen[name] = int(match[2])
        elif name == "brightness":
            chosen[name] = float(match[3]) if match[3] else BRIGHTNESS
    if chosen.get("shift") == 0:
        raise InputError(f"{{0}}={text!r}: a shift is of 1 pixel or more", field)
    if "brightness" in chosen and not BRIGHTNESS_STEP <= chosen["brightness"] <= 0.9:
        raise InputError(f"{{0}}={text!r}: brightness must be in {BRIGHTNESS_STEP}..0.9", field)
    return Orbit(**chosen)  # type: ignore[arg-type]


def shifted(images: Images, down: int, right: int) -> Images:
    """Images moved by whole pixels; the rows and columns that come in repeat the edge."""
    _, height, width, _ = images.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, rows][:, :, columns]


def least_search(
    metric: Metric,
    orbit: Orbit | None,
    queries: np.ndarray,
    items: np.ndarray,
    references: np.ndarray,
    *,
    k: int = 1,
    progress: str | None = None,
    **options,
) -> Neighbors:
    """The k nearest references of every query, by the least distance over the references' versions, exactly.

    The references are changed, not the queries: a copy that lost an edge when it was shifted is then the version
    itself, and no shift back would bring the edge. Among the k nearest by the least distance each is among the k
    nearest of the version that gives it, for fewer than k others are nearer in that version. So the k nearest of every
    version suffice.

    Args:
      queries, references: as vectors.
      items: the references as data sets hold them.
      options: of `Metric.search`.
    """
    found = metric.search(queries, references, k=k, progress=progress, **options)
    if orbit is None:
        return found
    count = len(orbit)
    for number, version in enumerate(orbit.versions(items)):
        if number:
            name = f"{progress}, version {number + 1} of {count}" if progress else None
            other = metric.search(queries, metric.vectors(version), k=k, progress=name, **options)
            found = _nearest_of_both(found, other, k)
    return found


def _nearest_of_both(first: Neighbors, second: Neighbors, k: int) -> Neighbors:
    """Of two lists a row the k nearest, each reference once, ties by the lower index."""
    distance = np.concatenate([first.distance, second.distance], axis=1)
    index = np.concatenate([first.index, second.index], axis=1)
    order = np.lexsort(
        (distance, index)
    )  # a reference that is in both stands twice in a row, the nearer first
    distance, index = np.take_along_axis(distance, order, 1), np.take_along_axis(index, order, 1)
    again = np.zeros(index.shape, bool)
    again[:, 1:] = index[:, 1:] == index[:, :-1]
    distance = np.where(again, np.inf, distance)
    order = np.lexsort((index, distance))[:, :k]
    nearest: Float32[np.ndarray, "query k"] = np.take_along_axis(distance, order, 1).astype(np.float32)
    which: Int32[np.ndarray, "query k"] = np.take_along_axis(index, order, 1).astype(np.int32)
    return Neighbors(nearest, which)
