"""The solvable world: networks on the unit circle beside the exact landscape (Pham et al. 2025, Fig. 1).

  config -> training -> landscapes -> attractors -> the memory alone -> circle.csv -> figures -> report.html

Each arrow is a stage that writes its own files in the workdir and is skipped where they are whole, so the
same command continues an interrupted run. What the files hold:

  landscape_num_train=000009.npz   one per K, and `=infinity` for the closed form, whose own score stands
    where the others have a network's, at the time of `landscape.theory_beta`:
    train [K, 2], grid [G, G, 2], exact_energy and learned_energy [G, G], exact_score and learned_score
    [G, G, 2], generated [n, 2], generated_energy [n] (the exact energy there), kind [n] (of attractor: 0 at
    a training point, 1 off them, 2 flat), stiffness [n] (in its softest direction), cluster [n],
    centroids [c, 2], centroid_energy [c], time, beta.
    Energies are -2 sigma^2 t log p(x, t) (Eq. 22), absolute: subtract the minimum to compare with the paper.
  attractors.csv   minima of the exact and of the learned energy of every K at several times, and the radius
    at which descents from the unit circle end.
  phase_diagram.csv   minima of E_AM of K random points on the circle, against beta and K.
  correlation.csv, critical_load.csv   the same where the points are correlated; see `toy_memory`.
  circle.csv   one row per K, and `inf` for the closed form: fractions, energy errors, minima.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from memgen_jax import diffusion, memory, runs
from memgen_jax.errors import InputError
from memgen_jax.programs import launcher, precision
from memgen_jax.programs.circle import report, toy_memory, training
from memgen_jax.programs.circle.report import landscape_name
from memgen_jax.programs.circle.settings import CircleRun, CircleSettings
from memgen_jax.programs.circle.training import over_members
from memgen_jax.programs.launcher import FROM_PYTHON, Invocation
from memgen_jax.programs.settings import plain


def main(config: ConfigDict, workdir_path: str, invocation: Invocation = FROM_PYTHON) -> None:
    run = CircleRun(config)
    workdir = runs.Workdir(
        workdir_path, plain(run.settings), absent=precision.ABSENT, command=invocation.command
    )
    if (workdir / "report.html").exists():
        report.print_outcome(workdir)
        print(f"This run is finished: {workdir / 'report.html'}.")
        return
    with precision.products(run.settings.matmul_precision):
        work(run, workdir)


def work(run: CircleRun, workdir: runs.Workdir) -> None:
    """The stages; those that are whole are skipped."""
    workdir.write_environment()
    landscapes_left = not all((workdir / name).exists() for name in landscape_files(run))
    attractors_left = not (workdir / "attractors.csv").exists()
    if landscapes_left or attractors_left:
        params = train(run, workdir)
        if landscapes_left:
            draw_landscapes(run, workdir, params)
        if attractors_left:
            find_attractors(run, workdir, params)
    toy_memory.draw_phase_diagram(run, workdir)
    toy_memory.find_loads(run, workdir)
    workdir.write_csv(
        "circle.csv",
        [report.summarize(run, workdir, size) for size in (*run.settings.num_train, None)],
    )
    report.draw_figures(run, workdir)
    report.write_page(run, workdir)
    report.print_outcome(workdir)
    print(
        f"Figures and the page: {workdir / 'figures'}, {workdir / 'report.html'}; the table: {workdir / 'circle.csv'}."
    )


def train(run: CircleRun, workdir: runs.Workdir) -> Any:
    """Stage 1: the ensemble; `training.npz` holds its last saved state."""
    s = run.settings
    with runs.stage("train", s.train.num_steps * len(s.num_train), "model-steps", workdir) as stage:
        return training.train_ensemble(
            s.num_train,
            run.train,
            run.model,
            run.process,
            s.train,
            seed=s.seed,
            workdir=workdir,
            progress=stage,
        )


def landscape_files(run: CircleRun) -> list[str]:
    return [landscape_name(size) for size in (*run.settings.num_train, None)]


def draw_landscapes(run: CircleRun, workdir: runs.Workdir, params: Any) -> None:
    """Stage 2: energies and scores on the grid, generated points, their attractors and clusters."""
    s, process = run.settings, run.process
    t, sizes = s.landscape.time, jnp.asarray(s.num_train, jnp.int32)
    keys = training.sampling_keys(s.num_train, s.seed)

    def prior(x, num_train, patterns):
        if s.landscape.prior == "gaussian":
            return diffusion.gaussian_prior(process)(x)
        return memory.log_density(x, patterns, process.t_max, process, num_valid=num_train)

    def learned_energy(params, num_train, patterns):
        return energy_by_likelihood(run, run.denoiser(params), lambda x: prior(x, num_train, patterns), t)

    each = functools.partial(over_members, num_members=len(s.num_train))
    with runs.stage("landscapes", 5, "parts") as stage:
        learned = each(learned_energy, shared=1)(params, sizes, jnp.asarray(run.train))
        energy, solved = map(np.asarray, learned)
        stage.advance(1)
        score = np.asarray(each(lambda params: score_on_grid(run, run.denoiser(params), t))(params))
        require_finite(s.num_train, score, solved, t)
        generated = np.asarray(
            each(lambda params, key: generate(run, run.denoiser(params), key))(params, keys)
        )
        stage.advance(1)
        times = np.full(len(s.num_train), s.attractors.time, np.float32)
        descents = each(make_descents(run, run.denoiser))
        ends = jax.tree.map(np.asarray, descents(params, generated, times))
        stage.advance(1)
        for m, size in enumerate(s.num_train):
            end = jax.tree.map(lambda leaf, m=m: leaf[m], ends)
            write_landscape(run, workdir, size, energy[m], score[m], generated[m], end)
        stage.advance(1)
        draw_closed_form(run, workdir)
        stage.advance(1)


def energy_by_likelihood(
    run: CircleRun, denoiser: diffusion.Denoiser, prior: Callable[[jax.Array], jax.Array], t: float
) -> tuple[jax.Array, jax.Array]:
    """E = -2 sigma^2 t log p(x, t) (Eq. 22) at the grid's points, and whether the solver came to its end."""
    tolerance = run.settings.landscape.tolerance

    def one(x):
        answer = diffusion.log_likelihood(x, t, denoiser, run.process, prior, rtol=tolerance, atol=tolerance)
        return -answer.log_density / run.beta(t), answer.solved

    return jax.vmap(one)(run.points)


