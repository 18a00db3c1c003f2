"""The third regime, beside unseen data: are new samples as new as these, and as good?

copying.csv    whether the samples of each phase lie nearer to S than unseen items do (C_T)
coverage.csv   whether the samples lie where unseen items lie, and reach all of them: density and coverage in sets of
               one size, the largest that every K reaches, beside what honest data would give

Only where items are held out.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from memgen_jax import phases, runs, statistics, sweep
from memgen_jax.programs.transition import real_distances
from memgen_jax.programs.transition.estimates import Group
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import distances_of, load_samples, write_rows
from memgen_jax.programs.transition.thresholds import common_size

FEWEST_PER_PHASE = 10  # samples of a phase from which C_T is given
MOST_COVERED = 4096  # held-out items, and samples, that coverage looks at


def tabulate(run: TransitionRun, workdir: runs.Workdir, groups: Sequence[Group]) -> None:
    """Writes both tables.

    Args:
      groups: those of the first rule, from `estimates.tabulate`.
    """
    if not len(run.dataset.held_out):
        return
    write_rows(run, workdir, "copying.csv", copying_rows(run, workdir, groups))
    if can_cover(run):
        write_rows(run, workdir, "coverage.csv", coverage_rows(run, workdir, groups))


def copying_rows(run: TransitionRun, workdir: runs.Workdir, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Rows of copying.csv: C_T of all samples, and of each phase, against the held-out items."""
    unseen = run.metric.vectors(run.dataset.held_out)
    rows = []
    for group in groups:
        sets = [measured_copying(run, workdir, member, unseen) for member in members_of(run, group)]
        for phase in ("all", *phases.NAMES):
            row: dict[str, Any] = {"num_train": group.num_train, "phase": phase}
            row |= pooled_copying(sets, group.labels, phase)
            rows.append(row if group.width is None else row | {"width": group.width})
    return rows


class MeasuredCopying(NamedTuple):
    """One member's samples and the unseen items: how far each lies from S, and its cell of S."""

    distance: np.ndarray
    cell: np.ndarray
    unseen_distance: np.ndarray
    unseen_cell: np.ndarray


def measured_copying(
    run: TransitionRun, workdir: runs.Workdir, member: sweep.Member, unseen: np.ndarray
) -> MeasuredCopying:
    train = run.comparable_train_of(member)
    cells = statistics.Cells(train)
    return MeasuredCopying(
        distances_of(workdir, member)["train_distance"],
        cells.of(run.metric.vectors(load_samples(workdir, member))),
        real_distances.of_held_out(run, workdir, member),
        cells.of(unseen),
    )


def pooled_copying(
    sets: Sequence[MeasuredCopying], labels: Sequence[np.ndarray], phase: str
) -> dict[str, Any]:
    """The cells of copying.csv of one phase: means of C_T over the seeds, the worst cell of any."""
    c_t, lowest, near = [], [], []
    for own, label in zip(sets, labels, strict=True):
        chosen = label >= 0 if phase == "all" else label == phases.NAMES.index(phase)
        distance = own.distance[chosen]
        near.append(distance)
        if min(len(distance), len(own.unseen_distance)) >= FEWEST_PER_PHASE:
            c_t.append(statistics.data_copying(own.unseen_distance, distance))
        found = statistics.lowest_cell(own.unseen_distance, distance, own.unseen_cell, own.cell[chosen])
        lowest += [found] if found is not None else []
    distance = np.concatenate(near)
    return {
        "num_samples": len(distance),
        "num_held_out": len(sets[0].unseen_distance),
        "c_t": float(np.mean(c_t)) if c_t else None,
        "c_t_cells_low": min(lowest, default=None),
        "median_distance": float(np.median(distance)) if len(distance) else None,
        "held_out_median": float(np.median(np.concatenate([own.unseen_distance for own in sets]))),
    }


def can_cover(run: TransitionRun) -> bool:
    """Whether there are held-out items enough for a ball around each."""
    return len(run.dataset.held_out) > statistics.BALL


class Balls:
    """The balls around the held-out items, for any set of samples."""

    def __init__(self, run: TransitionRun):
        self._run = run
        self._unseen = run.metric.vectors(run.dataset.held_out[:MOST_COVERED])
        others = run.metric.search(self._unseen, self._unseen, k=statistics.BALL, exclude_self=True)
        self._radius = others.distance[:, -1:].astype(np.float64)
        self.num_unseen = len(self._unseen)

    def coverage(self, workdir: runs.Workdir, member: sweep.Member, size: int) -> statistics.Coverage:
        """Density and coverage of a member's samples, in sets of `size`."""
        samples = self._run.metric.vectors(load_samples(workdir, member)[:MOST_COVERED])
        inside = self._run.metric.count_within(self._unseen, samples, self._radius)[:, 0]
        return statistics.density_and_coverage(inside, len(samples), min(size, len(samples)))

    def expected(self, size: int) -> float:
        """The coverage of as many honest items."""
        return statistics.expected_coverage(self.num_unseen, size)


def coverage_rows(run: TransitionRun, workdir: runs.Workdir, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Rows of coverage.csv; with several seeds means, and Student's intervals over them."""
    balls, size = Balls(run), min(common_size(run), MOST_COVERED)
    rows = []
    for group in groups:
        found = [balls.coverage(workdir, member, size) for member in members_of(run, group)]
        row: dict[str, Any] = {"num_train": group.num_train, "num_samples": size}
        row |= {"num_held_out": balls.num_unseen, "ball": statistics.BALL}
        for name in statistics.Coverage._fields:
            values = [getattr(one, name) for one in found]
            low, high = statistics.student_interval(values) if len(values) > 1 else (None, None)
            row |= {name: float(np.mean(values)), f"{name}_low": low, f"{name}_high": high}
        row |= {"density_expected": 1.0, "coverage_expected": balls.expected(size)}
        rows.append(row if group.width is None else row | {"width": group.width})
    return rows


def members_of(run: TransitionRun, group: Group) -> list[sweep.Member]:
    return [m for m in run.members if (m.width, m.num_train) == (group.width, group.num_train)]
