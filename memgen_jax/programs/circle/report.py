"""From the circle's files to circle.csv, the figures, the page and the lines on the screen."""

import csv
import functools
import io
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax import memory, phases, runs, statistics
from memgen_jax.errors import InputError
from memgen_jax.programs.circle.settings import CircleRun


def landscape_name(num_train: int | None) -> str:
    """The file of one K; None is the closed form of infinitely many points."""
    return f"landscape_num_train={'infinity' if num_train is None else f'{num_train:06d}'}.npz"


def read_csv(workdir: runs.Workdir, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((workdir / name).read_text())))


def summarize(run: CircleRun, workdir: runs.Workdir, num_train: int | None) -> dict[str, Any]:
    """One row of circle.csv, from the files of one K; None, the closed form, is held against all points.

    Columns:
      memorized, spurious, generalized: shares of the generated points by the attractor that they fall to, each
        with its Wilson interval (`_low`, `_high`); and `_by_distance`, at delta, with the same shares among as
        many fresh points of the ring (`_null`).
      radius_mean, radius_rms_error: of |x|, and of |x| - 1.
      energy_correlation_*, energy_largest_deviation_*: of the learned energy on the grid at t = `energy_time`,
        from the exact one of the same K (`exact`) and from the closed form at the same beta (`infinite`).
      exact_minima_t=*, learned_minima_t=*: local minima found, and how many lie off the data (`_off_train`).
    """
    from scipy.spatial import cKDTree

    s = run.settings
    landscape = workdir.read_npz(landscape_name(num_train), "kind", "centroid_energy")
    if landscape is None:
        raise InputError(f"{workdir / landscape_name(num_train)} is damaged: delete it and run again.")
    generated, count = landscape["generated"], len(landscape["generated"])
    row: dict[str, Any] = {"num_train": num_train or float("inf"), "num_generated": count}

    def add(name: str, hits: np.ndarray) -> None:
        row[name] = float(np.mean(hits))
        row[f"{name}_low"], row[f"{name}_high"] = statistics.wilson_interval(int(np.sum(hits)), count)

    for name, kind in zip(phases.NAMES, (memory.AT_PATTERN, memory.OFF_PATTERNS, memory.FLAT), strict=True):
        add(name, landscape["kind"] == kind)

    train_tree = cKDTree(run.train[:num_train])

    def labels(points: np.ndarray) -> np.ndarray:
        to_train = train_tree.query(points)[0].astype(np.float32)
        to_other = cKDTree(points).query(points, k=2)[0][:, 1].astype(np.float32)
        return np.asarray(phases.classify(to_train, to_other, s.delta, s.delta))

    own, null = labels(generated), labels(run.fresh)
    for label, name in enumerate(phases.NAMES):
        add(f"{name}_by_distance", own == label)
        row[f"{name}_by_distance_null"] = float(np.mean(null == label))
    share, by_chance = row["memorized_by_distance"], row["memorized_by_distance_null"]
    # 0: as close to the training set as fresh points of the ring; 1: every sample is a copy. Where the
    # training set covers the ring, distance cannot tell a copy from a new point, and nothing is said.
    row["memorized_beyond_chance"] = (share - by_chance) / (1 - by_chance) if by_chance < 0.5 else None

    radius = np.linalg.norm(generated, axis=-1)
    row["radius_mean"] = float(radius.mean())
    row["radius_rms_error"] = float(np.sqrt(np.mean((radius - 1) ** 2)))

    beta = float(landscape["beta"])
    points = landscape["grid"].reshape(-1, 2)
    ring = -np.asarray(jax.jit(jax.vmap(lambda x: memory.circle_log_density(x, beta)))(points)) / beta
    row["energy_time"] = float(landscape["time"])
    learned = landscape["learned_energy"].ravel()
    for name, reference in (("exact", landscape["exact_energy"].ravel()), ("infinite", ring)):
        row[f"energy_correlation_{name}"] = float(np.corrcoef(learned, reference)[0, 1])
        row[f"energy_largest_deviation_{name}"] = float(np.abs(learned - reference).max())
    for found in read_csv(workdir, "attractors.csv"):
        if int(found["num_train"]) == num_train:
            name = f"{found['landscape']}_minima_t={float(found['time']):g}"
            row[name], row[f"{name}_off_train"] = found["minima"], found["minima_off_train"]
    row["width"] = s.model.width
    return row


