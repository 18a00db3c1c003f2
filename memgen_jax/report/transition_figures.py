"""The transition drawn: three fractions against K, losses and sample quality (Pham et al. 2025, Fig. 2).

Rows are mappings or dataclasses with the fields of `fractions.csv`: `num_train`, `num_synthetic`, and
`memorized`, `spurious`, `generalized` in [0, 1], each with `_low` and `_high`.
"""

import dataclasses
import math
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Integer

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.report import page, style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

PHASES = ("memorized", "spurious", "generalized")
COMMON_LINE = (0, (1.2, 1.2))  # of shares in sets of one size


@dataclasses.dataclass(frozen=True)
class CriticalSize:
    """A training-set size at which something happens, with its interval.

    Attributes:
      label: what happens there, for example "memorized falls to 50%".
      value: the size K; None or NaN where the sweep does not reach it.
      low, high: ends of its interval; None or NaN where there is none.
      phase: the phase whose colour it takes.
      width: of the network, where there are several.
      parts: what leaves it open ("sampling", "thresholds", "trainings") -> the ends of its interval for that alone.
    """

    label: str
    value: float | int | None
    low: float | int | None = None
    high: float | int | None = None
    phase: str = "memorized"
    width: int | None = None
    parts: Mapping[str, Sequence[float] | None] = dataclasses.field(default_factory=dict)

    @property
    def reached(self) -> bool:
        """Whether the sweep holds this size."""
        return self.value is not None and math.isfinite(self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its ends, or None where they are unknown or fall together (every resample chose one K)."""
        low, high = style.column([self], "low")[0], style.column([self], "high")[0]
        return (float(low), float(high)) if low < high else None


@dataclasses.dataclass(frozen=True)
class TransitionPanel:
    """One panel of `transition`: one data set at one network width.

    Attributes:
      rows: one row per K, the fractions with their intervals; K in any order.
      title: the panel's title.
      control_rows: the same for the exact empirical score, whose memorized share must stay at 100%.
      critical: sizes to mark.
      seed_rows: one list of rows per seed, drawn as thin lines behind the curve.
      common_rows: the spurious and generalized shares in sets of one size at every K, with the fields of
        `repeats.csv`, drawn as dotted curves.
      bands: whether the intervals are drawn as bands: of two seeds they would fill the panel.
    """

    rows: Sequence[typing.Any]
    title: str = ""
    control_rows: Sequence[typing.Any] = ()
    critical: Sequence[CriticalSize] = ()
    seed_rows: Sequence[Sequence[typing.Any]] = ()
    common_rows: Sequence[typing.Any] = ()
    bands: bool = True


@takes_arrays
@style.settings()
def transition(panels: Some[Sequence[TransitionPanel]]) -> "matplotlib.figure.Figure":
    """The fractions of memorized, spurious and generalized samples against K (Pham et al. 2025, Fig. 2).

    Each panel has three parts over one axis of K: the critical sizes with their intervals on top, the
    three fractions with theirs as bands in the middle, and the spurious fraction enlarged below.

    Args:
      panels: what to draw, one panel each; more than three wrap to further lines.
    Returns:
      The figure: 7, 8 or 11 inches wide for one, two or three panels in a line.
    """
    columns = len(panels) if len(panels) <= 3 else 2 if len(panels) == 4 else 3
    lines = math.ceil(len(panels) / columns)
    marks = max(sum(size.reached for size in panel.critical) for panel in panels)
    heights = [0.22 * marks, 2.3, 1.0] if marks else [2.3, 1.0]
    figure = style.new_figure((7.0, 8.0, 11.0)[columns - 1], 0.5 + lines * (sum(heights) + 1.0))
    grid = figure.add_gridspec(lines, columns)
    for index, panel in enumerate(panels):
        line, place = divmod(index, columns)
        inner = grid[line, place].subgridspec(len(heights), 1, height_ratios=heights)
        parts = inner.subplots(sharex=True, squeeze=False)[:, 0]
        _draw_panel(list(parts), panel, first=place == 0, marks=marks)
    _legend(figure, panels)
    return figure


@takes_arrays
def spurious_curve(
    axes: "matplotlib.axes.Axes", rows: Sequence[typing.Any], label: str = "spurious", bands: bool = True
) -> None:
    """Draws the spurious fraction alone, on its own scale, so that a small peak can be seen.

    Args:
      axes: where to draw; its x axis is left alone.
      rows: one row per K.
      label: of the y axis.
      bands: whether its intervals are drawn.
    """
    _curve(axes, _by_size(rows), "spurious", bands)
    top = np.nanmax(np.append(style.column(rows, "spurious_high" if bands else "spurious"), 0.0))
    top = max(1.08 * top, 0.01)
    axes.set_ylim(-0.05 * top, top)
    axes.yaxis.set_major_locator(_few_ticks())
    style.percent_axis(axes, label)


@takes_arrays
@style.settings()
def training_curves(
    num_train: Integer[np.ndarray, " member"],
    step: Integer[np.ndarray, " step"],
    loss: Float[np.ndarray, "member step"],
    label: str = "training loss",
    width: Integer[np.ndarray, " member"] | None = None,
) -> "matplotlib.figure.Figure":
    """The loss of every member against the training step, coloured by K.

    Args:
      num_train: training-set size of each member.
      step: the steps at which the loss was recorded.
      loss: the recorded losses, positive; NaN where a member has none.
      label: of the y axis.
      width: of each member's network; each width has a panel of its own.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm

    widths = np.zeros(len(num_train), int) if width is None else width
    panels = list(dict.fromkeys(widths.tolist()))
    figure = style.new_figure(min(5.0 + 3.0 * (len(panels) - 1), 11.0), 2.8)
    parts = dict(zip(panels, figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], strict=True))
    smallest, largest = int(num_train.min()), int(num_train.max())
    colors = ScalarMappable(LogNorm(smallest, max(largest, smallest + 1)), _size_colors())
    for member in np.argsort(num_train):
        known = np.isfinite(loss[member])  # members that were trained apart are logged at steps of their own
        alone = "o" if known.sum() == 1 else ""
        color = colors.to_rgba(num_train[member])
        axes = parts[int(widths[member])]
        axes.plot(step[known], loss[member, known], color=color, linewidth=1.1, marker=alone)
    for own_width, axes in parts.items():
        axes.set_yscale("log")
        axes.set_xlabel("training step")
        axes.xaxis.set_major_formatter(_plain_numbers())
        axes.yaxis.set_major_formatter(_plain_numbers())
        axes.yaxis.set_minor_formatter(_plain_numbers(few=True))
        if len(panels) > 1:
            axes.set_title(f"width {own_width}")
    parts[panels[0]].set_ylabel(label)
    bar = figure.colorbar(colors, ax=list(parts.values()), label="training-set size K", pad=0.02)
    bar.ax.yaxis.set_major_formatter(_plain_numbers())
    bar.ax.yaxis.set_minor_formatter(_plain_numbers(few=True))
    return figure


