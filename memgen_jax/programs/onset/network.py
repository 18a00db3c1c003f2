"""A network on Gaussian pixels: members -> training -> samples -> onset.csv -> figures, page (Onset 2024, Fig. 4).

checkpoints/, samples/, members.csv, metrics.jsonl   as `experiments.transition` writes them
onset.csv     one row for each n, source and reading:
  source      "model"; beside it, as controls, "fresh" (unseen originals in place of samples: a perfect
              model) and "copies" (training items in place of samples: a perfect copier)
  reading     how densities are estimated, see READINGS
onset.json    parameters, steps of every n, and the n at which P(Δ > 0) crosses one half, for each reading
"""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from memgen_jax import data, diffusion, onset, runs, sweep
from memgen_jax.errors import InputError, require_at_least, require_each_once, whole_numbers
from memgen_jax.programs.choices import DDPMSettings, UNetSettings
from memgen_jax.programs.launcher import FROM_PYTHON, Invocation
from memgen_jax.programs.onset import pages
from memgen_jax.programs.precision import ABSENT, require_precision
from memgen_jax.programs.settings import plain, settings_from

# Small sets of 10 training, 10 generated and 100 original images, drawn anew in each simulation, as
# (kernel width, integral); "whole" compares all items at once with the bootstrap of `onset.compare`.
SMALL_SET_READINGS = {
    "printed": ("leading", "grid"),  # the paper's caption: ε = σ/n, 16 points
    "closed": ("leading", "closed"),
    "silverman": ("silverman", "closed"),
}
READINGS = (*SMALL_SET_READINGS, "whole")
SOURCES = ("model", "fresh", "copies")


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """Gaussian pixels N(mean, std²) of `side` × `side` images; N originals beside the training items."""

    side: int = 16
    num_original: int = 100_000
    mean: float = 0.5
    std: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        require_at_least("data", self, side=1, seed=0)
        if not self.std > 0:
            raise InputError(f"data.std={self.std} must be above 0.")


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """Samples of every member: how many, and how drawn (see `diffusion.make_step`)."""

    name: str = "ancestral"
    num_steps: int = 10
    variance: str = "posterior"
    num_samples: int = 1000
    chunk_size: int = 250


@dataclasses.dataclass(frozen=True)
class MetricSettings:
    """The comparison.

    Attributes:
      num_simulations: of the small sets, and resamples of the whole ones.
      small_sets: training, generated and original images in one simulation.
      reading: of figures/network and the printed table, one of READINGS.
    """

    num_simulations: int = 200
    small_sets: tuple = (10, 10, 100)
    reading: str = "whole"

    def __post_init__(self) -> None:
        require_at_least("metric", self, num_simulations=1)
        if len(self.small_sets) != 3 or min(self.small_sets) < 2:
            raise InputError(f"metric.small_sets={self.small_sets} must be three numbers of at least 2.")
        if self.reading not in READINGS:
            raise InputError(f"metric.reading={self.reading!r} is not one of {', '.join(READINGS)}.")


@dataclasses.dataclass(frozen=True)
class NetworkOnsetSettings:
    """One run.

    Attributes:
      model: "network".
      num_train: the sizes n.
      seeds: replicates of every size; their simulations are pooled.
      unet, process: see `models.unet`, `diffusion.DDPM`.
      epochs: passes over the n items; 0 gives every member train.num_steps steps instead.
      matmul_precision: of float32 products and convolutions: "default" is the device's own (TF32 on an A100 or H100,
        bfloat16 passes on a TPU, float32 on a CPU), "high" three passes, "highest" float32 on all.
    """

    model: str
    num_train: tuple
    unet: UNetSettings
    process: DDPMSettings
    train: sweep.SweepTrainSettings
    epochs: int = 0
    seeds: tuple = (0,)
    matmul_precision: str = "default"
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    sampler: SamplerSettings = dataclasses.field(default_factory=SamplerSettings)
    metric: MetricSettings = dataclasses.field(default_factory=MetricSettings)

    def __post_init__(self) -> None:
        require_at_least("", self, epochs=0)
        require_precision(self.matmul_precision)
        for name in ("num_train", "seeds"):
            object.__setattr__(self, name, whole_numbers(name, getattr(self, name)))
            require_each_once(name, getattr(self, name))


