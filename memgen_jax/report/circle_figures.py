"""The figures of the solvable world: landscapes, minima against temperature, the ring, the toy's phases."""

import itertools
import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.figure

ENERGY_LIMIT = 1.0  # the colour scale's end; energies are squared distances on a circle of radius 1
LEVELS = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)  # contours: the ring's own barriers are small, 0.11 at beta = 3.33
INK = "#35618f"
LANDSCAPES = ("exact", "learned")
SIZE_LINES = ("-", "--", "-.", ":", (0, (6, 3)), (0, (5, 1, 1, 1, 1, 1)))
SIZE_MARKERS = "os^Dvx"
_TRAIN_MARK: dict[str, typing.Any] = {
    "color": style.PHASE_COLORS["spurious"],
    "markersize": 9,
    "markeredgecolor": "black",
    "markeredgewidth": 0.7,
}


@style.settings()
def landscapes(files: Mapping[int | None, Mapping[str, np.ndarray]]) -> "matplotlib.figure.Figure":
    """Pham et al. 2025, Fig. 1: the learned energy of each K, and the closed form for K = None.

    The numbers are exact energies, less the lowest one met, at the centroids of the nine largest clusters.

    Args:
      files: arrays of the landscape files, in the order of the panels.
    """
    figure = style.new_figure(7.0, 6.7)
    panels = figure.subplots(2, -(-len(files) // 2), sharex=True, sharey=True, squeeze=False)
    image: typing.Any = None
    for axes, letter, (num_train, file) in zip(panels.ravel(), "abcdefgh", files.items(), strict=False):
        image = _landscape(axes, num_train, file)
        beta = float(file["beta"])
        name = "K → ∞" if num_train is None else f"K = {num_train:,}"
        axes.set_title(f"{letter}  {name}, β = {beta:.3g} (t = {float(file['time']):.3g})")
        axes.label_outer()
    for axes in panels.ravel()[len(files) :]:
        axes.set_axis_off()
    bar = figure.colorbar(image, ax=panels, shrink=0.7, extend="max", pad=0.02, ticks=(0, *LEVELS, 1))
    bar.set_label("energy E − min E (squared length; the circle's radius is 1)")
    figure.legend(*_landscape_key(), loc="outside lower center", ncols=5, columnspacing=1, handletextpad=0.1)
    return figure


def _landscape(axes: "matplotlib.axes.Axes", num_train: int | None, file: Mapping[str, np.ndarray]):
    from matplotlib.colors import PowerNorm

    grid, theory = file["grid"], num_train is None
    which = "exact" if theory else "learned"
    energy, score = file[f"{which}_energy"], file[f"{which}_score"]
    across, up, energy = _smooth(grid, energy)
    energy = energy - energy.min()
    image = axes.pcolormesh(
        across, up, energy, cmap="bone", norm=PowerNorm(0.5, 0, ENERGY_LIMIT),
        shading="gouraud", rasterized=True,
    )  # fmt: skip
    axes.contour(
        across, up, energy, levels=LEVELS, colors=INK,
        linewidths=0.5, alpha=0.9,
    )  # fmt: skip
    length = np.linalg.norm(score, axis=-1, keepdims=True)
    arrow = score / np.maximum(length, 1e-9) * np.minimum(1, length / np.median(length))
    axes.quiver(
        grid[..., 0], grid[..., 1], arrow[..., 0], arrow[..., 1], color=INK, scale=28, width=0.0035,
        headwidth=4, alpha=0.8,
    )  # fmt: skip
    train = file["train"]
    if theory:
        _points(axes, train, style.TRAIN_COLOR)
    else:
        _points(axes, file["generated"], style.PHASE_COLORS["generalized"])
        if len(train) <= 20:
            axes.plot(*train.T, "X", **_TRAIN_MARK)
        _centroids(axes, file)
    axes.set_aspect("equal")
    axes.set_xlim(grid[..., 0].min(), grid[..., 0].max())
    axes.set_ylim(grid[..., 1].min(), grid[..., 1].max())
    axes.grid(False)
    axes.set_xlabel("x₁")
    axes.set_ylabel("x₂")
    return image


def _points(axes: "matplotlib.axes.Axes", points: np.ndarray, color: str) -> None:
    """Small points with a light rim, to be seen on the dark ring in a grey print too."""
    axes.plot(*points.T, ".", color="white", markersize=5.5, markeredgewidth=0)
    axes.plot(*points.T, ".", color=color, markersize=4, markeredgewidth=0)


def _smooth(grid: np.ndarray, energy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The energy between the grid's points, by a cubic spline, for round contours."""
    from scipy.interpolate import RectBivariateSpline

    up, across = grid[:, 0, 1], grid[0, :, 0]
    degree = min(3, len(up) - 1)
    spline = RectBivariateSpline(up, across, energy, kx=degree, ky=degree)
    up, across = (np.linspace(axis[0], axis[-1], 161) for axis in (up, across))
    return across, up, spline(up, across)


def _centroids(axes: "matplotlib.axes.Axes", file: Mapping[str, np.ndarray]) -> None:
    """Stars at the centroids of the clusters, with the energy of the largest ones beside them."""
    centroids = file["centroids"]
    axes.plot(*centroids.T, "*", color="white", markeredgecolor="black", markersize=8, markeredgewidth=0.7)
    lowest = min(file["exact_energy"].min(), file["generated_energy"].min())
    for centroid, energy in list(zip(centroids, file["centroid_energy"], strict=True))[:9]:
        x, y = centroid * (1 + 0.42 / max(float(np.linalg.norm(centroid)), 0.3))
        box = {"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.85}
        axes.text(x, y, f"{energy - lowest:.2f}", ha="center", va="center", fontsize=6.5, bbox=box)


def _landscape_key() -> tuple[list, list[str]]:
    from matplotlib.lines import Line2D

    entries: dict[str, dict[str, typing.Any]] = {
        "generated": {"marker": ".", "color": style.PHASE_COLORS["generalized"]},
        "training (K ≤ 20)": {"marker": "X"} | _TRAIN_MARK,
        "cluster centroid, exact energy": {"marker": "*", "color": "white", "markeredgecolor": "black"},
        "point of the circle": {"marker": ".", "color": style.TRAIN_COLOR},
        "score": {"marker": r"$\rightarrow$", "color": INK, "markersize": 10},
    }
    handles = [
        Line2D([], [], linestyle="none", **{"markersize": 8} | options) for options in entries.values()
    ]
    return handles, list(entries)


@style.settings()
def temperature(
    ring: Mapping[str, np.ndarray],
    train: Float[np.ndarray, "num_train 2"],
    minima: Mapping[str, np.ndarray],
    attractors: Sequence[Mapping[str, str]],
) -> "matplotlib.figure.Figure":
    """How minima merge as the temperature rises: the critical load, seen as a critical temperature.

    Args:
      ring: `angle`, `times` and `depth` [time, angle]: beta (E - min E), smallest over the radius, for the
        exact energy of `train`.
      minima: `num_train`, `time`, `learned`, `x`, `y` of every minimum.
      attractors: rows of attractors.csv.
    """
    from matplotlib.ticker import FuncFormatter

    figure = style.new_figure(7.0, 3.4)
    left, right = figure.subplots(1, 2, width_ratios=(1.25, 1))
    degrees = np.degrees(ring["angle"])
    image = left.pcolormesh(
        degrees,
        ring["times"],
        ring["depth"],
        cmap="bone_r",
        vmin=0,
        vmax=6,
        shading="gouraud",
        rasterized=True,
    )
    figure.colorbar(image, ax=left, extend="max", pad=0.02).set_label("exact β(E − min E), best radius")
    marks: dict[bool, dict[str, typing.Any]] = {
        False: {"marker": "o", "color": INK, "markersize": 5, "label": "minimum, exact"},
        True: {"marker": "+", "color": style.PHASE_COLORS["spurious"], "label": "minimum, learned"}
        | {"markersize": 8, "markeredgewidth": 1.6},
    }
    for learned, options in marks.items():
        own = (minima["num_train"] == len(train)) & (minima["learned"] == learned)
        angle = np.degrees(np.arctan2(minima["y"][own], minima["x"][own]))
        left.plot(angle, minima["time"][own], linestyle="none", **options)
    at = np.degrees(np.arctan2(train[:, 1], train[:, 0]))
    left.plot(
        at, np.full(len(at), ring["times"][0]), "k|", markersize=12, label="training point", clip_on=False
    )
    left.set_yscale("log")
    left.set_ylim(ring["times"][0] / 1.25, ring["times"][-1])
    left.set_xlim(-180, 180)
    left.set_xticks((-180, -90, 0, 90, 180))
    left.set_xlabel("angle on the circle (degrees)")
    left.set_ylabel("noise level t = temperature / 2σ²")
    left.set_title(f"a  K = {len(train)}: minima merge")
    left.grid(False)

    sizes = sorted({int(row["num_train"]) for row in attractors})
    styles = zip(itertools.cycle(SIZE_LINES), itertools.cycle(SIZE_MARKERS), sizes, strict=False)
    for index, (line, marker, size) in enumerate(styles):
        shade = _shade(index, len(sizes))
        for name in LANDSCAPES:
            own = [r for r in attractors if int(r["num_train"]) == size and r["landscape"] == name]
            own.sort(key=lambda row: float(row["time"]))
            x, y = style.column(own, "time"), style.column(own, "minima")
            if name == "exact":
                right.plot(x, y, linestyle=line, linewidth=1.2, color=shade)
            else:
                right.plot(x, y, marker, color=shade, markersize=5, markerfacecolor="none")
        right.plot([], [], linestyle=line, linewidth=1.2, marker=marker, markersize=5, color=shade,
                   markerfacecolor="none", label=f"K = {size:,}")  # fmt: skip
    right.set_xscale("log")
    right.set_yscale("log")
    right.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    right.set_xlabel("noise level t")
    right.set_ylabel("number of minima")
    right.set_title("b  minima of every K")
    right.set_ylim(0.8, 10 * right.get_ylim()[1])  # room for the key
    right.legend(
        loc="upper right", ncols=2, title="line: exact, mark: learned", title_fontsize=8, fontsize=7.5
    )
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return figure


def _shade(index: int, count: int) -> tuple[float, float, float]:
    """Dark to light blue-grey, in `count` steps."""
    share = index / max(count - 1, 1)
    return (0.1 + 0.5 * share, 0.15 + 0.5 * share, 0.3 + 0.5 * share)


@style.settings()
def ring_radius(attractors: Sequence[Mapping[str, str]], sizes: Sequence[int]) -> "matplotlib.figure.Figure":
    """R* against beta: the closed form, and where descents end on exact and learned landscapes.

    Below beta = 1 the only minimum of K points lies near their mean / (1 - beta), not at the centre.

    Args:
      attractors: rows of attractors.csv.
      sizes: the K of the run; those from 1,000 on are drawn, else the largest.
    """
    from memgen_jax.memory import ring_radius as theory

    figure = style.new_figure(4.6, 3.4)
    axes = figure.subplots()
    betas = style.column(attractors, "beta")
    beta = np.geomspace(betas.min() * 0.9, betas.max() * 1.1, 400)
    axes.plot(beta, theory(beta), color=style.CONTROL_COLOR, label="closed form, K → ∞")
    large = [size for size in sizes if size >= 1000] or [max(sizes)]
    for marker, size in zip(itertools.cycle("os^D"), large, strict=False):
        for name, filled in (("exact", False), ("learned", True)):
            own = [r for r in attractors if int(r["num_train"]) == size and r["landscape"] == name]
            color = style.PHASE_COLORS["spurious"] if filled else INK
            axes.errorbar(
                style.column(own, "beta"), style.column(own, "ring_radius"),
                yerr=style.column(own, "ring_radius_std"),
                linestyle="none", marker=marker, markersize=5 if filled else 8, color=color, capsize=2,
                markerfacecolor=color if filled else "none", label=f"{name}, K = {size:,}",
            )  # fmt: skip
    axes.axvline(1, color=style.MUTED_COLOR, linewidth=0.8, linestyle=":")
    axes.text(1.06, 0.02, "β = 1: the ring closes", fontsize=7.5, color=style.MUTED_COLOR)
    axes.set_xscale("log")
    axes.set_xlabel("inverse temperature β = 1 / (2σ²t)")
    axes.set_ylabel("radius R* of the ring of minima")
    axes.set_title("The ring shrinks as it warms")
    axes.legend(loc="center right")
    return figure


@style.settings()
def phase_diagram(rows: Sequence[Mapping[str, str]]) -> "matplotlib.figure.Figure":
    """The memory of K random points on the circle: what is still recalled, and what is made up instead.

    Args:
      rows: rows of phase_diagram.csv.
    """
    figure = style.new_figure(7.0, 3.2)
    panels = figure.subplots(1, 2, sharey=True)
    sizes = sorted({int(row["num_patterns"]) for row in rows})
    betas = sorted({float(row["beta"]) for row in rows})
    table = {(int(r["num_patterns"]), float(r["beta"])): r for r in rows}
    titles = {
        "recalled": "a  minima at patterns, per pattern",
        "spurious_minima": "b  minima off the patterns, number",
    }
    for axes, (name, title) in zip(panels, titles.items(), strict=True):
        values = np.array([[float(table[size, beta][name]) for beta in betas] for size in sizes])
        image = axes.imshow(
            values, origin="lower", aspect="auto", cmap="bone_r", vmin=0, vmax=max(1, values.max())
        )
        for i, line in enumerate(values):
            for j, value in enumerate(line):
                dark = value > 0.55 * max(1, values.max())
                axes.text(
                    j, i, f"{value:.1f}", ha="center", va="center", fontsize=6, color="w" if dark else "k"
                )
        axes.set_xticks(range(len(betas)), [f"{beta:.3g}" for beta in betas], rotation=45)
        axes.set_yticks(range(len(sizes)), [str(size) for size in sizes])
        axes.set_xlabel("inverse temperature β")
        axes.set_title(title)
        axes.grid(False)
        figure.colorbar(image, ax=axes, pad=0.02)
    panels[0].set_ylabel("stored patterns K")
    return figure


@style.settings()
def critical_load(
    rows: Sequence[Mapping[str, str]], loads: Sequence[Mapping[str, str]]
) -> "matplotlib.figure.Figure":
    """The memory of points that crowd together: how many it bears, and what it makes up on the way.

    Args:
      rows: rows of correlation.csv.
      loads: rows of critical_load.csv.
    """
    figure = style.new_figure(7.0, 3.4)
    left, right = figure.subplots(1, 2)
    betas = sorted({float(row["beta"]) for row in loads})
    arcs = sorted({int(row["arcs"]) for row in loads})
    for index, beta in enumerate(betas):
        color = _shade(len(betas) - 1 - index, len(betas))
        for count, line, marker in zip(arcs, SIZE_LINES, SIZE_MARKERS, strict=False):
            own = [
                row
                for row in loads
                if float(row["beta"]) == beta
                and (int(row["arcs"]) == count or float(row["share"]) == 1)
                and row["load"]
            ]
            covered, load = style.column(own, "share"), style.column(own, "load")
            # Where an end lies beyond the sizes tried the bar ends at the value.
            low = np.array([float(row["load_low"] or row["load"]) for row in own])
            high = np.array([float(row["load_high"] or row["load"]) for row in own])
            left.errorbar(
                covered, load, yerr=(load - low, high - load), color=color, linestyle=line, marker=marker,
                markersize=4, capsize=2, markerfacecolor="none" if count > 1 else color,
                label=f"β = {beta:g}, {count} arc{'s' * (count > 1)}",
            )  # fmt: skip
    left.set_xscale("log", base=2)
    left.set_yscale("log", base=2)
    left.set_xticks(np.unique(style.column(rows, "share")))
    for axis in (left.xaxis, left.yaxis):
        axis.set_major_formatter("{x:g}")
    left.set_xlabel("share of the circle that holds the points")
    left.set_ylabel("K at which half are recalled")
    left.set_title("a  crowded points: a lower load")
    left.legend(fontsize=7)
    middle = betas[len(betas) // 2]
    shares = sorted({float(row["share"]) for row in rows}, reverse=True)
    for index, share in enumerate(shares):
        own = [
            row
            for row in rows
            if float(row["beta"]) == middle and float(row["share"]) == share and int(row["arcs"]) == arcs[0]
        ]
        size = style.column(own, "num_patterns")
        right.plot(
            size, style.column(own, "spurious_minima") / size, color=_shade(index, len(shares)),
            linestyle=SIZE_LINES[index % len(SIZE_LINES)],
            label=f"share {share:g}, correlation {abs(float(own[0]['correlation'])):.2f}",
        )  # fmt: skip
    right.set_xscale("log", base=2)
    right.xaxis.set_major_formatter("{x:g}")
    right.set_ylim(0, 1.5 * right.get_ylim()[1])
    right.set_xlabel("stored points K")
    right.set_ylabel("minima off the points, per point")
    right.set_title(f"b  what is made up, {arcs[0]} arc, β = {middle:g}")
    right.legend(fontsize=7)
    return figure