@takes_arrays
@style.settings()
def sample_quality(rows: Some[Sequence[typing.Any]], metric: str = "L2") -> "matplotlib.figure.Figure":
    """Median distance to S of the samples that are not memorized, and of unseen real items, against K.

    Where the two curves meet, new samples are as far from the training set as real data are.

    Args:
      rows: `num_train`, `sample_distance`, `held_out_distance`; None or NaN where there is no such sample.
        With `width` among them, one curve of samples for each.
      metric: which distance, for the y axis.
    """
    rows = _by_size(rows)
    figure = style.new_figure(5.0, 3.0)
    axes = figure.subplots()
    sizes = np.unique(style.column(rows, "num_train"))
    groups = rows_by_width(rows)
    real = next(iter(groups.values()))  # the same at every width
    axes.plot(
        style.column(real, "num_train"),
        style.column(real, "held_out_distance"),
        color=style.CONTROL_COLOR,
        linestyle="--",
        label="held-out real items",
    )
    several, shades = len(groups) > 1, _size_colors()(np.linspace(0, 1, len(groups)))
    for place, (width, own) in enumerate(groups.items()):
        axes.plot(
            style.column(own, "num_train"),
            style.column(own, "sample_distance"),
            color=shades[place] if several else style.PHASE_COLORS["generalized"],
            marker="so^Dv"[place % 5],
            label="samples that are not memorized" + several * f", width {width}",
        )
    style.size_axis(axes, sizes)
    axes.set_ylim(bottom=0)
    axes.set_ylabel(f"median distance to S\n({metric})")
    if several:
        figure.legend(loc="outside lower center")
    else:
        axes.legend(loc="lower right")
    return figure


def _draw_panel(
    parts: list["matplotlib.axes.Axes"], panel: TransitionPanel, *, first: bool, marks: int
) -> None:
    rows = _by_size(panel.rows)
    sizes = style.column(rows, "num_train")
    main, enlarged = parts[-2:]
    for phase in PHASES:
        for seed in panel.seed_rows:
            for axes in (main, enlarged) if phase == "spurious" else (main,):
                seed_rows = _by_size(seed)
                axes.plot(
                    style.column(seed_rows, "num_train"),
                    style.column(seed_rows, phase),
                    color=style.PHASE_COLORS[phase],
                    linewidth=0.6,
                    alpha=0.6,
                )
        _curve(main, rows, phase, panel.bands)
    for phase in ("spurious", "generalized") if panel.common_rows else ():
        common = _by_size(panel.common_rows)
        for axes in (main, enlarged) if phase == "spurious" else (main,):
            axes.plot(
                style.column(common, "num_train"),
                style.column(common, phase),
                color=style.PHASE_COLORS[phase],
                linestyle=COMMON_LINE,
                linewidth=1.2,
            )
    if panel.control_rows:
        control = _by_size(panel.control_rows)
        main.plot(
            style.column(control, "num_train"),
            style.column(control, "memorized"),
            color=style.CONTROL_COLOR,
            linestyle=(0, (4, 2)),
            linewidth=1.2,
            zorder=1.5,
        )
    main.set_ylim(-0.03, 1.04)
    style.percent_axis(main, "share of samples" if first else "")
    spurious_curve(enlarged, rows, "spurious only" if first else "", panel.bands)
    values = style.column(panel.critical, "value")
    reached = [panel.critical[index] for index in np.argsort(values) if panel.critical[index].reached]
    for size in reached:
        for axes in (main, enlarged):
            axes.axvline(
                float(size.value or 0),
                color=style.PHASE_COLORS[size.phase],
                linestyle=":",
                linewidth=1.0,
                zorder=1,
            )
    if marks:
        _draw_critical(parts[0], reached, marks, sizes)
    parts[0].set_title(panel.title)
    style.size_axis(enlarged, sizes)