class NetworkOnsetRun:
    """The settings resolved into data, members, network and process."""

    def __init__(self, config: ConfigDict):
        self.settings = s = settings_from(NetworkOnsetSettings, config)
        if not s.num_train or min(s.num_train) < s.metric.small_sets[0]:
            raise InputError(
                f"num_train={s.num_train} must hold sizes of at least {s.metric.small_sets[0]}, "
                "the training images of one simulation (metric.small_sets)."
            )
        _, generated, original = s.metric.small_sets
        if s.sampler.num_samples < generated:
            raise InputError(
                f"sampler.num_samples={s.sampler.num_samples} must be at least {generated}, the generated "
                "images of one simulation (metric.small_sets)."
            )
        if s.data.num_original < s.sampler.num_samples + original:
            raise InputError(
                f"data.num_original={s.data.num_original} must be at least {s.sampler.num_samples + original}: "
                f"sampler.num_samples for the control and {original} for one simulation (metric.small_sets)."
            )
        total = max(s.num_train)
        if total > s.data.num_original:
            raise InputError(
                f"num_train={total} lies beyond data.num_original={s.data.num_original}, the originals that stand for "
                "the truth: give smaller sizes, or more originals."
            )
        pixels = data.gaussian_pixels(
            (s.data.side, s.data.side, 1),
            total,
            s.data.num_original,
            mean=s.data.mean,
            std=s.data.std,
            seed=s.data.seed,
        )
        self.train, self.original = pixels.train, pixels.held_out
        self.process = s.process.build()
        self.network = s.unet.build(self.train.shape[1:])
        self.members = sweep.make_members(
            s.num_train,
            total=total,
            batch_size=s.train.batch_size,
            seeds=s.seeds,
            repeat_small=s.train.repeat_small,
        )
        self.step = diffusion.make_step(s.sampler.name, variance=s.sampler.variance)
        diffusion.time_grid(self.process, s.sampler.num_steps)  # refuses a bad number of steps now

    def num_steps(self, num_train: int) -> int:
        """Optimiser steps of a member: epochs times the batches that hold n items."""
        s = self.settings
        if s.epochs == 0:
            return s.train.num_steps
        return s.epochs * math.ceil(num_train / s.train.batch_size)

    def train_settings(self, num_steps: int) -> sweep.SweepTrainSettings:
        return dataclasses.replace(self.settings.train, num_steps=num_steps)

    def num_parameters(self) -> int:
        shapes = jax.eval_shape(self.network.init_fn, jax.random.key(0))
        return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))


SETTINGS = NetworkOnsetSettings


def main(config: ConfigDict, workdir_path: str, invocation: Invocation = FROM_PYTHON) -> None:
    run = NetworkOnsetRun(config)
    workdir = runs.Workdir(
        workdir_path, plain(run.settings), absent=ABSENT, command=invocation.command, free=("metric.reading",)
    )
    workdir.write_environment()
    workdir.write_csv("members.csv", [dataclasses.asdict(member) for member in run.members])
    print(f"A network of {run.num_parameters():,} parameters for each of {len(run.members)} members.")
    mesh = sweep.member_mesh(data_parallel=run.settings.train.data_parallel)
    train(run, workdir, mesh)
    synthesize(run, workdir, mesh)
    with runs.stage("compare densities", len(run.settings.num_train), "sizes") as stage:
        rows, summary = compare(run, workdir, stage)
    workdir.write_csv("onset.csv", rows)
    workdir.write_json("onset.json", summary)
    draw(run, workdir, rows)
    pages.write_network(run.settings.metric.reading, workdir, rows, summary)
    print_outcome(run, rows)
    print(
        f"Table, figures and the page: {workdir / 'onset.csv'}, {workdir / 'figures'}, {workdir / 'report.html'}."
    )


