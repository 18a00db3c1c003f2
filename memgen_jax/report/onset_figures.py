"""The onset paper drawn: H², the two distances and P(Δ > 0) against the number of training points.

Rows are mappings with the columns of `onset.csv`: `dim`, `num_train`, `hellinger2`, `log10_e_tg`,
`log10_e_og`, each with `_se`, and `p_delta_positive` with `_low` and `_high`.
"""

import typing
from collections.abc import Mapping, Sequence

import numpy as np

from memgen_jax.report import page, style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

Rows = Sequence[Mapping[str, typing.Any]]

# Dark to light, so that the order survives a grey print.
_COLORS = ("#0b3c6f", "#c2570c", "#4c9a8a", "#b08bbf")
_MARKERS = ("o", "s", "^", "D")
VIEW_NAMES = {"coordinates": "coordinate by coordinate", "components": "leading principal components"}
_SOURCE_NAMES = {"model": "the network", "fresh": "fresh data in its place", "copies": "copies in its place"}
TRAIN_COLOR, ORIGINAL_COLOR = "#b3262a", "#0b5aa8"  # the paper's red and blue


@style.settings()
def hellinger(rows: Rows, floors: Mapping[int, float]) -> "matplotlib.figure.Figure":
    """H² between the generated and the original Gaussian against n (Onset 2024, Fig. 2).

    Args:
      rows: of onset.csv, one reading.
      floors: for each d the value that H² approaches as n grows.
    """
    dims = sorted({int(row["dim"]) for row in rows})
    figure = style.new_figure(3.6 * len(dims) + 0.4, 3.1)
    for index, (axes, dim) in enumerate(zip(_row_of_axes(figure, len(dims)), dims, strict=True)):
        own = _of_dim(rows, dim)
        sizes, value, error = (style.column(own, c) for c in ("num_train", "hellinger2", "hellinger2_se"))
        axes.fill_between(sizes, value - 2 * error, value + 2 * error, color=_COLORS[0], alpha=0.2, lw=0)
        axes.plot(sizes, value, color=_COLORS[0], marker="o")
        _mark_dimension(axes, dim, sizes)
        axes.axhline(floors[dim], color=style.MUTED_COLOR, linestyle="--", linewidth=1)
        lowest = min(float(np.nanmin(value)), floors[dim])
        axes.set_ylim(lowest - 0.09 * (1 - lowest), 1 + 0.05 * (1 - lowest))
        axes.annotate(
            f"floor {floors[dim]:.5f}", (0.02, floors[dim]), xycoords=("axes fraction", "data"),
            xytext=(0, 3), textcoords="offset points", fontsize=8, color=style.MUTED_COLOR,
        )  # fmt: skip
        style.size_axis(axes, sizes, "training points n")
        axes.set_ylabel("squared Hellinger distance H²" if index == 0 else "")
        axes.set_title(f"d = {dim}")
    return figure


@style.settings()
def probability(rows: Rows, num_original: int) -> "matplotlib.figure.Figure":
    """P(Δ > 0) against n: around n = d for every d, and up to n = N for the first (Onset 2024, Fig. 3).

    Args:
      rows: of onset.csv, one reading.
      num_original: N.
    """
    dims = sorted({int(row["dim"]) for row in rows})
    figure = style.new_figure(7.6, 3.1)
    left, right = _row_of_axes(figure, 2)
    near = [row for row in rows if 10 * row["num_train"] <= num_original] or rows
    for index, dim in enumerate(dims):
        _probability_curve(left, _of_dim(near, dim), f"d = {dim}", index)
        left.axvline(dim, color=_COLORS[index % 4], linestyle=":", linewidth=1)
    style.size_axis(left, style.column(near, "num_train"), "training points n (dotted: n = d)")
    left.set_title("n ≪ N")
    left.legend(loc="center right")
    reach = {dim: max(row["num_train"] for row in rows if row["dim"] == dim) for dim in dims}
    farthest = max(dims, key=lambda dim: (reach[dim], -dim))
    _probability_curve(right, _of_dim(rows, farthest), f"d = {farthest}", dims.index(farthest))
    right.axvline(num_original, color=style.MUTED_COLOR, linestyle="--", linewidth=1)
    sizes = style.column(_of_dim(rows, farthest), "num_train")
    style.size_axis(
        right, np.append(sizes, num_original), f"training points n (dashed: N = {num_original:,})"
    )
    right.set_title(f"n → N, d = {farthest}")
    left.set_ylabel("P(Δ > 0)")
    return figure


