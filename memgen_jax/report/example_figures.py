"""Samples beside their nearest neighbours, per phase (Pham et al. 2025, Figs. 4 and 9-11)."""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure
    import matplotlib.patches

# In units of one image: the space between images, and the line of text under each.
_GAP, _TEXT = 0.12, 0.30
_INCHES = 0.52  # one image


@dataclasses.dataclass(frozen=True)
class Target:
    """One sample and its nearest neighbours, nearest first; images are uint8, or float in [-1, 1].

    Attributes:
      image: the sample.
      train_images: its nearest items in the training set S; fewer than four where S is smaller.
      train_distances: their distances to the sample.
      synthetic_images: its nearest *other* samples in the synthetic set S'.
      synthetic_distances: their distances to the sample.
      called: what a caption calls the sample and its nearest training item; may be empty.
    """

    image: Num[np.ndarray, "height width channel"]
    train_images: Num[np.ndarray, "train_neighbor height width channel"]
    train_distances: Float[np.ndarray, " train_neighbor"]
    synthetic_images: Num[np.ndarray, "synthetic_neighbor height width channel"]
    synthetic_distances: Float[np.ndarray, " synthetic_neighbor"]
    called: str = ""


@takes_arrays
@style.settings()
def examples(
    groups: Mapping[str, Sequence[Target]],
    num_train: Mapping[str, int] | None = None,
    *,
    width: int | None = None,
    neighbors: int = 4,
    image_inches: style.Inches = _INCHES,
) -> "matplotlib.figure.Figure":
    """Targets with their nearest neighbours in S above and in S' below, one column per phase.

    Args:
      groups: phase → its targets; a phase without any says so in its column.
      num_train: phase → the K of the model that made them, for the title.
      width: of the network that made them, for the title.
      neighbors: how many neighbours to show of each kind.
      image_inches: side of one image on paper.
    Returns:
      The figure; call it with one phase at a time for pictures that a narrow page can stack.
    """
    from matplotlib.figure import Figure

    breadth = 1.35 + neighbors * (1 + _GAP)  # the target, the row's letter, the neighbours
    block = 2 * (1 + _TEXT) + 0.25
    blocks = max([len(targets) for targets in groups.values()] + [1])
    inches = np.array([breadth, blocks * block]) * image_inches  # of one column
    page = np.array([len(groups) * (inches[0] + 0.25) - 0.05, inches[1] + 0.35])
    figure = Figure(figsize=tuple(page))
    for place, (phase, targets) in enumerate(groups.items()):
        corner = np.array([0.1 + place * (inches[0] + 0.25), 0.02])
        axes = figure.add_axes((*(corner / page), *(inches / page)))
        axes.set_axis_off()
        axes.set(xlim=(0, breadth), ylim=(blocks * block, 0))
        size = "" if num_train is None or phase not in num_train else f", K = {num_train[phase]:,}"
        size += "" if width is None else f", width {width}"
        axes.set_title(f"{phase}{size}", color=style.PHASE_COLORS.get(phase, "black"))
        if not targets:
            axes.text(0.1, 0.5, "no such sample", color=style.MUTED_COLOR, va="center")
        for row, target in enumerate(targets):
            _draw_target(axes, target, row * block, neighbors)
    return figure


def _draw_target(axes: "matplotlib.axes.Axes", target: Target, top: float, neighbors: int) -> None:
    from matplotlib.collections import PatchCollection

    frames = [_draw_image(axes, target.image, 0.0, top + 0.5 * (1 + _TEXT))]
    kinds = (
        ("S", style.TRAIN_COLOR, target.train_images, target.train_distances),
        ("S'", style.SYNTHETIC_COLOR, target.synthetic_images, target.synthetic_distances),
    )
    for line, (letter, color, images, distances) in enumerate(kinds):
        y = top + line * (1 + _TEXT)
        axes.text(1.2, y + 0.5, letter, ha="center", va="center", fontsize=8, color=color, weight="bold")
        for place in range(min(neighbors, len(images))):
            x = 1.35 + _GAP + place * (1 + _GAP)
            frames.append(_draw_image(axes, images[place], x, y))
            text = _short(float(distances[place]))
            axes.text(x + 0.5, y + 1.03, text, ha="center", va="top", fontsize=6.5)
    axes.add_collection(PatchCollection(frames, facecolor="none", edgecolor="#9a9a9a", linewidth=0.5))


def _draw_image(
    axes: "matplotlib.axes.Axes", image: np.ndarray, x: float, y: float
) -> "matplotlib.patches.Rectangle":
    """Draws one image into a unit square, where it keeps its shape; returns its frame."""
    from matplotlib.image import AxesImage
    from matplotlib.patches import Rectangle

    pixels = style.as_pixels(image)
    height, width = np.array(pixels.shape[:2]) / max(pixels.shape[:2])
    left, top = x + (1 - width) / 2, y + (1 - height) / 2
    artist = AxesImage(
        axes, extent=(left, left + width, top + height, top), origin="upper", interpolation="nearest"
    )
    artist.set_data(pixels)
    axes.add_image(artist)
    return Rectangle((left, top), width, height)


def _short(distance: float) -> str:
    """Two significant digits without an exponent: 0.031, 0.26, 2.8, 12."""
    if distance <= 0:
        return "0"
    return f"{distance:.{max(0, 1 - math.floor(math.log10(distance)))}f}"
