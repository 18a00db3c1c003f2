"""Repeats drawn against the size of the set in which they are counted."""

import typing
from collections.abc import Mapping, Sequence

import numpy as np

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.figure


@style.settings()
def repeats(rows: Sequence[Mapping[str, typing.Any]], common: int) -> "matplotlib.figure.Figure":
    """The spurious share against the number of samples among which it is counted, a curve for each K.

    Args:
      rows: of repeats.csv of one rule and width.
      common: the largest set size that every K reaches, marked.
    """
    import matplotlib

    figure = style.new_figure(6.4, 3.4)
    axes = figure.subplots()
    sizes = sorted({row["num_train"] for row in rows})
    colors = matplotlib.colormaps["viridis"](np.linspace(0, 0.85, len(sizes)))
    for place, (size, color) in enumerate(zip(sizes, colors, strict=True)):
        own = sorted((row for row in rows if row["num_train"] == size), key=lambda row: row["num_samples"])
        counted, value = style.column(own, "num_samples"), style.column(own, "spurious")
        low, high = style.column(own, "spurious_low"), style.column(own, "spurious_high")
        axes.fill_between(counted, low, high, color=color, alpha=0.12, lw=0)
        axes.plot(counted, value, color=color, marker="os^Dv"[place % 5], label=f"{size:,.0f}")
    axes.axvline(common, color=style.MUTED_COLOR, linestyle=":", linewidth=1)
    style.size_axis(axes, np.unique(style.column(rows, "num_samples")), "samples in the set")
    axes.set_ylim(bottom=0)
    style.percent_axis(axes, "share of repeats")
    figure.legend(title="K", loc="outside right center")
    return figure
