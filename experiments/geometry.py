"""How deep are the attractors of memorized, spurious and generalized samples?

  samples per phase -> basins -> curvature -> energy gaps -> tables with a rank test -> figures and the page

Takes a finished transition run (`--config.run=DIR`) or a PyTorch pipeline on disk (`--config.pipeline=PATH`).
Every model's measurements are one file, `measured/<model>.npz`; a whole one is not measured again, so the
same command continues an interrupted run.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from experiments import door, geometry_report, geometry_sources
from experiments.geometry_sources import Group, Source
from memgen_jax import geometry, phases, sweep
from memgen_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class SelectSettings:
    """Which samples are measured.

    Attributes:
      per_phase: samples per model and phase, the most certain ones first.
      phases: phases that must occur; empty takes those that do.
      num_train: sizes K of a transition run; empty takes all.
      width: width of the networks, where the run has several; 0 takes its first.
    """

    per_phase: int
    phases: tuple = ()
    num_train: tuple = ()
    width: int = 0


@dataclasses.dataclass(frozen=True)
class BasinSettings:
    """See `geometry.basin`; `metric` is "l2" or "lpips" (squared), and `delta` is in its scale.

    Attributes:
      levels: number of equal fractions of the process's largest time, or the fractions themselves.
      levels_at_once: levels in memory together; 0 for all.
    """

    metric: str
    delta: float
    levels: int | tuple = 20
    copies: int = geometry.basins.COPIES
    num_steps: int = geometry.basins.STEPS
    required: float = geometry.basins.REQUIRED
    levels_at_once: int = 0


@dataclasses.dataclass(frozen=True)
class CurvatureSettings:
    """How spectra are taken.

    Attributes:
      times: fractions of the process's largest time; the first is the one that the figures against K use.
      near_zero: singular values below it count as near zero.
      full_up_to: dimension up to which the whole Jacobian is taken; above, the matrix-free estimates.
      memory_megabytes: what the columns of one Jacobian may take at a time.
      columns_at_once: columns of a Jacobian, or of the matrix-free subspace, in memory together; 0 takes as
        many as the memory allows (Jacobian) or all (subspace).
      rank, iterations, probes: of the matrix-free estimates.
      draws: noise draws of the sharpness.
    """

    times: tuple
    near_zero: float = geometry.curvature.NEAR_ZERO
    full_up_to: int = 3072
    memory_megabytes: int = 512
    rank: int = 32
    iterations: int = 8
    probes: int = 32
    columns_at_once: int = 0
    draws: int = 8


@dataclasses.dataclass(frozen=True)
class EnergyGapSettings:
    """The potential between a sample and `references` other samples of its model.

    Attributes:
      time: fraction of the process's largest time.
      references: other samples, over which the gap is averaged.
      points: of the trapezoid rule.
    """

    time: float
    references: int = 8
    points: int = 65


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How a pipeline's samples are drawn and labelled (unused with a transition run).

    Attributes:
      samples_per_prompt: seeds per prompt; in all, for a pipeline without prompts.
      metric: how pictures are compared for their labels: "l2" (in [-1, 1], not squared) or "lpips" (squared).
      delta_m, delta_s: thresholds in its scale, see `phases.classify`.
    """

    samples_per_prompt: int = 0
    guidance_scale: float = 7.5
    num_steps: int = 50
    seed: int = 0
    batch_size: int = 8
    metric: str = "l2"
    delta_m: float = 0.0
    delta_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class Settings:
    """One geometry run; exactly one of `run` and `pipeline` is given.

    Attributes:
      run: folder of a finished transition run.
      pipeline: diffusers folder; `prompts` is a text file (`bridges.read_prompts`), and `train` pictures of
        its training set, where known (`data.load`).
      samples_at_once: samples whose basins and spectra are in memory together.
      resamples: permutations of the rank tests.
    """

    select: SelectSettings
    basins: BasinSettings
    curvature: CurvatureSettings
    energy_gap: EnergyGapSettings
    sampling: SamplingSettings = SamplingSettings()
    run: str = ""
    pipeline: str = ""
    prompts: str = ""
    train: str = ""
    seed: int = 0
    samples_at_once: int = 8
    resamples: int = 1999


def main(config: ConfigDict, workdir_path: str) -> None:
    settings = door.settings(Settings, config)
    check(settings)
    workdir = sweep.Workdir(workdir_path, door.plain(config))
    if (workdir / "report.html").exists():
        print(f"This run is finished: {workdir / 'report.html'}.")
        return
    if settings.run:
        source = geometry_sources.from_run(settings)
    else:
        source = geometry_sources.from_pipeline(settings, workdir)
    workdir.write_environment()
    total = sum(len(group.items) for group in source.groups)
    with door.stage("measure basins and curvature", total, "samples") as stage:
        measure = Measurement(settings, source)
        for group in source.groups:
            name = f"measured/{group.name}.npz"
            if len(group.items) and workdir.read_npz(name, "recovered", "energy_gap") is None:
                workdir.write_npz(name, **measure(group, stage.advance))
    with door.stage("tables, figures and page", 1, "report"):
        geometry_report.report(settings, source, workdir)
    geometry_report.print_outcome(workdir)
    print(f"Figures and the page: {workdir / 'figures'}, {workdir / 'report.html'}.")