@style.settings()
def distances(rows: Rows) -> "matplotlib.figure.Figure":
    """log10 of E_TG and E_OG against n > d, where they are finite (Onset 2024, Eqs. 19 and 21)."""
    rows = [row for row in rows if row["log10_e_tg"] is not None]
    dims = sorted({int(row["dim"]) for row in rows})
    figure = style.new_figure(3.6 * len(dims) + 0.4, 3.1)
    for index, (axes, dim) in enumerate(zip(_row_of_axes(figure, len(dims)), dims, strict=True)):
        own = _of_dim(rows, dim)
        sizes = style.column(own, "num_train")
        for name, label, color, marker in (
            ("log10_e_tg", "training to generated, E_TG", TRAIN_COLOR, "o"),
            ("log10_e_og", "original to generated, E_OG", ORIGINAL_COLOR, "s"),
        ):
            value, error = style.column(own, name), style.column(own, f"{name}_se")
            axes.fill_between(sizes, value - 2 * error, value + 2 * error, color=color, alpha=0.2, lw=0)
            dashed = "-" if marker == "o" else "--"
            axes.plot(sizes, value, dashed, color=color, marker=marker, markersize=3.5, label=label)
        style.size_axis(axes, np.append(sizes, dim), "training points n")
        _mark_dimension(axes, dim, sizes)
        axes.set_title(f"d = {dim}")
        if index == 0:
            axes.set_ylabel("log10 of squared-L² distance\n(mean over simulations)")
            axes.legend(loc="upper right")
    return figure


@style.settings()
def readings(rows: Rows, chosen: tuple[str, str]) -> "matplotlib.figure.Figure":
    """P(Δ > 0) under every reading of kernel width (lines) and covariance (columns).

    Args:
      rows: of readings.csv.
      chosen: kernel width and covariance of onset.csv, named in the titles.
    """
    dims = sorted({int(row["dim"]) for row in rows})
    covariances = list(dict.fromkeys(row["covariance"] for row in rows))
    widths = list(dict.fromkeys(row["kernel_width"] for row in rows))
    formula = {
        "derived": r"$\sigma_X^2\theta_1\theta_1^\top$",
        "printed": r"$\sigma_X^2\theta_1^\top\theta_1$",
    }
    figure = style.new_figure(7.8, 2.6 * len(dims) + 0.6)
    grid = figure.subplots(len(dims), len(covariances), squeeze=False, sharey=True)
    for line, dim in enumerate(dims):
        for place, covariance in enumerate(covariances):
            axes = grid[line, place]
            own = [row for row in _of_dim(rows, dim) if row["covariance"] == covariance]
            for index, width in enumerate(widths):
                curve = [row for row in own if row["kernel_width"] == width]
                name = width.replace("_", " ") + (" (chosen)" if width == chosen[0] else "")
                _probability_curve(axes, curve, name, index)
            sizes = style.column(own, "num_train")
            axes.axvline(dim, color=style.MUTED_COLOR, linestyle=":", linewidth=1)
            style.size_axis(axes, sizes, "training points n" if line == len(dims) - 1 else "")
            marked = " (chosen)" if covariance == chosen[1] else ""
            axes.set_title(f"d = {dim}, {covariance} {formula[covariance]}{marked}")
            axes.set_ylabel("P(Δ > 0)" if place == 0 else "")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(widths), title="kernel width")
    return figure