def score_on_grid(run: CircleRun, denoiser: diffusion.Denoiser, t: float) -> jax.Array:
    time = jnp.float32(t)
    return jax.vmap(lambda x: run.process.score_from_denoised(denoiser(x, time), x, time))(run.points)


def generate(run: CircleRun, denoiser: diffusion.Denoiser, key: jax.Array) -> jax.Array:
    """Points [num_samples, 2] by Euler-Maruyama on the reverse SDE, from N(0, sigma^2 I) at t = 1.

    The paper's start; the exact marginal at t = 1 is wider by the circle itself.
    """
    sampler = run.settings.sampler

    def draw(key):
        step = diffusion.euler_maruyama_step
        return diffusion.sample(key, denoiser, run.process, step, sampler.num_steps, (2,))

    return jax.vmap(draw)(jax.random.split(key, sampler.num_samples))


def draw_closed_form(run: CircleRun, workdir: runs.Workdir) -> None:
    """K -> infinity: the closed form's score where the others have a network, a control of every step."""
    s = run.settings
    t = 1 / (2 * s.sigma**2 * s.landscape.theory_beta)
    denoiser = lambda x, t: memory.circle_denoised(x, 1 / (2 * s.sigma**2 * t))  # noqa: E731
    beta_end = run.beta(run.process.t_max)

    @jax.jit
    def everything(key):
        energy, solved = energy_by_likelihood(
            run, denoiser, lambda x: memory.circle_log_density(x, beta_end), t
        )
        generated = generate(run, denoiser, key)
        ends = make_descents(run, lambda _: denoiser)(None, generated, jnp.float32(s.attractors.time))
        return energy, solved, score_on_grid(run, denoiser, t), generated, ends

    key = training.sampling_keys((0,), s.seed)[0]
    energy, solved, score, generated, ends = jax.tree.map(np.asarray, everything(key))
    require_finite((None,), score[None], solved[None], t)
    write_landscape(run, workdir, None, energy, score, generated, ends)


def write_landscape(
    run: CircleRun,
    workdir: runs.Workdir,
    num_train: int | None,
    energy: np.ndarray,
    score: np.ndarray,
    generated: np.ndarray,
    ends: memory.Attractor,
) -> None:
    s = run.settings.attractors
    x, stiffness = np.asarray(ends.x), np.asarray(ends.stiffness)
    kind = memory.kind_of_attractor(x, stiffness, run.train[:num_train], s.distance, s.flat_below)
    workdir.write_npz(
        landscape_name(num_train),
        learned_energy=energy.reshape(run.grid.shape[:2]),
        learned_score=score.reshape(run.grid.shape),
        kind=kind.astype(np.int32),
        stiffness=stiffness.min(axis=-1),
        **exact_landscape(run, num_train, generated),
    )


def require_finite(sizes: tuple[int | None, ...], score: np.ndarray, solved: np.ndarray, t: float) -> None:
    """Stops the run where a score [member, point, 2] or a likelihood [member, point] failed."""
    for size, values, ok in zip(sizes, score, solved, strict=True):
        bad = int(np.sum(~(ok & np.isfinite(values).all(axis=-1))))
        if bad:
            raise InputError(
                f"the learned score of K={size} is not finite, or its likelihood not solvable, at "
                f"{bad} of {len(ok)} grid points at t={t}: train longer or lower train.learning_rate."
            )


