"""How deep are the attractors of memorized, spurious and generalized samples?

  samples per phase -> basins -> curvature -> energy gaps -> tables with a rank test -> figures and the page

Takes a finished transition run (`--config.run=DIR`) or a PyTorch pipeline on disk (`--config.pipeline=PATH`).
Every model's measurements are one file, `measured/<model>.npz`; a whole one is not measured again, so the
same command continues an interrupted run.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from memgen_jax import geometry, phases, runs
from memgen_jax.programs import launcher, precision
from memgen_jax.programs.geometry import report, sources
from memgen_jax.programs.geometry.settings import GeometrySettings, check, levels_of
from memgen_jax.programs.geometry.sources import Group, Source
from memgen_jax.programs.launcher import FROM_PYTHON, Invocation
from memgen_jax.programs.settings import plain, settings_from


def main(config: ConfigDict, workdir_path: str, invocation: Invocation = FROM_PYTHON) -> None:
    settings = settings_from(GeometrySettings, config)
    check(settings)
    workdir = runs.Workdir(workdir_path, plain(settings), absent=precision.ABSENT, command=invocation.command)
    if (workdir / "report.html").exists():
        print(f"This run is finished: {workdir / 'report.html'}.")
        return
    with precision.products(settings.matmul_precision):
        work(settings, workdir)


def work(settings: GeometrySettings, workdir: runs.Workdir) -> None:
    """The stages; what is measured is not measured again."""
    if settings.run:
        source = sources.from_run(settings)
    else:
        source = sources.from_pipeline(settings, workdir)
    workdir.write_environment()
    total = sum(len(group.items) for group in source.groups)
    with runs.stage("measure basins and curvature", total, "samples") as stage:
        measure = Measurement(settings, source)
        for group in source.groups:
            name = f"measured/{group.name}.npz"
            if len(group.items) and workdir.read_npz(name, "recovered", "energy_gap") is None:
                workdir.write_npz(name, **measure(group, stage.advance))
    with runs.stage("tables, figures and page", 1, "report"):
        report.report(settings, source, workdir)
    report.print_outcome(workdir)
    print(f"Figures and the page: {workdir / 'figures'}, {workdir / 'report.html'}.")


class Measurement:
    """Everything that is measured about a group's samples, compiled once for all groups."""

    def __init__(self, settings: GeometrySettings, source: Source):
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
                sources.as_conditions(group, rows),
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
            "unit": group.units,
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
            conditions = sources.as_conditions(group, np.array([0]))
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
        measure = geometry.Basins(
            self.source.in_range(self.source.denoiser_of(params, condition)),
            self.process,
            levels,
            delta=settings.delta,
            distance=self._distance(params),
            copies=settings.copies,
            num_steps=settings.num_steps,
            required=settings.required,
            levels_at_once=settings.levels_at_once or None,
        )
        return measure(key, item)

    def _distance(self, params) -> Callable:
        picture_of = self.source.picture_of
        pictures = functools.partial(picture_of, params) if picture_of else None
        return self.source.metric.between(pictures)

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
        """The first sample of each label, noised to several levels, and what came back."""
        if self.source.picture_of is None:
            return {}
        labels, rows = np.unique(group.labels, return_index=True)
        rows = np.resize(rows, len(phases.NAMES))  # repeated to one shape for all groups
        sample = (
            params,
            sources.as_conditions(group, rows),
            self._keys(group, rows),
            jnp.asarray(group.items[rows]),
        )
        shown = [
            self.returns(*sample, jnp.float32(part * self.process.t_max)) for part in report.PICTURE_TIMES
        ]
        return {
            "shown_label": labels,
            "shown_sample": np.asarray(shown[0][0])[: len(labels)],
            "shown_noised": np.stack([np.asarray(noised) for _, noised, _ in shown], 1)[: len(labels)],
            "shown_back": np.stack([np.asarray(back) for _, _, back in shown], 1)[: len(labels)],
        }


PROGRAM = launcher.Program(
    "geometry",
    main,
    settings=GeometrySettings,
    summary="Measures basins, curvature and energy gaps around the samples of a finished run "
    "(--config.run=DIR) or of a pipeline folder (--config.pipeline=PATH).",
    example="geometry_digits",
)
