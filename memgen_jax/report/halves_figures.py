"""Two networks on disjoint training sets drawn: how far they agree, against K (Kadkhodaie et al. 2024)."""

import typing
from collections.abc import Mapping, Sequence

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Rows = Sequence[Mapping[str, typing.Any]]
PAIRED_COLOR, NULL_COLOR = "#0b3c6f", "#5a5a5a"


@style.settings()
def halves(rows: Rows) -> "matplotlib.figure.Figure":
    """The cosine of paired samples beside that of unpaired ones, and the share nearer to the own half's items.

    Args:
      rows: of halves.csv of one width.
    """
    rows = sorted(rows, key=lambda row: row["num_train"])
    sizes = style.column(rows, "num_train")
    figure = style.new_figure(6.4, 4.6)
    above, below = figure.subplots(2, 1, sharex=True)
    _band(above, rows, "cosine", PAIRED_COLOR, "-", "same noise")
    _band(above, rows, "null_cosine", NULL_COLOR, "--", "different noise")
    above.set_ylabel("cosine of the two samples")
    above.set_ylim(min(-0.05, float(style.column(rows, "null_cosine_low").min()) - 0.05), 1.04)
    above.legend(loc="best")
    _band(below, rows, "nearer_own", style.PHASE_COLORS["memorized"], "-", "")
    below.axhline(0.5, color=style.MUTED_COLOR, linewidth=0.8)
    below.set_ylim(0.4, 1.04)
    style.percent_axis(below, "nearer to own items")
    style.size_axis(below, sizes)
    return figure


def _band(axes: "matplotlib.axes.Axes", rows: Rows, name: str, color: str, line: str, label: str) -> None:
    sizes = style.column(rows, "num_train")
    low, high = style.column(rows, f"{name}_low"), style.column(rows, f"{name}_high")
    axes.fill_between(sizes, low, high, color=color, alpha=0.2, lw=0)
    axes.plot(sizes, style.column(rows, name), line, color=color, marker="o", label=label)
