"""The circle's memory without any network: what E_AM of K stored points still recalls, and what it makes up.

phase_diagram.csv   K random points of the whole circle, against beta and K:
  num_patterns,beta,minima,spurious_minima,recalled,draws
correlation.csv     the same where points crowd on a share of the circle, in one arc or in several; more columns:
  arcs,share,correlation
critical_load.csv   arcs,share,correlation,beta,load,load_low,load_high,spurious_peak,spurious_peak_at: the K at which
  half the points are minima of their own, its 95% interval by the bootstrap over draws (blank beyond the sizes tried),
  and the most minima off the points, per stored point, with the K where they are

The correlation is the mean inner product of two different points, |E x|^2.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from memgen_jax import memory, phases, runs
from memgen_jax.programs.circle.settings import CircleRun

RESAMPLES = 2000
# Two points merge into one minimum nearer than sqrt(2 / beta). Of that length, a minimum this near is a point's own.
OWN = 0.15
MERGED = 0.03


def draw_phase_diagram(run: CircleRun, workdir: runs.Workdir) -> None:
    """Writes phase_diagram.csv."""
    if _stands(workdir, "phase_diagram.csv", "spurious_minima"):
        return
    s = run.settings.phase_diagram
    angles = np.random.default_rng(run.settings.seed).uniform(0, 2 * np.pi, (s.draws, max(s.num_patterns)))
    patterns = on_circle(angles)
    rows = []
    with runs.stage("phase diagram", len(s.num_patterns) * len(s.betas), "memories") as stage:
        for size in s.num_patterns:
            for beta in s.betas:
                ends = descents(run, patterns, size, beta)
                counts = [
                    count_attractors(run, patterns[d, :size], jax.tree.map(lambda leaf, d=d: leaf[d], ends))[
                        0
                    ]
                    for d in range(s.draws)
                ]
                minima = np.array([row["minima"] for row in counts])
                off = np.array([row["minima_off_train"] for row in counts])
                rows.append(means(size, beta, minima, off))
                stage.advance(1)
    workdir.write_csv("phase_diagram.csv", rows)


def find_loads(run: CircleRun, workdir: runs.Workdir) -> None:
    """Writes correlation.csv and critical_load.csv."""
    if _stands(workdir, "critical_load.csv", "load") and _stands(
        workdir, "correlation.csv", "spurious_minima"
    ):
        return
    s = run.settings.correlation
    # The whole circle is one arrangement, however many arcs it is cut into.
    crowds = [(arcs, share) for share in s.shares for arcs in (s.arcs if share < 1 else s.arcs[:1])]
    rows, loads = [], []
    with runs.stage(
        "correlated memories", len(crowds) * len(s.betas) * len(s.num_patterns), "memories"
    ) as stage:
        for arcs, share in crowds:
            patterns = crowded(run.settings.seed, s.draws, max(s.num_patterns), arcs, share)
            where = {"arcs": arcs, "share": share, "correlation": correlation(arcs, share)}
            for beta in s.betas:
                recalled, spurious = [], []
                for size in s.num_patterns:
                    minima, off = minima_of(run, patterns, size, beta)
                    rows.append(where | means(size, beta, minima, off))
                    recalled.append((minima - off) / size)
                    spurious.append(off / size)
                    stage.advance(1)
                loads.append(
                    where
                    | {"beta": beta}
                    | load_columns(s.num_patterns, recalled, spurious, run.settings.seed)
                )
    workdir.write_csv("correlation.csv", rows)
    workdir.write_csv("critical_load.csv", loads)


def _stands(workdir: runs.Workdir, name: str, column: str) -> bool:
    """Whether the table is there, and has a column that it had by another name before."""
    table = workdir / name
    return table.exists() and column in table.read_text().partition("\n")[0].split(",")


def on_circle(angles: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape 2"]:
    return np.stack([np.cos(angles), np.sin(angles)], -1).astype(np.float32)


def crowded(
    seed: int, draws: int, num_patterns: int, arcs: int, share: float
) -> Float[np.ndarray, "draw pattern 2"]:
    """Random points on `share` of the circle, in as many arcs of equal length at equal distances.

    Points of the same draw and number keep their place within their arc, whatever the share.
    """
    random = np.random.default_rng((seed, 1))
    arc = random.integers(0, arcs, (draws, num_patterns))
    within = random.uniform(-0.5, 0.5, (draws, num_patterns))
    return on_circle(2 * np.pi / arcs * (arc + share * within))


def correlation(arcs: int, share: float) -> float:
    """Mean inner product of two different points: |E x|^2, 0 where the arcs' centres cancel.

    >>> correlation(1, 1.0), round(correlation(1, 0.5), 4), correlation(3, 0.25)
    (0.0, 0.4053, 0.0)
    """
    return float(np.sinc(share) ** 2) if arcs == 1 and share < 1 else 0.0


def descents(
    run: CircleRun, patterns: Float[np.ndarray, "draw pattern 2"], num_patterns: int, beta: float
) -> memory.Attractor:
    """Where the run's starts, and the patterns themselves, end on the first `num_patterns` of each draw."""
    ends = _descents(run.settings.attractors.max_steps, patterns, run.starts, num_patterns, np.float32(beta))
    return jax.tree.map(np.asarray, ends)