def check(settings: Settings) -> None:
    """Refuses settings that cannot work before anything is loaded."""
    if bool(settings.run) == bool(settings.pipeline):
        raise InputError(
            "give either --config.run=DIR, a finished transition run, "
            "or --config.pipeline=PATH, a diffusers folder."
        )
    for name, metric in (("basins", settings.basins.metric), ("sampling", settings.sampling.metric)):
        if metric not in geometry_report.METRICS:
            raise InputError(f"{name}.metric={metric!r} is not one of {', '.join(geometry_report.METRICS)}.")
    if not settings.basins.delta > 0:
        raise InputError(f"basins.delta={settings.basins.delta} must be positive.")
    fractions = (*settings.curvature.times, settings.energy_gap.time)
    if not settings.curvature.times or not all(0 < fraction <= 1 for fraction in fractions):
        raise InputError(
            f"curvature.times={settings.curvature.times} and energy_gap.time={settings.energy_gap.time} are "
            "fractions of the process's largest time: give numbers in (0, 1]."
        )
    for name, value in (
        ("select.per_phase", settings.select.per_phase),
        ("samples_at_once", settings.samples_at_once),
        ("energy_gap.references", settings.energy_gap.references),
        ("curvature.draws", settings.curvature.draws),
        ("resamples", settings.resamples),
    ):
        if value < 1:
            raise InputError(f"{name}={value} must be at least 1.")


def levels_of(settings: BasinSettings, process) -> np.ndarray:
    """The times of the scan, ascending."""
    if isinstance(settings.levels, int):
        return geometry.default_levels(process, settings.levels)
    levels = np.asarray(settings.levels, np.float32)
    if not len(levels) or np.any(np.diff(levels) <= 0) or levels[0] <= 0 or levels[-1] > 1:
        raise InputError(f"basins.levels={settings.levels}: give ascending fractions in (0, 1].")
    return levels * np.float32(process.t_max)