def draw_figures(run: CircleRun, workdir: runs.Workdir) -> None:
    """Stage 6: figures/*.png and .pdf."""
    from memgen_jax.report import circle_figures, style

    sizes = run.settings.num_train
    landscapes = {size: workdir.read_npz(landscape_name(size)) or {} for size in (*sizes, None)}
    attractors = read_csv(workdir, "attractors.csv")
    shown = [size for size in (2, 9, 1000) if size in sizes] or list(sizes[:3])
    middle = 9 if 9 in sizes else shown[len(shown) // 2]
    minima = workdir.read_npz("minima.npz", "y")
    assert minima is not None
    figures = {
        "temperature": circle_figures.temperature(
            energy_along_the_ring(run, middle), run.train[:middle], minima, attractors
        ),
        "ring_radius": circle_figures.ring_radius(attractors, sizes),
        "phase_diagram": circle_figures.phase_diagram(read_csv(workdir, "phase_diagram.csv")),
        "critical_load": circle_figures.critical_load(
            read_csv(workdir, "correlation.csv"), read_csv(workdir, "critical_load.csv")
        ),
        "landscapes": circle_figures.landscapes({size: landscapes[size] for size in (*shown, None)}),
    }
    for name, figure in figures.items():
        style.save(figure, workdir / "figures" / name)


# Of each figure what it shows, for who cannot see it, and how to read it.
WORDS = {
    "landscapes": (
        "The learned energy of several K as contours with arrows of the score and the generated points, beside the "
        "closed form's.",
        "The energy that each network learned, its lines of equal height, its score as arrows, and generated points. "
        "Numbers: exact energies, less the lowest one met, at the centroids of the nine largest clusters.",
    ),
    "temperature": (
        "The exact energy along the ring against temperature, and where its minima and the learned ones lie.",
        "Left, of one training set: merged minima lie between its points. Right: how many there are of every K.",
    ),
    "ring_radius": (
        "The radius at which descents end against inverse temperature: exact and learned energies, and in closed form.",
        "Line: the closed form of infinitely many points.",
    ),
    "phase_diagram": (
        "Two maps over inverse temperature and number of random memories: minima at patterns, and minima off them.",
        "Means over several draws of the points.",
    ),
    "critical_load": (
        "How many points are half recalled, and how many minima are made up, where the points crowd together.",
        "Left: the load against the share of the circle that holds the points. Right: minima off the points.",
    ),
}


def write_page(run: CircleRun, workdir: runs.Workdir) -> None:
    """Stage 7: report.html, from the tables and the figures; the last file, so the sign that the run is finished."""
    from memgen_jax.report import circle_page, page

    rows = [
        {name: float(value) if value else None for name, value in row.items()}
        for row in read_csv(workdir, "circle.csv")
    ]
    s = run.settings
    html = circle_page.render(
        rows=rows,
        attractor_time=s.attractors.time,
        delta=s.delta,
        distance=s.attractors.distance,
        flat_below=s.attractors.flat_below,
        pictures={
            name: page.picture(workdir / "figures" / f"{name}.png", *words) for name, words in WORDS.items()
        },
        num_steps=s.train.num_steps,
        command=workdir.command,
        settings=json.loads((workdir / "config.json").read_text()),
        environment=json.loads((workdir / "environment.json").read_text()),
    )
    page.write(workdir / "report.html", html)


def energy_along_the_ring(run: CircleRun, num_train: int) -> dict[str, np.ndarray]:
    """beta (E - min E) of the exact energy against angle and time, smallest over the radius."""
    patterns = jnp.asarray(run.train[:num_train])
    angle = np.linspace(-np.pi, np.pi, 181).astype(np.float32)
    times = np.geomspace(min(run.settings.attractors.times), 1, 60).astype(np.float32)
    radius = np.linspace(0, 1.1, 45).astype(np.float32)
    points = radius[:, None, None] * np.stack([np.cos(angle), np.sin(angle)], -1)[None]

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def profile(points, t):
        density = lambda x: memory.log_density(x, patterns, t, run.process)  # noqa: E731
        best = jnp.max(jax.vmap(jax.vmap(density))(points), axis=0)
        return jnp.max(best) - best

    return {"angle": angle, "times": times, "depth": np.asarray(profile(points, times))}


def print_outcome(workdir: runs.Workdir) -> None:
    rows = read_csv(workdir, "circle.csv")
    header = [
        "K",
        "memorized",
        "spurious",
        "generalized",
        "beyond chance",
        "radius error",
        "r(exact)",
        "r(ring)",
    ]
    names = [
        *phases.NAMES,
        "memorized_beyond_chance",
        "radius_rms_error",
        "energy_correlation_exact",
        "energy_correlation_infinite",
    ]

    def cell(row: dict[str, str], name: str) -> str:
        return f"{float(row[name]):.4f}" if row[name] else "-"

    sizes = [row["num_train"].replace("inf", "∞") for row in rows]
    print(
        runs.table(
            header, [[size, *(cell(row, n) for n in names)] for size, row in zip(sizes, rows, strict=True)]
        )
    )
