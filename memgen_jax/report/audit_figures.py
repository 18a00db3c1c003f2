"""Figures of an audit: how the answer hangs on the thresholds, and which samples to look at."""

import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from memgen_jax import phases, statistics
from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.figure

_STEPS = 41


@style.settings()
def sensitivity(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    delta_m: float | int,
    delta_s: float | int,
    metric: str,
) -> "matplotlib.figure.Figure":
    """The shares of copies and of repeats as functions of both thresholds, over a factor 3 each way.

    Copies depend on delta_m alone, so they are a curve with its 95% interval; repeats that are no copies
    depend on both, so they are a map.
    """
    figure = style.new_figure(7.0, 3.0)
    left, right = figure.subplots(1, 2)
    across, up = _around(delta_m, train_distance), _around(delta_s, synthetic_distance)
    table = phases.sensitivity(train_distance, synthetic_distance, across, up)
    copies = table[:, 0, phases.MEMORIZED]
    bounds = [statistics.wilson_interval(round(c * len(train_distance)), len(train_distance)) for c in copies]
    low, high = np.array(bounds).T
    left.fill_between(across, low, high, color=style.PHASE_COLORS["memorized"], alpha=0.25, linewidth=0)
    left.plot(across, copies, color=style.PHASE_COLORS["memorized"])
    left.axvline(delta_m, color="black", linestyle="--", linewidth=1.0)
    left.set_ylim(bottom=0)
    left.set_title("copies")
    style.percent_axis(left)
    repeats = 100 * table[:, :, phases.SPURIOUS].T
    mesh = right.pcolormesh(
        across,
        up,
        repeats,
        vmin=0,
        vmax=max(float(repeats.max()), 0.1),
        cmap="cividis",
        shading="nearest",
        rasterized=True,
    )
    figure.colorbar(mesh, ax=right, format="{x:g}%")
    right.plot(delta_m, delta_s, marker="+", markersize=11, markeredgewidth=1.8, color="white")
    right.set_title("repeats that are no copies")
    right.set_yscale("log")
    right.set_ylabel(f"δ$_s$ ({metric})")
    right.grid(False)
    for axes in (left, right):
        axes.set_xscale("log")
        axes.set_xlabel(f"δ$_m$ ({metric})")
    for axis in (left.xaxis, right.xaxis, right.yaxis):
        style.plain_log_ticks(axis)
    return figure


@style.settings()
def over_sets(rows: Sequence[Mapping[str, typing.Any]]) -> "matplotlib.figure.Figure":
    """The three shares of every set of samples, in the order of the rows.

    Args:
      rows: of sets.csv: set, and each phase with _low and _high.
    """
    figure = style.new_figure(max(5.0, min(11.0, 2.0 + 0.6 * len(rows))), 3.6)
    axes = figure.subplots()
    place = np.arange(len(rows))
    for phase, plain in (("memorized", "copies"), ("spurious", "repeats"), ("generalized", "new")):
        share, low, high = (style.column(rows, f"{phase}{end}") for end in ("", "_low", "_high"))
        axes.errorbar(
            place,
            share,
            yerr=np.maximum([share - low, high - share], 0),
            color=style.PHASE_COLORS[phase],
            marker=style.PHASE_MARKERS[phase],
            capsize=2,
            label=f"{plain} ({phase})",
        )
    names = [str(row["set"]) for row in rows]
    long = sum(map(len, names)) > 60
    shown = [name if len(name) <= 24 else f"…{name[-23:]}" for name in names]
    axes.set_xticks(place, shown, rotation=45 if long else 0, ha="right" if long else "center")
    axes.set_xlim(-0.4, len(rows) - 0.6)
    style.percent_axis(axes, "share of samples")
    axes.set_ylim(-0.03, 1.03)
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def choose(
    labels: Int[np.ndarray, " sample"],
    train_distance: Float[np.ndarray, " sample"],
    train_index: Int[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    synthetic_index: Int[np.ndarray, " sample"],
    delta_s: float,
    count: int = 6,
) -> dict[str, Int[np.ndarray, " chosen"]]:
    """Rows of the samples worth a look: closest copies, largest groups of repeats, most novel.

    Copies: nearest first, one for each training item. Repeats: of every group that is tied together by
    nearest-neighbour links within delta_s, the member with the nearest other; largest groups first.
    Novel: farthest from the training set first.
    """
    nearest_first = np.argsort(train_distance, kind="stable")
    copies = nearest_first[labels[nearest_first] == phases.MEMORIZED]
    _, first = np.unique(train_index[copies], return_index=True)
    copies = copies[np.sort(first)]

    group = repeat_groups(labels, synthetic_distance, synthetic_index, delta_s)
    size = np.bincount(group[group >= 0], minlength=1)
    repeats = np.flatnonzero(group >= 0)
    order = np.lexsort((repeats, synthetic_distance[repeats], -size[group[repeats]]))
    repeats = repeats[order]
    _, first = np.unique(group[repeats], return_index=True)
    repeats = repeats[np.sort(first)]

    farthest_first = nearest_first[::-1]
    novel = farthest_first[labels[farthest_first] == phases.GENERALIZED]
    return {
        "memorized": copies[:count],
        "spurious": repeats[:count],
        "generalized": novel[:count],
    }


def borderline(
    train_distance: Float[np.ndarray, " sample"], delta_m: float, count: int = 6
) -> Int[np.ndarray, " chosen"]:
    """Rows of the samples whose distance is nearest to the threshold for copies, half on each side where there are."""
    order = np.argsort(train_distance, kind="stable")
    middle = int(np.searchsorted(train_distance[order], delta_m, side="right"))
    start = max(0, min(middle - count // 2, len(order) - count))
    return order[start : start + count]


def repeat_groups(
    labels: Int[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    synthetic_index: Int[np.ndarray, " sample"],
    delta_s: float,
) -> Int[np.ndarray, " sample"]:
    """Number of the group of repeats that a spurious sample belongs to; -1 for all others."""
    linked = np.flatnonzero((labels == phases.SPURIOUS) & (synthetic_distance <= delta_s))
    pairs = coo_array(
        (np.ones(len(linked)), (linked, synthetic_index[linked])), shape=(len(labels), len(labels))
    )
    _, component = connected_components(pairs, directed=False)
    group = np.full(len(labels), -1)
    if len(linked):
        _, group[linked] = np.unique(component[linked], return_inverse=True)
    return group


def _around(delta: float, distance: Float[np.ndarray, " sample"]) -> Float[np.ndarray, " step"]:
    middle = max(delta, 1e-3 * float(np.median(distance)), 1e-9)
    return np.geomspace(middle / 3, middle * 3, _STEPS)