class Measurement:
    """Everything that is measured about a group's samples, compiled once for all groups."""

    def __init__(self, settings: Settings, source: Source):
        self.settings, self.source, self.process = settings, source, source.process
        self.levels = levels_of(settings.basins, self.process)
        self.times = np.asarray(settings.curvature.times, np.float32) * np.float32(self.process.t_max)
        self.key = jax.random.key(settings.seed)
        self.size = min(settings.samples_at_once, max(len(group.items) for group in source.groups))
        self.basins = self._over_samples(self._basin)
        self.curvature = self._over_samples(self._curvature)
        self.gaps = self._over_samples(self._gap)
        self.returns = self._over_samples(self._return)
        self._columns: int | None = None

    def __call__(self, group: Group, advanced: Callable[[int], None]) -> dict[str, np.ndarray]:
        """Arrays of one group, all with a leading sample axis."""
        params = jax.tree.map(jnp.asarray, group.params_of())
        self._plan(params, group)
        parts: list[dict[str, Any]] = []
        size = self.size
        for first in range(0, len(group.items), size):
            # A short portion is filled up by repeating a sample: one shape for all, one compilation.
            rows = np.minimum(np.arange(first, first + size), len(group.items) - 1)
            sample = (
                params,
                geometry_sources.as_conditions(group, rows),
                self._keys(group, rows),
                jnp.asarray(group.items[rows]),
            )
            part = self.basins(*sample, jnp.asarray(self.levels))._asdict()
            at_times = [self.curvature(*sample, jnp.float32(t)) for t in self.times]
            part |= jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *at_times)
            time = jnp.float32(self.settings.energy_gap.time * self.process.t_max)
            part["energy_gap"] = self.gaps(*sample, (time, jnp.asarray(group.references)))
            kept = min(size, len(group.items) - first)
            parts.append({name: np.asarray(value)[:kept] for name, value in part.items()})
            advanced(kept)
        measured = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        measured |= {
            "label": group.labels,
            "sample": group.samples,
            "levels": self.levels,
            "times": self.times,
        }
        measured["dim"] = np.full(len(group.items), group.items[0].size)
        return measured | self._pictures(params, group)

    def _over_samples(self, function: Callable) -> Callable:
        """jit of vmap over (condition, key, item), with parameters and one more argument shared."""
        return jax.jit(jax.vmap(function, in_axes=(None, 0, 0, 0, None)))

    def _keys(self, group: Group, rows: np.ndarray) -> jax.Array:
        """One key per sample, named by the model and the sample's number."""
        key = self.key
        for part in group.key_parts:
            key = jax.random.fold_in(key, part)
        return jax.vmap(lambda sample: jax.random.fold_in(key, sample))(jnp.asarray(group.samples[rows]))

    def _plan(self, params, group: Group) -> None:
        """Columns of a Jacobian at a time, within the memory that the samples at once share."""
        dim = group.items[0].size
        settings = self.settings.curvature
        if self._columns is None and dim <= settings.full_up_to:
            if settings.columns_at_once:
                self._columns = settings.columns_at_once
                return
            conditions = geometry_sources.as_conditions(group, np.array([0]))
            condition = None if conditions is None else conditions[0]
            self._columns = geometry.columns_within(
                settings.memory_megabytes * 2**20 // self.settings.samples_at_once,
                jnp.asarray(group.items[0]),
                jnp.float32(self.times[0]),
                self.source.denoiser_of(params, condition),
                self.process,
            )

    def _basin(self, params, condition, key, item, levels):
        settings = self.settings.basins
        return geometry.basin(
            key,
            item,
            levels,
            self.source.in_range(self.source.denoiser_of(params, condition)),
            self.process,
            delta=settings.delta,
            distance=self._distance(params),
            copies=settings.copies,
            num_steps=settings.num_steps,
            required=settings.required,
            levels_at_once=settings.levels_at_once or None,
        )

    def _distance(self, params) -> Callable:
        if self.settings.basins.metric == "l2":
            return geometry.basins.l2
        picture_of = self.source.picture_of
        assert picture_of is not None  # `geometry_sources.check_metric` asked
        return geometry.basins.lpips_between(lambda item: picture_of(params, item))

    def _curvature(self, params, condition, key, item, t) -> dict[str, jax.Array]:
        settings, process = self.settings.curvature, self.process
        denoiser = self.source.denoiser_of(params, condition)
        sharpness = geometry.sharpness(
            jax.random.fold_in(key, 2), item, t, denoiser, process, draws=settings.draws
        )
        result = {"sharpness": jnp.mean(sharpness)}
        if self._columns is not None:
            full = geometry.spectrum(item, t, denoiser, process, columns_per_chunk=self._columns)
            return result | full._asdict()
        free = geometry.flat_directions(
            jax.random.fold_in(key, 3),
            item,
            t,
            denoiser,
            process,
            rank=min(settings.rank, item.size),
            iterations=settings.iterations,
            columns_at_once=settings.columns_at_once or None,
        )
        trace = geometry.curvature_trace(
            jax.random.fold_in(key, 4), item, t, denoiser, process, probes=settings.probes
        )
        return result | {
            "smallest_singular_values": free.singular_values,
            "slopes": free.slopes,
            "trace": trace.mean,
            "trace_error": trace.standard_error,
            "scaled_score": geometry.scaled_score(item, t, denoiser, process),
        }

    def _gap(self, params, condition, key, item, time_references):
        time, references = time_references
        denoiser = self.source.denoiser_of(params, condition)

        def one(reference):
            gap, _ = geometry.energy_gap(
                item, reference, time, denoiser, self.process, points=self.settings.energy_gap.points
            )
            return gap

        return jnp.mean(jax.lax.map(one, references))

    def _return(self, params, condition, key, item, t):
        denoiser = self.source.in_range(self.source.denoiser_of(params, condition))
        there_and_back = geometry.go_and_return(
            jax.random.fold_in(key, 5),
            item,
            t,
            denoiser,
            self.process,
            num_steps=self.settings.basins.num_steps,
        )
        picture_of = self.source.picture_of
        assert picture_of is not None  # `_pictures` asked
        return tuple(picture_of(params, picture) for picture in (item, *there_and_back))

    def _pictures(self, params, group: Group) -> dict[str, np.ndarray]:
        """The most certain sample of each label, noised to several levels, and what came back."""
        if self.source.picture_of is None:
            return {}
        labels, rows = np.unique(group.labels, return_index=True)
        rows = np.resize(rows, len(phases.NAMES))  # repeated to one shape for all groups
        sample = (
            params,
            geometry_sources.as_conditions(group, rows),
            self._keys(group, rows),
            jnp.asarray(group.items[rows]),
        )
        shown = [
            self.returns(*sample, jnp.float32(part * self.process.t_max))
            for part in geometry_report.PICTURE_TIMES
        ]
        return {
            "shown_label": labels,
            "shown_sample": np.asarray(shown[0][0])[: len(labels)],
            "shown_noised": np.stack([np.asarray(noised) for _, noised, _ in shown], 1)[: len(labels)],
            "shown_back": np.stack([np.asarray(back) for _, _, back in shown], 1)[: len(labels)],
        }


if __name__ == "__main__":
    door.enter(main)
