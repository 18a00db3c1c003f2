"""Denoising losses drawn: training items beside held-out ones, against K and against the training step."""

import typing
from collections.abc import Mapping, Sequence

import numpy as np

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Rows = Sequence[Mapping[str, typing.Any]]
MOST_CURVES = 5


@style.settings()
def losses(rows: Rows) -> "matplotlib.figure.Figure":
    """The loss of either kind of item against K at several noise levels, and against the step at one of them.

    Args:
      rows: of denoising.csv of one width: `num_train`, `step`, `items` ("train" or "held_out"), `noise`, `loss` with
        `_low` and `_high` or None. With one step the second panel is against the noise level instead.
    """
    levels = sorted({row["noise"] for row in rows})
    steps, sizes = sorted({row["step"] for row in rows}), sorted({row["num_train"] for row in rows})
    figure = style.new_figure(8.6, 3.4)
    left, right = figure.subplots(1, 2)
    last = [row for row in rows if row["step"] == steps[-1]]
    chosen = _few(levels, 4)
    for color, noise in zip(_shades(len(chosen)), chosen, strict=True):
        _pair(left, [row for row in last if row["noise"] == noise], "num_train", color, f"noise {noise:.2g}")
    style.size_axis(left, np.array(sizes))
    left.set_title("at the last step" if len(steps) > 1 else "by noise level")
    middle = min(levels, key=lambda noise: abs(np.log(noise / 0.8)))
    against, own = (
        ("step", [row for row in rows if row["noise"] == middle]) if len(steps) > 1 else ("noise", last)
    )
    few = _few(sizes, MOST_CURVES)
    for color, size in zip(_shades(len(few)), few, strict=True):
        _pair(right, [row for row in own if row["num_train"] == size], against, color, f"K = {size:,.0f}")
    right.set_xscale("log")
    style.plain_log_ticks(right.xaxis)
    right.set_xlabel("training step" if against == "step" else "noise for a signal of 1")
    right.set_title(f"at noise {middle:.2g}" if against == "step" else "by training-set size")
    for axes in (left, right):
        axes.set_yscale("log")
        style.plain_log_ticks(axes.yaxis)
        axes.legend(fontsize=7.5, ncols=1, loc="best")
    left.set_ylabel("denoising loss\n(solid: held out, dashed: own items)")
    return figure


def _pair(axes: "matplotlib.axes.Axes", rows: Rows, against: str, color: typing.Any, label: str) -> None:
    for kind, line in (("held_out", "-"), ("train", "--")):
        own = sorted((row for row in rows if row["items"] == kind), key=lambda row: row[against])
        place, value = style.column(own, against), style.column(own, "loss")
        low, high = style.column(own, "loss_low"), style.column(own, "loss_high")
        axes.fill_between(place, np.maximum(low, 0.5 * value), high, color=color, alpha=0.15, lw=0)
        marker = "o" if kind == "held_out" else None
        axes.plot(
            place, value, line, color=color, marker=marker, markersize=3.2, label=label if marker else None
        )


def _few(values: Sequence[float], count: int) -> list[float]:
    """At most `count` of them, from end to end."""
    places = np.unique(np.round(np.linspace(0, len(values) - 1, min(count, len(values)))).astype(int))
    return [values[place] for place in places]


def _shades(count: int) -> typing.Any:
    import matplotlib

    return matplotlib.colormaps["viridis"](np.linspace(0, 0.85, count))
