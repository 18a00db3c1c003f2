"""Basins, spectra and their order drawn: recovery curves, volumes, sorted spectra, quantities against K.

Every function takes values per phase, {"memorized": array, ...}; a phase without samples is left out of the
mapping or holds an empty array. -inf, the log volume of a sample with critical time 0, is counted below the
points, never left out silently.
"""

import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Num

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

PhaseArrays = Mapping[str, Float[np.ndarray, "..."]]


@style.settings()
def recovery_curves(
    fractions: Float[np.ndarray, " level"], panels: Sequence[tuple[str, PhaseArrays]], required: float
) -> "matplotlib.figure.Figure":
    """Share of copies that come back against the noise level, mean over samples with a 95% band.

    Args:
      fractions: levels as fractions of the largest time.
      panels: (title, recovered [sample, level] per phase).
      required: the share that a level needs to count for the critical time.
    """
    figure, axes = _grid(len(panels), 2.6, 2.3)
    for ax, (title, by_phase) in zip(axes, panels, strict=True):
        ax.axhline(required, color=style.MUTED_COLOR, lw=0.8, ls=":")
        for phase, recovered in _present(by_phase):
            mean, low, high = _band(recovered)
            color = style.PHASE_COLORS[phase]
            ax.fill_between(fractions, low, high, color=color, alpha=0.18, lw=0)
            ax.plot(
                fractions,
                mean,
                color=color,
                marker=style.PHASE_MARKERS[phase],
                ms=3,
                label=f"{phase} ({len(recovered)})",
            )
        ax.set_title(title)
        ax.set_ylim(-0.03, 1.03)
        ax.set_xlim(0, 1.02)
        ax.legend(fontsize=7)
    _outer_labels(figure, axes, "noise level t / T", "share of copies that come back")
    return figure


@style.settings()
def distributions(panels: Sequence[tuple[str, PhaseArrays]]) -> "matplotlib.figure.Figure":
    """One column of points a phase, with its median where it is finite; below the points the count of -inf.

    Args:
      panels: (name of the quantity, values [sample] per phase).
    """
    figure, axes = _grid(len(panels), 2.6, 2.8)
    random = np.random.default_rng(0)
    for ax, (title, by_phase) in zip(axes, panels, strict=True):
        names = []
        for column, (phase, values) in enumerate(_present(by_phase)):
            color = style.PHASE_COLORS[phase]
            finite = values[np.isfinite(values)]
            spread = column + random.uniform(-0.25, 0.25, len(finite))
            ax.scatter(spread, finite, s=9, color=color, alpha=0.6, marker=style.PHASE_MARKERS[phase], lw=0)
            middle = np.median(values)
            if np.isfinite(middle):
                ax.plot([column - 0.33, column + 0.33], [middle, middle], color="black", lw=1.6)
            names.append(phase)
            infinite = int(np.sum(np.isneginf(values)))
            if infinite:
                ax.annotate(
                    f"−∞:\n{infinite} of {len(values)}",
                    (column, 0.02),
                    xycoords=("data", "axes fraction"),
                    ha="center",
                    fontsize=7,
                    color=color,
                )
        if any(np.isneginf(values).any() for _, values in _present(by_phase)):
            low, high = ax.get_ylim()
            ax.set_ylim(low - 0.2 * (high - low), high)  # room for the counts
        if not any(np.isfinite(values).any() for _, values in _present(by_phase)):
            ax.set_yticks([])  # an axis without a point has no numbers
        ax.set_xticks(range(len(names)), names)
        ax.set_xlim(-0.6, max(len(names) - 0.4, 0.6))
        ax.set_title(title)
    return figure


@style.settings()
def spectra(panels: Sequence[tuple[str, PhaseArrays]], cut: float) -> "matplotlib.figure.Figure":
    """Sorted singular values, mean over samples with the range of the middle 80%.

    Args:
      panels: (title, singular values [sample, rank], ascending or descending, per phase).
      cut: values below it count as near zero.
    """
    figure, axes = _grid(len(panels), 2.6, 2.4)
    for ax, (title, by_phase) in zip(axes, panels, strict=True):
        ax.axhline(cut, color=style.MUTED_COLOR, lw=0.8, ls=":")
        for phase, values in _present(by_phase):
            ascending = np.sort(values, axis=1)
            number = np.arange(1, ascending.shape[1] + 1)
            low, high = np.quantile(ascending, [0.1, 0.9], axis=0)
            color = style.PHASE_COLORS[phase]
            ax.fill_between(number, low, high, color=color, alpha=0.18, lw=0)
            ax.plot(number, ascending.mean(axis=0), color=color, label=f"{phase} ({len(values)})")
        ax.set_title(title)
        ax.set_ylim(bottom=0)
        ax.legend(fontsize=7)
    _outer_labels(figure, axes, "singular value, smallest first", "size (1 = point attractor)")
    return figure


