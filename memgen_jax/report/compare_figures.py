"""Several transitions over one axis of K."""

import typing
from collections.abc import Mapping, Sequence

import numpy as np

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.figure

PHASES = ("memorized", "spurious", "generalized")
# Runs are told apart by colour, line and marker; phases by their panel.
_LINES = ("-", "--", "-.", ":")
_MARKERS = ("o", "s", "^", "D", "v", "P")


@style.settings()
def overlaid(curves: Sequence[tuple[str, Sequence[Mapping[str, typing.Any]]]]) -> "matplotlib.figure.Figure":
    """The three fractions against K, a panel each, one curve a run.

    Args:
      curves: (name, rows of fractions.csv: num_train, and each phase with _low and _high).
    Returns:
      The figure, 9 inches wide.
    """
    import matplotlib

    colours = matplotlib.colormaps["viridis"](np.linspace(0.0, 0.85, max(len(curves), 2)))
    figure = style.new_figure(9.0, 3.4)
    panels = figure.subplots(1, 3, sharey=True)
    sizes = np.unique(np.concatenate([style.column(rows, "num_train") for _, rows in curves]))
    for panel, phase in zip(panels, PHASES, strict=True):
        for number, (name, rows) in enumerate(curves):
            ordered = sorted(rows, key=lambda row: row["num_train"])
            size = style.column(ordered, "num_train")
            low, high = style.column(ordered, f"{phase}_low"), style.column(ordered, f"{phase}_high")
            panel.fill_between(size, low, high, color=colours[number], alpha=0.15, linewidth=0)
            panel.plot(
                size,
                style.column(ordered, phase),
                color=colours[number],
                linestyle=_LINES[number % len(_LINES)],
                marker=_MARKERS[number % len(_MARKERS)],
                label=name,
            )
        panel.set_title(phase)
        style.size_axis(panel, sizes)
        style.percent_axis(panel, "share of samples" if panel is panels[0] else "")
        panel.set_ylim(-0.03, 1.03)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=min(len(curves), 4)
    )
    return figure