@style.settings()
def network(rows: Rows, reading: str) -> "matplotlib.figure.Figure":
    """A network's scaled distances and P(Δ > 0) against n, beside two controls (Onset 2024, Fig. 4).

    Args:
      rows: of onset.csv of a network: `num_train`, `source` ("model", "fresh" or "copies"), `reading`,
        `e_tg_scaled` and `e_og_scaled`, each with `_low` and `_high`, and `p_delta_positive` with its own.
      reading: of the first panel; every reading has a panel of its own below.
    """
    rows = sorted(rows, key=lambda row: row["num_train"])
    kinds = list(dict.fromkeys(row["reading"] for row in rows))
    sizes = np.unique(style.column(rows, "num_train"))
    figure = style.new_figure(9.6, 5.6)
    grid = figure.add_gridspec(2, len(kinds))
    wide = figure.add_subplot(grid[0, : len(kinds) // 2])
    chosen = [row for row in rows if row["reading"] == reading and row["source"] == "model"]
    for name, label, color, marker in (
        ("e_og_scaled", "original to generated, Ê_OG", ORIGINAL_COLOR, "s"),
        ("e_tg_scaled", "training to generated, Ê_TG", TRAIN_COLOR, "o"),
    ):
        low, high = style.column(chosen, f"{name}_low"), style.column(chosen, f"{name}_high")
        wide.fill_between(sizes, low, high, color=color, alpha=0.2, lw=0)
        wide.plot(sizes, style.column(chosen, name), color=color, marker=marker, label=label)
    wide.set_ylabel("distance / that at the smallest n")
    wide.set_ylim(bottom=0)
    wide.legend(loc="best")
    wide.set_title(f"the network, reading “{reading}”")
    style.size_axis(wide, sizes, "training items n")
    own = figure.add_subplot(grid[0, len(kinds) // 2 :])
    _probability_curve(own, chosen, "", 0)
    own.set_title(f"its P(Δ > 0), reading “{reading}”")
    own.set_ylabel("P(Δ > 0)")
    style.size_axis(own, sizes, "training items n")
    for place, kind in enumerate(kinds):
        axes = figure.add_subplot(grid[1, place])
        for index, (source, label) in enumerate(_SOURCE_NAMES.items()):
            curve = [row for row in rows if row["reading"] == kind and row["source"] == source]
            _probability_curve(axes, curve, label, index)
        axes.set_title(f"reading “{kind}”")
        axes.set_ylabel("P(Δ > 0)" if place == 0 else "")
        style.size_axis(axes, sizes, "training items n")
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    return figure


@style.settings()
def both_views(
    fraction_rows: Rows,
    onset_rows: Rows,
    critical: Mapping[str, Mapping[str, typing.Any]],
    title: str = "",
) -> "matplotlib.figure.Figure":
    """The two papers' views of one sweep on a shared axis: three fractions, Δ / E_TO, and P(Δ > 0).

    Args:
      fraction_rows: of fractions.csv.
      onset_rows: of the sweep's onset.csv, one for each K and view. Sizes with no more unseen items than
        training items are shaded: there even fresh data would not win. The control's `fresh_…` columns are
        drawn dashed where they are there.
      critical: view -> `critical_size` of that view, drawn as a line with its interval.
      title: whose samples they are, for example "width 128"; may be empty.
    """
    figure = style.new_figure(7.2, 6.8)
    if title:
        figure.suptitle(title, x=0.01, ha="left", weight="bold")
    above, middle, below = figure.subplots(3, 1, sharex=True)
    fraction_rows = sorted(fraction_rows, key=lambda row: float(row["num_train"]))
    sizes = style.column(fraction_rows, "num_train")
    for phase, color in style.PHASE_COLORS.items():
        low, high = style.column(fraction_rows, f"{phase}_low"), style.column(fraction_rows, f"{phase}_high")
        above.fill_between(sizes, low, high, color=color, alpha=0.2, lw=0)
        value, marker = style.column(fraction_rows, phase), style.PHASE_MARKERS[phase]
        above.plot(sizes, value, color=color, marker=marker, label=phase)
    above.axhline(0.5, color=style.MUTED_COLOR, linewidth=0.8)
    above.set_ylim(-0.04, 1.04)
    style.percent_axis(above)
    above.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0.1, columnspacing=1.2)
    above.set_title("sample by sample (Pham et al. 2025)")
    for index, view in enumerate(dict.fromkeys(row["view"] for row in onset_rows)):
        own = sorted(
            (row for row in onset_rows if row["view"] == view), key=lambda row: float(row["num_train"])
        )
        found = critical.get(view, {})
        label, color = VIEW_NAMES.get(view, view), _COLORS[index % 4]
        if found.get("num_train") is not None:
            turn = [page.number(found[name], 2) for name in ("num_train", "low", "high")]
            label += f": ½ at K = {turn[0]} ({turn[1]}–{turn[2]})"
            for axes in (above, middle, below):
                axes.axvline(found["num_train"], color=color, linestyle=":", linewidth=1.2)
            below.axvspan(found["low"], found["high"], color=color, alpha=0.07, lw=0)
        _relative_curve(middle, own, index)
        _probability_curve(below, own, label, index)
        control = [row for row in own if row.get("fresh_relative_delta") is not None]
        for axes, name in ((middle, "fresh_relative_delta"), (below, "fresh_p_delta_positive")):
            axes.plot(
                style.column(control, "num_train"), style.column(control, name), "--", color=color, linewidth=1,
                label="dashed: unseen items in place of the samples" if index == 0 else None,
            )  # fmt: skip
    too_large = [float(row["num_train"]) for row in onset_rows if row["num_train"] >= row["num_held_out"]]
    if too_large:
        start, end = _between(sizes, min(too_large)), 2 * float(sizes.max())
        for axes in (middle, below):
            axes.axvspan(
                start, end, color=style.MUTED_COLOR, alpha=0.18, lw=0, label="fewer unseen items than K"
            )
    middle.axhline(0, color=style.MUTED_COLOR, linewidth=0.8)
    middle.set_title("all samples together (onset paper): −1 copies, 1 new data")
    middle.set_ylabel("Δ, relative")
    below.set_title("the chance that Δ is positive")
    below.set_ylabel("P(Δ > 0)")
    handles, labels = below.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    style.size_axis(below, sizes)
    return figure


def _relative_curve(axes: "matplotlib.axes.Axes", rows: Rows, index: int) -> None:
    """Δ / E_TO with the interval of Δ."""
    sizes, value = style.column(rows, "num_train"), style.column(rows, "relative_delta")
    unit = style.column(rows, "delta") / value
    low, high = style.column(rows, "delta_low") / unit, style.column(rows, "delta_high") / unit
    color = _COLORS[index % 4]
    axes.fill_between(sizes, low, high, color=color, alpha=0.18, lw=0)
    axes.plot(sizes, value, color=color, marker=_MARKERS[index % 4], markersize=3.8)


@style.settings()
def capacity(rows: Rows) -> "matplotlib.figure.Figure":
    """The training-set size at which each width of network turns, by either paper.

    Args:
      rows: of capacity.csv: `width`, `turn` (what happens), `critical_num_train` with `low` and `high`; one
        of None was not reached.
    """
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    figure = style.new_figure(6.4, 3.6)
    axes = figure.subplots()
    widths = sorted({float(row["width"]) for row in rows})
    for index, turn in enumerate(dict.fromkeys(row["turn"] for row in rows)):
        own = [row for row in rows if row["turn"] == turn and row["critical_num_train"] is not None]
        if not own:
            continue
        own.sort(key=lambda row: row["width"])
        value, low, high = (style.column(own, name) for name in ("critical_num_train", "low", "high"))
        place = style.column(own, "width") * 1.03 ** (index - 1.5)  # beside each other
        color = style.PHASE_COLORS.get(turn.split()[0], _COLORS[index % 4])
        axes.errorbar(
            place, value, [value - low, high - value], color=color, marker=_MARKERS[index % 4],
            capsize=2.5, elinewidth=1, label=turn,
        )  # fmt: skip
    style.size_axis(axes, np.array(widths), "width of the network")
    axes.set_xlim(widths[0] / 1.2, widths[-1] * 1.2)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.set_ylabel("training-set size K\nat which it happens")
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside lower center", ncols=2)
    return figure


def _between(sizes: np.ndarray, size: float) -> float:
    """The middle, on a logarithmic axis, between a size and the one before it."""
    before = sizes[sizes < size]
    return float(np.sqrt(before.max() * size)) if len(before) else size / 2


def _probability_curve(axes: "matplotlib.axes.Axes", rows: Rows, label: str, index: int) -> None:
    sizes = style.column(rows, "num_train")
    low, high = style.column(rows, "p_delta_positive_low"), style.column(rows, "p_delta_positive_high")
    color = _COLORS[index % 4]
    axes.fill_between(sizes, low, high, color=color, alpha=0.18, lw=0)
    value = style.column(rows, "p_delta_positive")
    # Many curves share 0 and 1: the first lies on top, and markers of those below look out around it.
    axes.plot(
        sizes, value, color=color, marker=_MARKERS[index % 4], markersize=3.8 + 1.2 * index, label=label,
        zorder=2.5 - 0.1 * index,
    )  # fmt: skip
    axes.axhline(0.5, color=style.MUTED_COLOR, linewidth=0.8)
    axes.set_ylim(-0.04, 1.04)


def _mark_dimension(axes: "matplotlib.axes.Axes", dim: int, sizes: np.ndarray) -> None:
    axes.axvline(dim, color=style.MUTED_COLOR, linestyle=":", linewidth=1)
    inside = dim > sizes.min()  # the label stands left of the line unless that is the edge
    axes.annotate(
        "n = d", (dim, 0.5 if inside else 0.88), xycoords=("data", "axes fraction"),
        xytext=(-3 if inside else 3, 0), textcoords="offset points",
        rotation=90, ha="right" if inside else "left", va="center", fontsize=8, color=style.MUTED_COLOR,
    )  # fmt: skip


def _row_of_axes(figure: "matplotlib.figure.Figure", count: int) -> list["matplotlib.axes.Axes"]:
    return list(figure.subplots(1, count, squeeze=False)[0])


def _of_dim(rows: Rows, dim: int) -> Rows:
    return sorted((row for row in rows if row["dim"] == dim), key=lambda row: row["num_train"])