def exact_landscape(run: CircleRun, num_train: int | None, generated: np.ndarray) -> dict[str, np.ndarray]:
    """The closed-form half of a landscape file; `num_train` None is the continuous circle."""
    s = run.settings
    if num_train is None:
        beta = s.landscape.theory_beta
        t = 1 / (2 * s.sigma**2 * beta)
        train = run.train[:1000]
        energy = lambda x, _: -memory.circle_log_density(x, beta) / beta  # noqa: E731
        score = lambda x, _: memory.circle_score(x, beta)  # noqa: E731
    else:
        t = s.landscape.time
        beta = run.beta(t)
        train = run.train[:num_train]
        energy = lambda x, patterns: -memory.log_density(x, patterns, t, run.process) / beta  # noqa: E731
        score = lambda x, patterns: memory.exact_score(x, patterns, t, run.process)  # noqa: E731
    points, patterns = run.points, jnp.asarray(train)
    at_points = functools.partial(jax.vmap, in_axes=(0, None))
    cluster, centroids = gather_clusters(generated, s.sampler.cluster_distance)
    everywhere = np.concatenate([points, generated, centroids])
    energies = np.asarray(jax.jit(at_points(energy))(everywhere, patterns))
    on_grid, on_generated, on_centroids = np.split(energies, np.cumsum([len(points), len(generated)]))
    return {
        "train": train,
        "grid": run.grid,
        "exact_energy": on_grid.reshape(run.grid.shape[:2]),
        "exact_score": np.asarray(jax.jit(at_points(score))(points, patterns)).reshape(run.grid.shape),
        "generated": generated,
        "generated_energy": on_generated,
        "cluster": cluster,
        "centroids": centroids,
        "centroid_energy": on_centroids,
        "time": np.asarray(t, np.float64),
        "beta": np.asarray(beta, np.float64),
    }


def gather_clusters(points: np.ndarray, distance: float) -> tuple[np.ndarray, np.ndarray]:
    """Agglomerative clusters (average linkage) of generated points [n, 2]: labels [n] and centroids [c, 2].

    Clusters are numbered from the largest; `distance` is the mean distance at which two stay apart.
    """
    if len(points) < 2:
        return np.zeros(len(points), np.int32), points[:1]
    from sklearn.cluster import AgglomerativeClustering

    clustering = AgglomerativeClustering(n_clusters=None, distance_threshold=distance, linkage="average")
    labels = clustering.fit_predict(points)
    order = np.argsort(-np.bincount(labels), kind="stable")
    labels = np.argsort(order)[labels].astype(np.int32)
    return labels, np.stack([points[labels == c].mean(axis=0) for c in range(len(order))])


def make_descents(run: CircleRun, denoiser_of: Callable[[Any], diffusion.Denoiser]) -> Callable:
    """descents(landscape, starts, t) -> one `memory.Attractor` per start."""

    def descents(landscape, starts, t):
        denoiser = denoiser_of(landscape)

        def one(x):
            return memory.descend(lambda x: denoiser(x, t), x, max_steps=run.settings.attractors.max_steps)

        return jax.vmap(one)(starts)

    return descents


def find_attractors(run: CircleRun, workdir: runs.Workdir, params: Any) -> None:
    """Stage 3: attractors.csv, and in minima.npz where the minima lie, of both landscapes at every time."""
    s = run.settings.attractors
    sizes = run.settings.num_train
    learned_descents = over_members(make_descents(run, run.denoiser), len(sizes))
    exact_descents = jax.jit(
        make_descents(run, lambda patterns: memory.exact_denoiser(patterns, run.process))
    )
    same_starts = np.broadcast_to(run.starts, (len(sizes), *run.starts.shape))
    rows, minima = [], []
    with runs.stage("attractors", len(s.times) * len(sizes), "landscapes") as stage:
        for t in s.times:
            times = np.full(len(sizes), t, np.float32)
            learned = jax.tree.map(np.asarray, learned_descents(params, same_starts, times))
            theory = {"ring_radius_theory": float(memory.ring_radius(run.beta(t)))}
            for m, size in enumerate(sizes):
                patterns = run.train[:size]
                # While they are few, each pattern is a start too, so that no sharp minimum is missed.
                few = size <= len(run.ring)
                starts = np.concatenate([run.starts, patterns]) if few else run.starts
                exact = jax.tree.map(np.asarray, exact_descents(patterns, starts, jnp.float32(t)))
                own = jax.tree.map(lambda leaf, m=m: leaf[m], learned)
                for name, ends in (("exact", exact), ("learned", own)):
                    counts, points = toy_memory.count_attractors(run, patterns, ends)
                    where = {"num_train": size, "time": t, "beta": run.beta(t), "landscape": name}
                    own_width = {"width": run.settings.model.width if name == "learned" else None}
                    rows.append(where | counts | theory | own_width)
                    minima += [(size, t, name == "learned", *x) for x in points]
                stage.advance(1)
    columns = np.array(minima, np.float64).reshape(-1, 5).T
    workdir.write_npz(
        "minima.npz", **dict(zip(("num_train", "time", "learned", "x", "y"), columns, strict=True))
    )
    workdir.write_csv("attractors.csv", sorted(rows, key=lambda row: (row["num_train"], row["landscape"])))


PROGRAM = launcher.Program(
    "circle",
    main,
    settings=CircleSettings,
    summary="Trains models on K points of a circle and compares what they generate with the "
    "closed-form energy of dense associative memory.",
    example="circle",
)