def train(run: NetworkOnsetRun, workdir: runs.Workdir, mesh) -> None:
    """Stage 1: members with the same number of steps are trained together."""
    total = sum(run.num_steps(member.num_train) for member in run.members)
    with runs.stage("train", total, "model-steps", workdir) as stage:
        for num_steps in sorted({run.num_steps(member.num_train) for member in run.members}):
            sweep.train_members(
                tuple(m for m in run.members if run.num_steps(m.num_train) == num_steps),
                to_network(run.train),
                model=run.network,
                process=run.process,
                settings=run.train_settings(num_steps),
                mesh=mesh,
                folder=workdir / "checkpoints",
                progress=stage,
            )


def synthesize(run: NetworkOnsetRun, workdir: runs.Workdir, mesh) -> None:
    """Stage 2: samples/<member>.npz in the network's unit."""
    s = run.settings

    def params_of(member: sweep.Member):
        settings = run.train_settings(run.num_steps(member.num_train))
        return sweep.load_ema(member, run.network, settings, workdir / "checkpoints")

    networks = sweep.network_source(run.network, run.process, s.train, workdir / "checkpoints")
    source = networks._replace(params_of=params_of)  # the number of steps depends on K
    sampler = sweep.Sampler(
        run.process,
        run.step,
        s.sampler.num_steps,
        run.train.shape[1:],
        images=False,
        clip=True,
        chunk_size=s.sampler.chunk_size,
        steps_per_call=sweep.steps_per_call(s.train.steps_per_call, run.network),
    )
    with runs.stage("sample", len(run.members) * s.sampler.num_samples, "samples") as stage:
        sweep.synthesize(
            run.members,
            lambda member: s.sampler.num_samples,
            source,
            sampler,
            mesh=mesh,
            workdir=workdir,
            progress=stage,
        )


def to_network(pixels: np.ndarray) -> np.ndarray:
    """[0, 1] to [-1, 1], as Ho et al. 2020 scale images: Gaussian pixels get mean 0 and spread 0.2."""
    return 2 * pixels - 1


def from_network(pixels: np.ndarray) -> np.ndarray:
    return (pixels + 1) / 2


