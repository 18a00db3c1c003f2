"""The phase diagram of training: the three fractions over training-set size and training time."""

import dataclasses
import typing
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.report import style
from memgen_jax.report.transition_figures import PHASES

if typing.TYPE_CHECKING:
    import matplotlib.figure


@dataclasses.dataclass(frozen=True)
class PhaseDiagramLine:
    """One line of `phase_diagram`, for example one network width.

    Attributes:
      rows: `num_train`, `step` and the three fractions in [0, 1], one row per pair; pairs may be missing.
      times: `num_train`, `tau_mem`, `tau_gen` per K, in steps; None where there is none.
      title: follows the name of the phase over each map; may be empty.
    """

    rows: Sequence[typing.Any]
    times: Sequence[typing.Any] = ()
    title: str = ""


@takes_arrays
@style.settings()
def phase_diagram(lines: Some[Sequence[PhaseDiagramLine]]) -> "matplotlib.figure.Figure":
    """Three maps over (K, steps), one per phase, with the times of memorization and generalization.

    Args:
      lines: what to draw, one line of three maps each; their colours mean the same shares.
    """
    everything = [row for line in lines for row in line.rows]
    sizes = np.unique(style.column(everything, "num_train"))
    steps = np.unique(style.column(everything, "step"))
    highest = max(0.05, float(np.nanmax(style.column(everything, "spurious"))))
    figure = style.new_figure(11.0, 0.6 + 3.0 * len(lines))
    panels = figure.subplots(len(lines), 3, sharex=True, sharey=True, squeeze=False)
    for line, own in zip(lines, panels, strict=True):
        _draw_line(own, line, sizes, steps, highest)
    for axes in panels[:-1].flat:
        axes.set_xlabel("")
    if any(len(line.times) for line in lines):
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def _draw_line(
    panels: np.ndarray,
    line: PhaseDiagramLine,
    sizes: Float[np.ndarray, " size"],
    steps: Float[np.ndarray, " step"],
    highest: float,
) -> None:
    """The three maps of one line over all sizes and steps; spurious ones are shaded up to `highest`."""
    from matplotlib.colors import LinearSegmentedColormap

    figure, rows = panels[0].figure, line.rows
    for axes, phase in zip(panels, PHASES, strict=True):
        shares = np.full((len(steps), len(sizes)), np.nan)
        place = (
            np.searchsorted(steps, style.column(rows, "step")),
            np.searchsorted(sizes, style.column(rows, "num_train")),
        )
        shares[place] = style.column(rows, phase)
        colors = LinearSegmentedColormap.from_list(phase, ["#ffffff", style.PHASE_COLORS[phase]])
        top = highest if phase == "spurious" else 1.0
        mesh = axes.pcolormesh(edges(sizes), edges(steps), shares, cmap=colors, vmin=0, vmax=top)
        bar = figure.colorbar(mesh, ax=axes, pad=0.02)
        style.percent_axis(bar.ax, "")
        for name, dashes, label in (
            ("tau_mem", "-", "half of the samples memorized"),
            ("tau_gen", "--", "samples as good as held-out items"),
        ):
            axes.plot(
                style.column(line.times, "num_train"),
                style.column(line.times, name),
                color=style.CONTROL_COLOR,
                linestyle=dashes,
                label=label,
                marker="o",
                markersize=3,
                linewidth=1.2,
            )
        style.size_axis(axes, sizes)
        axes.set_xlim(edges(sizes)[[0, -1]])
        axes.set_yscale("log")
        axes.set_ylim(edges(steps)[[0, -1]])
        axes.set_title(f"{phase}, {line.title}" if line.title else phase)
        axes.grid(False)
    panels[0].set_ylabel("training step")


@takes_arrays
def edges(centers: Some[Float[np.ndarray, " center"]]) -> Float[np.ndarray, " edge"]:
    """Borders of cells around positive, ascending centres: midway between neighbours on a log scale."""
    logs = np.log(centers)
    if len(logs) == 1:
        return centers[0] * np.array([0.7, 1.4])
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))