def _draw_critical(
    axes: "matplotlib.axes.Axes", critical: Sequence[CriticalSize], marks: int, sizes: np.ndarray
) -> None:
    """One line of text and one interval per critical size, so that close ones cannot hide each other."""
    middle = math.sqrt(float(sizes.min()) * float(sizes.max()))
    for line, (size, value) in enumerate(zip(critical, style.column(critical, "value"), strict=True)):
        color = style.PHASE_COLORS[size.phase]
        text = f"{size.label}: {page.number(value, 2)}"
        low, high = size.interval or (value, value)
        if size.interval:
            axes.plot([low, high], [line, line], color=color, linewidth=3, alpha=0.4)
            text += f" ({page.number(low, 2)}–{page.number(high, 2)})"
        axes.plot([value], [line], color=color, marker="|", markersize=9, markeredgewidth=1.8)
        left = value > middle  # the text goes to the wider side
        axes.annotate(
            text,
            (min(low, value) if left else max(high, value), line),
            xytext=(-7 if left else 7, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=8,
        )
    axes.set_ylim(marks - 0.4, -0.6)
    axes.set_yticks([])
    axes.grid(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(bottom=False, which="both")


def _curve(axes: "matplotlib.axes.Axes", rows: Sequence[typing.Any], phase: str, bands: bool = True) -> None:
    sizes = style.column(rows, "num_train")
    color = style.PHASE_COLORS[phase]
    if bands:
        low, high = style.column(rows, f"{phase}_low"), style.column(rows, f"{phase}_high")
        axes.fill_between(sizes, low, high, color=color, alpha=0.22, linewidth=0)
    axes.plot(sizes, style.column(rows, phase), color=color, marker=style.PHASE_MARKERS[phase])


def _legend(figure: "matplotlib.figure.Figure", panels: Sequence[TransitionPanel]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], color=style.PHASE_COLORS[phase], marker=style.PHASE_MARKERS[phase], label=phase)
        for phase in PHASES
    ]
    if any(panel.control_rows for panel in panels):
        handles.append(
            Line2D(
                [],
                [],
                color=style.CONTROL_COLOR,
                linestyle=(0, (4, 2)),
                linewidth=1.2,
                label="memorized, exact score (control)",
            )
        )
    common = {int(row["num_samples"]) for panel in panels for row in panel.common_rows}
    if common:
        named = " and ".join(f"{size:,}" for size in sorted(common))
        handles.append(
            Line2D(
                [], [], color=style.MUTED_COLOR, linestyle=COMMON_LINE, label=f"in sets of {named} at every K"
            )
        )
    if any(panel.seed_rows for panel in panels):
        handles.append(Line2D([], [], color=style.MUTED_COLOR, linewidth=0.6, label="single seeds"))
    columns = len(handles) if len(handles) <= 4 or figure.get_figwidth() > 8 else 3
    figure.legend(handles=handles, loc="outside upper center", ncols=columns)


@takes_arrays
def rows_by_width(rows: Sequence[typing.Any]) -> dict[int | None, list[typing.Any]]:
    """width -> its rows, widths ascending; all of them under None where they have no such field."""
    groups: dict[int | None, list[typing.Any]] = {}
    for row in rows:
        width = row.get("width") if isinstance(row, Mapping) else getattr(row, "width", None)
        groups.setdefault(None if width is None else int(width), []).append(row)
    return dict(sorted(groups.items(), key=lambda group: group[0] or 0))


def _by_size(rows: Sequence[typing.Any]) -> list[typing.Any]:
    order = np.argsort(style.column(rows, "num_train"), kind="stable")
    return [rows[index] for index in order]


def _size_colors() -> typing.Any:
    """Viridis without its palest fifth, which white paper swallows."""
    import matplotlib
    from matplotlib.colors import ListedColormap

    return ListedColormap(matplotlib.colormaps["viridis"](np.linspace(0, 0.85, 256)))


def _plain_numbers(few: bool = False) -> typing.Any:
    """Ticks as plain numbers; `few` labels only those that begin with 2 or 5."""
    from matplotlib.ticker import FuncFormatter

    def text(value: float, _: object) -> str:
        leading = f"{value:e}"[0]
        return "" if few and leading not in "25" else f"{value:,.6g}"

    return FuncFormatter(text)


def _few_ticks() -> typing.Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=3, steps=[1, 2, 5, 10], min_n_ticks=2)