@style.settings()
def against_size(
    rows: Sequence[Mapping[str, typing.Any]], quantities: Sequence[tuple[str, str]]
) -> "matplotlib.figure.Figure":
    """Every quantity's mean and interval against K, a line a phase.

    Args:
      rows: rows of `geometry.csv` with a size K: `quantity`, `num_train`, `phase`, `mean`, `low`, `high`.
      quantities: (name in the rows, title of its panel).
    """
    figure, axes = _grid(len(quantities), 2.6, 2.1)
    sizes = style.column(rows, "num_train")
    for ax, (name, title) in zip(axes, quantities, strict=True):
        for phase, color in style.PHASE_COLORS.items():
            own = [row for row in rows if row["quantity"] == name and row["phase"] == phase and row["count"]]
            if not own:
                continue
            size, mean, low, high = (style.column(own, key) for key in ("num_train", "mean", "low", "high"))
            ax.vlines(size, low, high, color=color, alpha=0.5, lw=2)
            ax.plot(size, mean, color=color, marker=style.PHASE_MARKERS[phase], ms=3.5, label=phase)
        style.size_axis(ax, sizes, label="")
        ax.tick_params(axis="x", labelsize=7)
        ax.set_title(title)
    axes[0].legend(fontsize=7)
    figure.supxlabel("training-set size K", fontsize=9)
    return figure


@style.settings()
def returns(
    phases: Sequence[str],
    samples: Sequence[Num[np.ndarray, "height width channel"]],
    noised: Sequence[Num[np.ndarray, "time height width channel"]],
    back: Sequence[Num[np.ndarray, "time height width channel"]],
    times: Sequence[str],
) -> "matplotlib.figure.Figure":
    """A sample a row pair: its noised copies above, what came back of each below."""
    figure = style.new_figure(1.15 * (len(times) + 1) + 0.4, 2.15 * len(phases) + 0.3)
    grid = figure.subplots(2 * len(phases), len(times) + 1, squeeze=False)
    for ax in grid.ravel():
        ax.set_axis_off()
    for number, phase in enumerate(phases):
        upper, lower = grid[2 * number], grid[2 * number + 1]
        _show(upper[0], samples[number])
        upper[0].set_title(phase, color=style.PHASE_COLORS[phase])
        lower[0].text(
            0.5,
            0.5,
            "noised: above\ncame back: below",
            ha="center",
            va="center",
            fontsize=7,
            color=style.MUTED_COLOR,
        )
        for column, time in enumerate(times):
            _show(upper[column + 1], noised[number][column])
            _show(lower[column + 1], back[number][column])
            upper[column + 1].set_title(time, fontweight="normal", fontsize=8, loc="center")
    return figure


def _show(ax: "matplotlib.axes.Axes", image: np.ndarray) -> None:
    ax.imshow(style.as_pixels(image), interpolation="nearest")


def _present(by_phase: PhaseArrays) -> list[tuple[str, np.ndarray]]:
    """The phases that have samples, in the order of the palette."""
    return [(phase, by_phase[phase]) for phase in style.PHASE_COLORS if len(by_phase.get(phase, ()))]


def _band(values: Float[np.ndarray, "sample level"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over samples and its 95% bootstrap interval."""
    draws = np.random.default_rng(0).integers(0, len(values), (500, len(values)))
    low, high = np.quantile(values[draws].mean(axis=1), [0.025, 0.975], axis=0)
    return values.mean(axis=0), low, high


def _grid(count: int, width: float, height: float) -> tuple["matplotlib.figure.Figure", list]:
    """A figure of `count` panels, at most five in a row."""
    columns = {5: 3, 6: 3, 9: 3, 10: 5}.get(count, min(count, 4))
    rows = -(-count // columns)
    figure = style.new_figure(max(width * columns, 3.6), height * rows + 0.25)
    axes = list(figure.subplots(rows, columns, squeeze=False).ravel())
    for ax in axes[count:]:
        ax.set_axis_off()
    return figure, axes[:count]


def _outer_labels(figure: "matplotlib.figure.Figure", axes: list, x: str, y: str) -> None:
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y, fontsize=9)
