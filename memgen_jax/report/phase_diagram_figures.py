"""The phase diagram of training: the three fractions over training-set size and training time."""

import typing
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from memgen_jax.report import style
from memgen_jax.report.transition_figures import PHASES

if typing.TYPE_CHECKING:
    import matplotlib.figure


@style.settings()
def phase_diagram(rows: Sequence[typing.Any], times: Sequence[typing.Any] = ()) -> "matplotlib.figure.Figure":
    """Three maps over (K, steps), one per phase, with the times of memorization and generalization.

    Args:
      rows: `num_train`, `step` and the three fractions in [0, 1], one row per pair; pairs may be missing.
      times: `num_train`, `tau_mem`, `tau_gen` per K, in steps; None where there is none.
    """
    from matplotlib.colors import LinearSegmentedColormap

    sizes = np.unique(style.column(rows, "num_train"))
    steps = np.unique(style.column(rows, "step"))
    figure = style.new_figure(11.0, 3.6)
    panels = figure.subplots(1, 3, sharex=True, sharey=True)
    for axes, phase in zip(panels, PHASES, strict=True):
        shares = np.full((len(steps), len(sizes)), np.nan)
        place = (
            np.searchsorted(steps, style.column(rows, "step")),
            np.searchsorted(sizes, style.column(rows, "num_train")),
        )
        shares[place] = style.column(rows, phase)
        colors = LinearSegmentedColormap.from_list(phase, ["#ffffff", style.PHASE_COLORS[phase]])
        top = 1.0 if phase != "spurious" else max(0.05, float(np.nanmax(shares)))
        mesh = axes.pcolormesh(edges(sizes), edges(steps), shares, cmap=colors, vmin=0, vmax=top)
        bar = figure.colorbar(mesh, ax=axes, pad=0.02)
        style.percent_axis(bar.ax, "")
        for name, line, label in (
            ("tau_mem", "-", "half of the samples memorized"),
            ("tau_gen", "--", "samples as near to S as held-out items"),
        ):
            axes.plot(
                style.column(times, "num_train"),
                style.column(times, name),
                color=style.CONTROL_COLOR,
                linestyle=line,
                label=label,
                marker="o",
                markersize=3,
                linewidth=1.2,
            )
        style.size_axis(axes, sizes)
        axes.set_xlim(edges(sizes)[[0, -1]])
        axes.set_yscale("log")
        axes.set_ylim(edges(steps)[[0, -1]])
        axes.set_title(phase)
        axes.grid(False)
    panels[0].set_ylabel("training step")
    if len(times):
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def edges(centers: Float[np.ndarray, "center"]) -> Float[np.ndarray, "edge"]:
    """Borders of cells around positive, ascending centres: midway between neighbours on a log scale."""
    logs = np.log(centers)
    if len(logs) == 1:
        return centers[0] * np.array([0.7, 1.4])
    middle = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middle[0]], middle, [2 * logs[-1] - middle[-1]]]))