def compare(
    run: NetworkOnsetRun, workdir: runs.Workdir, stage: runs.Stage
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Stage 3: the rows of onset.csv, and onset.json."""
    s = run.settings
    # The "fresh" control takes originals of its own, so that none meets itself in ρ_O.
    count = s.sampler.num_samples
    fresh, original = flat(run.original[:count]), flat(run.original[count:])
    rows: list[dict[str, Any]] = []
    signs: dict[tuple[str, str], list[np.ndarray]] = {}
    for size in sorted(set(s.num_train)):
        train_set = flat(run.train[:size])
        sets = {
            "model": [load_samples(workdir, m) for m in run.members if m.num_train == size],
            "fresh": [fresh],
            "copies": [np.resize(train_set, (max(size, s.metric.small_sets[1]), train_set.shape[1]))],
        }
        for source, samples in sets.items():
            for reading in READINGS:
                found = [one_reading(run, reading, train_set, one, original) for one in samples]
                e_tg, e_og, delta = (np.concatenate(part) for part in zip(*found, strict=True))
                signs.setdefault((source, reading), []).append(delta)
                probability, low, high = onset.probability_positive(delta)
                row = {"num_train": size, "source": source, "reading": reading}
                row |= {"num_steps": run.num_steps(size), "num_seeds": len(samples)}
                row |= mean_and_error("e_tg", e_tg) | mean_and_error("e_og", e_og)
                rows.append(row | {
                    "p_delta_positive": probability,
                    "p_delta_positive_low": low,
                    "p_delta_positive_high": high,
                })  # fmt: skip
        stage.advance(1)
    for row in rows:  # Ê: scaled by the value at the smallest n (caption of Fig. 4)
        first = next(r for r in rows if (r["source"], r["reading"]) == (row["source"], row["reading"]))
        rounding = 1e-5 * max(first["e_tg"], first["e_og"])  # copies are at distance 0 from S, but for that
        for name in ("e_tg", "e_og"):
            scale = first[name] if first[name] > rounding else math.nan
            row[f"{name}_scaled"] = row[name] / scale
            row[f"{name}_scaled_low"] = (row[name] - 2 * row[f"{name}_se"]) / scale
            row[f"{name}_scaled_high"] = (row[name] + 2 * row[f"{name}_se"]) / scale
        row["width"] = s.unet.width if row["source"] == "model" else None
    sizes = sorted(set(s.num_train))
    summary = {
        "num_parameters": run.num_parameters(),
        "num_steps": {str(size): run.num_steps(size) for size in sizes},
        "critical_num_train": {
            reading: onset.critical_size(
                sizes, np.stack(signs["model", reading]), bootstrap=reading == "whole"
            )
            for reading in READINGS
        },
    }
    return rows, summary


def one_reading(
    run: NetworkOnsetRun, reading: str, train_set: np.ndarray, samples: np.ndarray, original: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """E_TG, E_OG and Δ of every simulation; of the whole sets, single distances and the bootstrap's Δ."""
    s = run.settings
    if reading == "whole":
        found = onset.compare(train_set, samples, original, resamples=s.metric.num_simulations)
        return np.array([found.e_tg]), np.array([found.e_og]), found.replicates
    width, integral = SMALL_SET_READINGS[reading]
    small = onset.compare_small_sets(
        train_set,
        samples,
        original,
        sigma=s.data.std,
        sizes=s.metric.small_sets,
        width=width,
        integral=integral,
        num_simulations=s.metric.num_simulations,
    )
    return small.e_tg, small.e_og, small.e_tg - small.e_og


def flat(items: np.ndarray) -> np.ndarray:
    return items.reshape(len(items), -1)


def load_samples(workdir: runs.Workdir, member: sweep.Member) -> np.ndarray:
    arrays = workdir.read_npz(f"samples/{member.name}.npz", "points")
    if arrays is None:
        raise InputError(f"samples/{member.name}.npz is missing or damaged in {workdir.path}: run it again.")
    return flat(from_network(arrays["points"]))


def mean_and_error(name: str, values: np.ndarray) -> dict[str, float]:
    error = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return {name: float(values.mean()), f"{name}_se": error}


def draw(run: NetworkOnsetRun, workdir: runs.Workdir, rows: list[dict[str, Any]]) -> None:
    """figures/network.png and .pdf."""
    from memgen_jax.report import onset_figures, style

    style.save(onset_figures.network(rows, run.settings.metric.reading), workdir / "figures" / "network")


def print_outcome(run: NetworkOnsetRun, rows: list[dict[str, Any]]) -> None:
    chosen = [row for row in rows if row["reading"] == run.settings.metric.reading]
    by_source = {source: [row for row in chosen if row["source"] == source] for source in SOURCES}
    lines = [
        (
            str(model["num_train"]),
            str(model["num_steps"]),
            f"{model['e_tg_scaled']:.3f}",
            f"{model['e_og_scaled']:.3f}",
            *(f"{row['p_delta_positive']:.3f}" for row in (model, fresh, copies)),
        )
        for model, fresh, copies in zip(*by_source.values(), strict=True)
    ]
    header = ("n", "steps", "Ê_TG", "Ê_OG", "P(Δ>0)", "of fresh data", "of copies")
    print(f"Reading: {run.settings.metric.reading}.")
    print(runs.table(header, lines))
