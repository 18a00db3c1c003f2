"""Up to a mirror, a shift, a turn, a zoom, a brightness: the least distance over these versions of an image."""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Float32, Int, Int32, UInt8
from scipy.sparse import coo_array

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import FIELD, InputError
from memgen_jax.mapped import let_go
from memgen_jax.metrics.metric import Metric
from memgen_jax.neighbors import Neighbors

KINDS = ("flip", "shift=N", "rotate", "tilt[=DEGREES]", "zoom[=F]", "brightness[=F]")
DEFAULTS = {"tilt": 5.0, "zoom": 0.9, "brightness": 0.3}
ALLOWED = {"tilt": (0.5, 45.0), "zoom": (0.5, 0.95), "brightness": (0.1, 0.9)}
BLOCK = 2**24  # pixels that are turned at a time
TILT_STEP, ZOOM_STEP, BRIGHTNESS_STEP = 2.5, 0.05, 0.1

Images = UInt8[np.ndarray, "image height width channel"]


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Orbit:
    """A set of versions of an image, the image itself among them.

    Attributes:
      flip: also mirrored, left and right exchanged.
      shift: also moved by up to so many pixels in each direction; what comes in repeats the edge.
      rotate: also turned by 90, 180 and 270 degrees.
      tilt: also turned by ± 2.5, ± 5, … degrees up to this, and by this; corners that come in repeat the edge.
      zoom: also the middle 95%, 90%, … of each side down to this share, brought up to the whole; 1 for none.
      brightness: also with pixel values times 1 ± 0.1, 1 ± 0.2, … up to this, clipped at white.
    """

    flip: bool = False
    shift: int = 0
    rotate: bool = False
    tilt: float = 0.0
    zoom: float = 1.0
    brightness: float = 0.0

    def __len__(self) -> int:
        """Number of versions, hence by how much longer a search takes."""
        return len(list(self._choices()))

    def versions(self, images: Images) -> Iterator[Images]:
        """The images in every version, one version after another; the first is the images as they are."""
        for mirrored, turns, angle, part, (down, right), factor in self._choices():
            changed = images[:, :, ::-1] if mirrored else images
            changed = np.rot90(changed, turns, axes=(1, 2)) if turns else changed
            changed = tilted(changed, angle, part) if angle or part != 1 else changed
            changed = shifted(changed, down, right) if down or right else changed
            if factor != 1:
                changed = (changed * np.float32(factor)).round().clip(0, 255).astype(np.uint8)
            yield np.ascontiguousarray(changed)

    def _choices(self) -> Iterator[tuple[bool, int, float, float, tuple[int, int], float]]:
        moves = sorted(
            itertools.product(range(-self.shift, self.shift + 1), repeat=2), key=lambda m: m != (0, 0)
        )
        factors = [1.0, *(1 + sign * d for d in _steps(self.brightness, BRIGHTNESS_STEP) for sign in (-1, 1))]
        angles = [0.0, *(sign * angle for angle in _steps(self.tilt, TILT_STEP) for sign in (-1, 1))]
        parts = [1.0, *(1 - step for step in _steps(1 - self.zoom, ZOOM_STEP))]
        mirrors = (False, True) if self.flip else (False,)
        turns = range(4 if self.rotate else 1)
        return itertools.product(mirrors, turns, angles, parts, moves, factors)  # type: ignore[return-value]

    @property
    def phrase(self) -> str:
        """What a sentence calls it, behind a distance."""
        parts = [
            "mirrored" if self.flip else "",
            f"shifted by up to {self.shift} px" if self.shift else "",
            "turned by quarters" if self.rotate else "",
            f"turned by up to {self.tilt:g}°" if self.tilt else "",
            f"its middle down to {100 * self.zoom:.0f}% of a side" if self.zoom != 1 else "",
            f"up to {100 * self.brightness:.0f}% darker or brighter" if self.brightness else "",
        ]
        return f"the least over each image as it is, {', '.join(part for part in parts if part)}"

    def require_shape(self, item_shape: tuple[int, ...], field: str = "up_to") -> None:
        """Refuses items that have no such versions.

        Raises:
          InputError: vectors, a turn of images that are not square, or a shift of half an image and more.
        """
        if len(item_shape) != 3:
            raise InputError(f"{FIELD[0]} is about images, and these items are vectors; leave it out", field)
        height, width, _ = item_shape
        if self.rotate and height != width:
            raise InputError(
                f"{FIELD[0]} rotate needs square images, and these are {height}×{width}; leave it out", field
            )
        if 2 * self.shift >= min(height, width):
            raise InputError(
                f"{FIELD[0]} shift={self.shift} is half of {height}×{width} images or more; give a smaller one",
                field,
            )


@takes_arrays
def parse_orbit(text: str, field: str = "up_to") -> Orbit:
    """Reads "flip,shift=2,rotate,tilt=5,zoom=0.9,brightness=0.3".

    Raises:
      InputError: another word, a word twice, or a number that it cannot have.

    >>> from memgen_jax import metrics
    >>> len(metrics.parse_orbit("flip,shift=1"))  # mirrored or not, at 9 places
    18
    """
    chosen: dict[str, bool | int | float] = {}
    for word in text.split(","):
        match = re.fullmatch(
            r"\s*(flip|rotate|shift=(\d+)|(?:tilt|zoom|brightness)(?:=(\d*\.?\d+))?)\s*", word
        )
        if not match:
            raise InputError(f"{FIELD[0]}={text!r}: {word.strip()!r} is not one of {', '.join(KINDS)}", field)
        name = match[1].partition("=")[0]
        if name in chosen:
            raise InputError(f"{FIELD[0]}={text!r} names {name} twice; give it once", field)
        chosen[name] = True
        if name == "shift":
            chosen[name] = int(match[2])
        elif name in DEFAULTS:
            chosen[name] = float(match[3]) if match[3] else DEFAULTS[name]
            low, high = ALLOWED[name]
            if not low <= chosen[name] <= high:
                raise InputError(f"{FIELD[0]}={text!r}: {name} must be in {low}..{high}", field)
    if chosen.get("shift") == 0:
        raise InputError(f"{FIELD[0]}={text!r}: a shift is of 1 pixel or more", field)
    return Orbit(**chosen)  # type: ignore[arg-type]


