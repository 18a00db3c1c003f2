"""Samples beside their nearest neighbours, per phase (Pham et al. 2025, Figs. 4 and 9-11)."""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

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
    """

    image: Num[np.ndarray, "height width channel"]
    train_images: Num[np.ndarray, "train_neighbor height width channel"]
    train_distances: Float[np.ndarray, "train_neighbor"]
    synthetic_images: Num[np.ndarray, "synthetic_neighbor height width channel"]
    synthetic_distances: Float[np.ndarray, "synthetic_neighbor"]


@style.settings()
def examples(
    groups: Mapping[str, Sequence[Target]],
    num_train: Mapping[str, int] | None = None,
    *,
    neighbors: int = 4,
    image_inches: float = _INCHES,
) -> "matplotlib.figure.Figure":
    """Targets with their nearest neighbours in S above and in S' below, one column per phase.

    Args:
      groups: phase → its targets; a phase without any says so in its column.
      num_train: phase → the K of the model that made them, for the title.
      neighbors: how many neighbours to show of each kind.
      image_inches: side of one image on paper.
    Returns:
      The figure; call it with one phase at a time for pictures that a narrow page can stack.
    """
    figure = style.new_figure(1, 1)
    width = 1.35 + neighbors * (1 + _GAP)  # the target, the row's letter, the neighbours
    block = 2 * (1 + _TEXT) + 0.25
    blocks = max([len(targets) for targets in groups.values()] + [1])
    figure.set_size_inches(
        len(groups) * width * image_inches + 0.25 * (len(groups) - 1) + 0.15,
        blocks * block * image_inches + 0.45,
    )
    figure.get_layout_engine().set(wspace=0.25 / figure.get_figwidth(), w_pad=0.03, h_pad=0.03)
    columns = figure.subplots(1, len(groups), squeeze=False)[0]
    for axes, (phase, targets) in zip(columns, groups.items(), strict=True):
        axes.set_axis_off()
        axes.set_xlim(0, width)
        axes.set_ylim(blocks * block, 0)
        axes.set_aspect("equal", anchor="NW")
        size = "" if num_train is None or phase not in num_train else f", K = {num_train[phase]:,}"
        axes.set_title(f"{phase}{size}", color=style.PHASE_COLORS.get(phase, "black"))
        if not targets:
            axes.text(0.1, 0.5, "no such sample", color=style.MUTED_COLOR, va="center")
        for row, target in enumerate(targets):
            _draw_target(axes, target, row * block, neighbors)
    return figure


def _draw_target(axes: "matplotlib.axes.Axes", target: Target, top: float, neighbors: int) -> None:
    _draw_image(axes, target.image, 0, top + 0.5 * (1 + _TEXT))
    kinds = (
        ("S", style.TRAIN_COLOR, target.train_images, target.train_distances),
        ("S'", style.SYNTHETIC_COLOR, target.synthetic_images, target.synthetic_distances),
    )
    for line, (letter, color, images, distances) in enumerate(kinds):
        y = top + line * (1 + _TEXT)
        axes.text(1.2, y + 0.5, letter, ha="center", va="center", fontsize=8, color=color, weight="bold")
        for place in range(min(neighbors, len(images))):
            x = 1.35 + _GAP + place * (1 + _GAP)
            _draw_image(axes, images[place], x, y)
            axes.text(x + 0.5, y + 1.03, _short(float(distances[place])), ha="center", va="top", fontsize=6.5)


def _draw_image(axes: "matplotlib.axes.Axes", image: np.ndarray, x: float, y: float) -> None:
    """One image as a unit square; images that are not square keep their shape inside it."""
    pixels = style.as_pixels(image)
    height, width = np.array(pixels.shape[:2]) / max(pixels.shape[:2])
    extent = (x + (1 - width) / 2, x + (1 + width) / 2, y + (1 + height) / 2, y + (1 - height) / 2)
    limits = axes.axis()
    axes.imshow(pixels, extent=extent, interpolation="nearest", aspect="equal")
    axes.axis(limits)
    left, right, bottom, top = extent
    axes.plot(
        [left, right, right, left, left], [top, top, bottom, bottom, top], color="#9a9a9a", linewidth=0.5
    )


def _short(distance: float) -> str:
    """Two significant digits without an exponent: 0.031, 0.26, 2.8, 12."""
    if distance <= 0:
        return "0"
    return f"{distance:.{max(0, 1 - math.floor(math.log10(distance)))}f}"