@functools.partial(jax.jit, static_argnums=0)
@functools.partial(jax.vmap, in_axes=(None, 0, None, None, None))
def _descents(
    max_steps: int, patterns: jax.Array, starts: jax.Array, num_patterns: Any, beta: Any
) -> memory.Attractor:
    def one(x):
        answer = lambda x: memory.retrieve_once(x, patterns, beta, num_valid=num_patterns)  # noqa: E731
        return memory.descend(answer, x, max_steps=max_steps)

    return jax.vmap(one)(jnp.concatenate([starts, patterns]))


def count_attractors(
    run: CircleRun, train: np.ndarray, ends: memory.Attractor
) -> tuple[dict[str, Any], np.ndarray]:
    """Minima by kind with the mean radius at which descents from the unit circle end; and the minima."""
    s = run.settings.attractors
    minima = memory.distinct_minima(ends, s.merge_distance)
    judge = functools.partial(memory.kind_of_attractor, minima.x, minima.stiffness, train, s.distance)
    at, off, flat = np.bincount(judge(s.flat_below), minlength=3).tolist()
    radius = np.linalg.norm(ends.x[: len(run.ring)], axis=-1)
    return {
        "minima": len(minima.x),
        "minima_off_train": int(np.sum(judge(-np.inf) == memory.OFF_PATTERNS)),
        "isolated_at_train": at,
        "isolated_off_train": off,
        "flat": flat,
        "unsettled_starts": minima.unsettled,
        "ring_radius": float(radius.mean()),
        "ring_radius_std": float(radius.std()),
    }, minima.x


def minima_of(
    run: CircleRun, patterns: Float[np.ndarray, "draw pattern 2"], num_patterns: int, beta: float
) -> tuple[Float[np.ndarray, " draw"], Float[np.ndarray, " draw"]]:
    """Numbers of minima, and of those off the points, where distances are told in the memory's own length."""
    length = np.sqrt(2 / beta)
    ends = descents(run, patterns, num_patterns, beta)
    minima, off = [], []
    for d, stored in enumerate(patterns[:, :num_patterns]):
        found = memory.distinct_minima(jax.tree.map(lambda leaf, d=d: leaf[d], ends), MERGED * length)
        kinds = memory.kind_of_attractor(found.x, found.stiffness, stored, OWN * length, flat_below=-np.inf)
        minima.append(len(found.x))
        off.append(np.sum(kinds == memory.OFF_PATTERNS))
    return np.array(minima, float), np.array(off, float)


def means(num_patterns: int, beta: float, minima: np.ndarray, off: np.ndarray) -> dict[str, Any]:
    """What both tables tell of one memory, as means over draws."""
    return {
        "num_patterns": num_patterns,
        "beta": beta,
        "minima": minima.mean(),
        "spurious_minima": off.mean(),
        "recalled": (minima - off).mean() / num_patterns,
        "draws": len(minima),
    }


def load_columns(
    sizes: tuple[int, ...], recalled: list[np.ndarray], spurious: list[np.ndarray], seed: int
) -> dict[str, Any]:
    """The critical load with its interval, and the peak of what is made up, from [size][draw] shares."""
    shares = np.array(recalled)
    draws = np.random.default_rng((seed, 2)).integers(0, shares.shape[1], (RESAMPLES, shares.shape[1]))
    drawn = np.array([half_load(sizes, curve) for curve in shares[:, draws].mean(-1).T])
    found = half_load(sizes, shares.mean(-1))
    # Within the sizes tried alone is an end known; a resample that never crosses stands beyond them.
    low, high = np.quantile(drawn, [0.025, 0.975], method="inverted_cdf")
    made_up = np.array(spurious).mean(-1)
    known = lambda load: load if 0 < load < np.inf else None  # noqa: E731
    return {
        "load": known(found),
        "load_low": known(low),
        "load_high": known(high),
        "spurious_peak": made_up.max(),
        "spurious_peak_at": sizes[int(made_up.argmax())],
    }


def half_load(sizes: tuple[int, ...], recalled: Float[np.ndarray, " size"]) -> float:
    """The K at which a falling share crosses one half; infinite where it stays above, 0 where it starts below.

    >>> round(half_load((2, 8), np.array([0.75, 0.25])), 6), half_load((2, 8), np.array([0.9, 0.8]))
    (4.0, inf)
    """
    load = phases.half_crossing(np.array(sizes), recalled, np.ones(len(sizes)), increasing=False)
    return load if np.isfinite(load) else (np.inf if recalled[0] > 0.5 else 0.0)