def shifted(images: Images, down: int, right: int) -> Images:
    """Images moved by whole pixels; the rows and columns that come in repeat the edge."""
    _, height, width, _ = images.shape
    rows = np.clip(np.arange(height) - down, 0, height - 1)
    columns = np.clip(np.arange(width) - right, 0, width - 1)
    return images[:, rows][:, :, columns]


def tilted(images: Images, angle: float, part: float) -> Images:
    """Images turned about their middle, anticlockwise in degrees, of which the middle `part` of each side fills all.

    Cubic convolution (Keys 1981); what comes in from outside repeats the edge.
    """
    count, height, width, channels = images.shape
    y, x = np.mgrid[:height, :width].reshape(2, -1) - np.array([[height - 1], [width - 1]]) / 2
    cos, sin = part * math.cos(math.radians(angle)), part * math.sin(math.radians(angle))
    across, down = cos * x - sin * y + (width - 1) / 2, sin * x + cos * y + (height - 1) / 2
    rows, row_weights = _taps(down, height)
    columns, column_weights = _taps(across, width)
    source = rows[:, :, None] * width + columns[:, None]
    weight = row_weights[:, :, None] * column_weights[:, None]
    target = np.broadcast_to(np.arange(height * width)[:, None, None], source.shape)
    mixing = coo_array(
        (weight.ravel(), (target.ravel(), source.ravel())), shape=(height * width,) * 2
    ).tocsr()  # entries of one place add up, as at the edge
    made = np.empty_like(images)
    step = max(1, BLOCK // images[:1].size)
    for start in range(0, count, step):
        block = images[start : start + step]
        pixels = np.moveaxis(block.reshape(len(block), -1, channels), 1, 0).reshape(height * width, -1)
        mixed = (mixing @ pixels.astype(np.float32)).round().clip(0, 255).astype(np.uint8)
        mixed = np.moveaxis(mixed.reshape(height * width, len(block), channels), 0, 1)
        made[start : start + step] = mixed.reshape(block.shape)
    return made


def _taps(
    place: Float[np.ndarray, " pixel"], length: int
) -> tuple[Int[np.ndarray, "pixel 4"], Float32[np.ndarray, "pixel 4"]]:
    """The four pixels of an axis between which a place lies, and their weights in cubic convolution."""
    first = np.floor(place).astype(int)
    t = place - first
    weights = np.stack(
        [
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        ],
        axis=1,
    )
    return np.clip(first[:, None] + np.arange(-1, 3), 0, length - 1), weights.astype(np.float32)


def _steps(most: float, step: float) -> list[float]:
    """step, 2 step, … below `most`, and `most`; nothing for 0."""
    count = math.ceil(most / step - 1e-9)
    return [min(step * i, most) for i in range(1, count + 1)]


@takes_arrays
def least_search(
    metric: Metric,
    orbit: Orbit | None,
    queries: np.ndarray,
    items: np.ndarray,
    references: np.ndarray,
    *,
    k: int = 1,
    exclude_self: bool = False,
    exclude: Int[np.ndarray, " query"] | None = None,
    memory: int | None = None,
    progress: str | None = None,
) -> Neighbors:
    """The k nearest references of every query, by the least distance over the references' versions, exactly.

    The references are changed, not the queries: a copy that lost an edge when it was shifted is then the version
    itself, and no shift back would bring the edge. Among the k nearest by the least distance each is among the k
    nearest of the version that gives it, for fewer than k others are nearer in that version. So the k nearest of every
    version suffice.

    Args:
      queries, references: as vectors.
      items: the references as data sets hold them.
      exclude_self, exclude, memory, progress: of `neighbors.search`; an eighth of the memory is for versions.
    """
    if exclude_self:
        exclude = np.arange(len(queries))
    found = metric.search(queries, references, k=k, exclude=exclude, memory=memory, progress=progress)
    if orbit is None:
        return found
    count = len(orbit)
    for block in _blocks(items, k, memory):
        own = None if exclude is None else _inside(exclude, block)
        for number, version in enumerate(orbit.versions(items[block])):
            if number:
                name = f"{progress}, version {number + 1} of {count}" if progress else None
                other = metric.search(
                    queries, metric.vectors(version), k=k, exclude=own, memory=memory, progress=name
                )
                moved = Neighbors(other.distance, other.index + block.start)
                found = _nearest_of_both(found, moved, k)
        let_go(items)
    return found


def _blocks(items: Images, k: int, memory: int | None) -> list[slice]:
    """Items whose versions fit in an eighth of the memory; in each block more than the k that are wanted."""
    count = 1 if memory is None else math.ceil(8 * items.nbytes / max(memory, 1))
    count = min(count, max(1, len(items) // (k + 1)))
    edges = [len(items) * i // count for i in range(count + 1)]
    return [slice(*both) for both in itertools.pairwise(edges)]


def _inside(exclude: Int[np.ndarray, " query"], block: slice) -> Int[np.ndarray, " query"]:
    """Rows to leave out, counted from the block's first; -1 where they lie in another."""
    inside = (exclude >= block.start) & (exclude < block.stop)
    return np.where(inside, exclude - block.start, -1)


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
