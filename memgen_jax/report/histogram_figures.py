"""The two histograms of distances behind the labels (Pham et al. 2025, Figs. 5-8)."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Num

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.report import style
from memgen_jax.report.transition_figures import spurious_curve

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

_BINS = 48
_OTHER = "#444444"


@dataclasses.dataclass(frozen=True)
class Pair:
    """A sample and its nearest neighbour; images are uint8, or float in [-1, 1]."""

    sample: Num[np.ndarray, "height width channel"]
    neighbor: Num[np.ndarray, "height width channel"]


@dataclasses.dataclass(frozen=True)
class HistogramPanel:
    """The distances of one synthetic set.

    Attributes:
      num_train: K of the model that made it.
      train_distance: distance of every sample to its nearest item in S.
      synthetic_distance: distance of every sample to its nearest *other* sample in S', same metric.
      delta_m, delta_s: the two thresholds; None where there are none.
      title: the panel's; K where empty.
      examples: of the peaks, any of: "memorized" and "not memorized" → a sample and its neighbour in
        S, for the upper histogram; "spurious" and "generalized" → a sample and its neighbour in S'.
    """

    num_train: int
    train_distance: Float[np.ndarray, " sample"]
    synthetic_distance: Float[np.ndarray, " sample"]
    delta_m: float | int | None
    delta_s: float | int | None
    title: str = ""
    examples: Mapping[str, Pair] = dataclasses.field(default_factory=dict)


@takes_arrays
def choose_sizes(rows: Some[Sequence[typing.Any]], count: int = 3) -> list[int]:
    """The sizes worth a histogram: the smallest, the transition, the largest, and between them.

    The transition is the size whose spurious fraction is largest; where there is no spurious sample,
    the one whose memorized fraction is nearest to one half.

    Args:
      rows: one row per K with `num_train`, `memorized`, `spurious`.
      count: how many at most.
    """
    rows = sorted(rows, key=lambda row: style.column([row], "num_train")[0])
    sizes = style.column(rows, "num_train").astype(int)
    spurious, memorized = style.column(rows, "spurious"), style.column(rows, "memorized")
    middle = int(np.argmax(spurious)) if spurious.max() > 0 else int(np.argmin(np.abs(memorized - 0.5)))
    chosen = [middle, 0, len(rows) - 1, (middle + len(rows) - 1) // 2, middle // 2]
    return sorted({int(sizes[index]) for index in list(dict.fromkeys(chosen))[:count]})


@takes_arrays
@style.settings()
def histograms(
    panels: Some[Sequence[HistogramPanel]],
    rows: Sequence[typing.Any] = (),
    *,
    metric: str = "L2",
    log_distance: bool | None = None,
) -> "matplotlib.figure.Figure":
    """Distances to S (olive, above) and within S' (grey, below), one column per K, thresholds drawn.

    Within S' the memorized samples are hatched: what is left of delta_s and not hatched is spurious.

    Args:
      panels: the synthetic sets, at most four in a figure that is to stay legible.
      rows: where given, the spurious fraction against K is drawn enlarged below, the panels' K marked.
      metric: which distance, and on which range, for the x axis.
      log_distance: a logarithmic x axis; by default where the distances span more than a factor 30.
        Distances of exactly 0 then stand in the first bin.
    """
    pictures = any(panel.examples for panel in panels)
    heights = [2.1 if pictures else 1.6] * 2 + [1.0] * bool(len(rows))
    figure = style.new_figure(max(7.0, 2.6 * len(panels)), sum(heights) + 1.3)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=heights)
    upper, lower = grid[:2].subgridspec(2, len(panels)).subplots(sharex=True, squeeze=False)
    edges, logarithmic = _edges(panels, log_distance)
    if logarithmic:
        lower[0].set_xscale("log")
        style.plain_log_ticks(lower[0].xaxis, every=bool(edges[-1] < 200 * edges[0]))
    lower[0].set_xlim(edges[0], edges[-1])
    for panel, to_train, within in zip(panels, upper, lower, strict=True):
        memorized = None if panel.delta_m is None else panel.train_distance <= panel.delta_m
        _draw_bars(to_train, panel.train_distance, edges, style.TRAIN_COLOR)
        _draw_bars(within, panel.synthetic_distance, edges, style.SYNTHETIC_COLOR, hatched=memorized)
        to_train.set_title(panel.title or f"K = {panel.num_train:,}")
        for axes, symbol, delta, left, right in (
            (to_train, "δ$_m$", panel.delta_m, "memorized", "not memorized"),
            (within, "δ$_s$", panel.delta_s, "spurious", "generalized"),
        ):
            _draw_threshold(axes, symbol, delta, pictures)
            for place, peak in ((0.01, left), (0.99, right)):
                if peak in panel.examples:
                    _draw_pair(axes, panel.examples[peak], place, style.PHASE_COLORS.get(peak, _OTHER))
    upper[0].set_ylabel("to the training set S\nshare of samples")
    lower[0].set_ylabel("within the synthetic set S'\nshare of samples")
    lower[(len(panels) - 1) // 2].set_xlabel(f"distance to the nearest neighbour ({metric})")
    _legend(figure, pictures, any(panel.delta_m is not None for panel in panels))
    if len(rows):
        axes = figure.add_subplot(grid[2])
        spurious_curve(axes, rows)
        style.size_axis(axes, style.column(rows, "num_train"))
        for panel in panels:
            axes.axvline(panel.num_train, color=style.MUTED_COLOR, linestyle=":", linewidth=1.0)
    return figure


def _edges(
    panels: Sequence[HistogramPanel], logarithmic: bool | None
) -> tuple[Float[np.ndarray, " edge"], bool]:
    """One set of bins for all panels, and whether they are spaced by ratio."""
    deltas = [delta for panel in panels for delta in (panel.delta_m, panel.delta_s) if delta is not None]
    values = np.concatenate(
        [np.concatenate([panel.train_distance, panel.synthetic_distance]) for panel in panels] + [deltas]
    ).astype(np.float64)
    values = values[np.isfinite(values) & (values > 0)]  # a set of one sample has no neighbour: inf
    if not len(values):  # all distances are 0, and so are the thresholds
        return np.linspace(0, 1, _BINS + 1), False
    low = min([np.quantile(values, 0.002), *(delta for delta in deltas if delta > 0)])
    high = values.max()
    if logarithmic is None:
        logarithmic = bool(high > 30 * np.quantile(values, 0.01))
    if logarithmic:
        return np.geomspace(0.85 * low, 1.15 * high, _BINS + 1), True
    return np.linspace(0, 1.03 * high, _BINS + 1), False


def _draw_bars(
    axes: "matplotlib.axes.Axes",
    distance: Float[np.ndarray, " sample"],
    edges: Float[np.ndarray, " edge"],
    color: str,
    hatched: Bool[np.ndarray, " sample"] | None = None,
) -> None:
    """Shares of all samples per bin; those `hatched` stand, paler, on top of the others."""
    inside = np.clip(distance, edges[0], edges[-1])  # zeros of a logarithmic axis go to the first bin
    plain = np.ones(len(inside), bool) if hatched is None else ~hatched
    below = np.histogram(inside[plain], edges)[0] / len(inside)
    axes.stairs(below, edges, fill=True, color=color)
    if hatched is not None:
        above = below + np.histogram(inside[hatched], edges)[0] / len(inside)
        axes.stairs(
            above, edges, baseline=below, fill=True, facecolor="#dcdcdc", edgecolor=color, hatch="//////"
        )
        below = above
    axes.set_ylim(0, max(float(below.max()), 1e-3))


def _draw_threshold(
    axes: "matplotlib.axes.Axes", symbol: str, delta: float | int | None, pictures: bool
) -> None:
    """Draws the threshold and makes the room above the bars for its name and for the pictures."""
    from matplotlib.ticker import MaxNLocator

    bars = 0.60 if pictures else 0.86  # share of the height that the tallest bar takes
    highest = axes.get_ylim()[1]
    ticks = MaxNLocator(4, steps=[1, 2, 5, 10]).tick_values(0, highest)
    axes.set_yticks([tick for tick in ticks if 0 <= tick <= highest])
    style.percent_axis(axes, "")
    axes.set_ylim(0, highest / bars)
    if delta is None:
        return
    # On a logarithmic axis 0 has no place: the line stands at its left end, where distances of 0 are counted.
    text, delta = f"{symbol} = {delta:.3g}", max(delta, axes.get_xlim()[0])
    axes.axvline(delta, ymax=bars + 0.10, color="black", linestyle="--", linewidth=1.0)
    across = axes.transAxes.inverted().transform(axes.transData.transform((delta, 0)))[0]
    left = across > 0.35  # the name goes where there is room for it
    axes.annotate(
        text,
        (delta, bars + 0.10),
        xycoords=axes.get_xaxis_transform(),
        xytext=(-3 if left else 3, -1),
        textcoords="offset points",
        ha="right" if left else "left",
        va="top",
        fontsize=8,
    )


def _draw_pair(axes: "matplotlib.axes.Axes", pair: Pair, place: float, color: str) -> None:
    """The sample and its neighbour, side by side, in a frame of the phase's colour."""
    from matplotlib.artist import Artist
    from matplotlib.offsetbox import AnnotationBbox, HPacker, OffsetImage

    images: list[Artist] = []
    for image in (pair.sample, pair.neighbor):
        pixels = style.as_pixels(image)
        images.append(OffsetImage(pixels, zoom=24 / max(pixels.shape[:2]), interpolation="nearest"))
    axes.add_artist(
        AnnotationBbox(
            HPacker(children=images, pad=0, sep=2),
            (place, 0.99),
            xycoords="axes fraction",
            box_alignment=(round(place), 1.0),
            pad=0.15,
            bboxprops={"edgecolor": color, "linewidth": 1.4},
        )
    )


def _legend(figure: "matplotlib.figure.Figure", pictures: bool, thresholds: bool) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    grey = style.SYNTHETIC_COLOR
    handles = [
        Patch(color=style.TRAIN_COLOR, label="to the nearest item of S"),
        Patch(color=grey, label="to the nearest other sample"),
        Patch(facecolor="#dcdcdc", edgecolor=grey, hatch="//////", label="the same, of memorized samples"),
        Line2D([], [], color="black", linestyle="--", linewidth=1.0, label="threshold"),
    ]
    if not thresholds:
        handles = handles[:2]
    if pictures:
        handles.append(Patch(facecolor="none", edgecolor=_OTHER, label="a sample and its neighbour"))
    figure.legend(handles=handles, loc="outside upper center", ncols=3, handlelength=1.6)
