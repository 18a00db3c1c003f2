"""What the shares mean: at which set size, by which rule, and how near to S unseen items are.

fractions.csv     one row for each K and rule (and width): the rule of the settings first, and then "held_out_rate"
repeats.csv       the spurious and generalized shares in sets of the same size at every K, and of the set as it is
copying.csv       whether the samples of each phase lie nearer to S than unseen items do (C_T)
transition.json   gains "critical_by_rule" and "critical_at_common_size" (of each width under by_width)

A row of repeats with several seeds is the mean over their sets.
"""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from memgen_jax import phases, runs, statistics, sweep
from memgen_jax.programs.transition import real_distances
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import (
    across_seeds,
    distances_of,
    each_width,
    load_samples,
    make_thresholds,
    shown_width,
    write_rows,
)

RATE_RULE = "held_out_rate"
FEWEST_PER_PHASE = 10  # samples of a phase from which C_T is given
REDRAWS = 500  # of the shares, for the interval of a size


@dataclasses.dataclass(frozen=True)
class Group:
    """The members of one K and width, one a seed, with their thresholds by one rule.

    Attributes:
      neighbors: per member, how many other samples lie within δ_s of each.
    """

    width: int | None
    num_train: int
    thresholds: phases.Thresholds
    labels: list[np.ndarray]
    neighbors: list[np.ndarray]

    def share(self, repeated: bool, size: int) -> statistics.Share:
        """The share of spurious (or else generalized) samples in sets of `size`, the mean over the seeds."""
        return statistics.mean_share(
            [
                statistics.share_of_repeats(near, own != phases.MEMORIZED, size, repeated=repeated)
                for near, own in zip(self.neighbors, self.labels, strict=True)
            ]
        )

    @property
    def num_samples(self) -> int:
        """Of one member."""
        return min(len(own) for own in self.labels)


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Writes the tables. After `tables.classify`."""
    fixed = make_thresholds(run, workdir)
    thresholds = {run.settings.phases.rule: dict.fromkeys(sizes_of(run), fixed)}
    if can_hold_rate(run):
        thresholds[RATE_RULE] = rate_thresholds(run, workdir)
    groups = {rule: make_groups(run, workdir, own) for rule, own in thresholds.items()}
    results = json.loads((workdir / "transition.json").read_text())
    by_width = each_width(run, results)
    for width in run.widths:
        own = {rule: [g for g in found if g.width == width] for rule, found in groups.items()}
        by_width[width]["critical_by_rule"] = {
            rule: critical(found, run.settings.phases.num_bootstrap) for rule, found in own.items()
        }
        by_width[width]["critical_at_common_size"] = {
            rule: critical_at(found, common_size(found)) for rule, found in own.items()
        }
    shown = by_width[shown_width(run)]
    results |= {name: shown[name] for name in ("critical_by_rule", "critical_at_common_size")}
    results["rules"] = {rule: own[max(own)].rule for rule, own in thresholds.items()}
    workdir.write_json("transition.json", results)
    everything = [(rule, group) for rule, found in groups.items() for group in found]
    common = common_size([group for _, group in everything])
    rows = itertools.chain(*(repeat_rows(rule, group, common) for rule, group in everything))
    write_rows(run, workdir, "repeats.csv", rows)
    if len(run.dataset.held_out):
        write_rows(run, workdir, "copying.csv", copying_rows(run, workdir, groups[run.settings.phases.rule]))
    write_rows(run, workdir, "fractions.csv", [fraction_row(*entry) for entry in everything])


def sizes_of(run: TransitionRun) -> list[int]:
    return sorted({member.num_train for member in run.members})


def can_hold_rate(run: TransitionRun) -> bool:
    """Whether there are held-out items enough for the rule of a fixed rate."""
    fewest = phases.fewest_held_out(run.settings.phases.false_positive_rate)
    smallest = min(run.num_samples(member) for member in run.members)
    return min(len(run.dataset.held_out), smallest) >= fewest


def rate_thresholds(run: TransitionRun, workdir: runs.Workdir) -> dict[int, phases.Thresholds]:
    """K -> the thresholds of the rule of a fixed rate at the size of its synthetic set."""
    real = np.concatenate([run.comparable_train, run.comparable_held_out])

    def own_distance(items: np.ndarray) -> np.ndarray:
        return run.metric.search(real[items], real[items], exclude_self=True).distance[:, 0]

    samples = {member.num_train: run.num_samples(member) for member in run.members}
    return {
        size: phases.held_out_rate(
            np.concatenate([real_distances.of_held_out(run, workdir, m) for m in run.one_a_subset(size)]),
            own_distance,
            len(real),
            samples[size],
            run.settings.phases.false_positive_rate,
        )
        for size in sizes_of(run)
    }


def make_groups(
    run: TransitionRun, workdir: runs.Workdir, thresholds: dict[int, phases.Thresholds]
) -> list[Group]:
    """Widths in the config's order, sizes ascending."""
    groups = []
    for width, size in itertools.product(run.widths, sizes_of(run)):
        own, labels, near = thresholds[size], [], []
        for member in run.members:
            if (member.width, member.num_train) == (width, size):
                found = distances_of(workdir, member)
                labels.append(
                    phases.classify(
                        found["train_distance"], found["synthetic_distance"], own.delta_m, own.delta_s
                    )
                )
                near.append(count_neighbors(run, workdir, member, own.delta_s))
        groups.append(Group(width, size, own, labels, near))
    return groups


def count_neighbors(
    run: TransitionRun, workdir: runs.Workdir, member: sweep.Member, delta_s: float
) -> np.ndarray:
    """How many other samples of its set lie within δ_s of each; kept in repeats/<member>.npz."""
    name, column = f"repeats/{member.name}.npz", f"delta_s={delta_s!r}"
    kept = workdir.read_npz(name) or {}
    if len(kept.get(column, ())) != len(distances_of(workdir, member)["train_distance"]):  # the set has grown
        samples = run.metric.vectors(load_samples(workdir, member))
        kept[column] = run.metric.count_within(samples, samples, delta_s, exclude_self=True)
        workdir.write_npz(name, **kept)
    return kept[column]


def fraction_row(rule: str, group: Group) -> dict[str, Any]:
    """One row of fractions.csv. The intervals of repeats know that these come in groups."""
    row = dataclasses.asdict(across_seeds(group.labels, group.num_train, group.thresholds))
    for phase, repeated in (("spurious", True), ("generalized", False)):
        low, high = group.share(repeated, group.num_samples).interval()
        row[f"{phase}_low"] = min(row[f"{phase}_low"], low)
        row[f"{phase}_high"] = max(row[f"{phase}_high"], high)
    row["rule"] = rule
    return row if group.width is None else row | {"width": group.width}


def repeat_rows(rule: str, group: Group, common: int) -> list[dict[str, Any]]:
    """Rows of repeats.csv of one K: at the common size, at the powers of two up to its own, and at its own."""
    rows = []
    for size in sorted({common, *statistics.powers_of_two(group.num_samples), group.num_samples}):
        row: dict[str, Any] = {"num_train": group.num_train, "num_samples": size, "rule": rule}
        row["delta_s"] = group.thresholds.delta_s
        for phase, repeated in (("spurious", True), ("generalized", False)):
            share = group.share(repeated, size)
            low, high = student_or(share, [each.value for each in each_share(group, repeated, size)])
            row |= {phase: share.value, f"{phase}_low": low, f"{phase}_high": high}
        rows.append(row if group.width is None else row | {"width": group.width})
    return rows


def each_share(group: Group, repeated: bool, size: int) -> list[statistics.Share]:
    """The share of every seed by itself."""
    return [
        dataclasses.replace(group, labels=[own], neighbors=[near]).share(repeated, size)
        for own, near in zip(group.labels, group.neighbors, strict=True)
    ]


def student_or(share: statistics.Share, values: Sequence[float]) -> tuple[float, float]:
    """The interval of the pooled share; Student's over the seeds where that is wider."""
    low, high = share.interval()
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
        low, high = max(0.0, min(low, share.value - half)), min(1.0, max(high, share.value + half))
    return float(low), float(high)


def critical(groups: Sequence[Group], resamples: int) -> dict[str, Any]:
    """`phases.critical_sizes` of the sets as they are."""
    return phases.critical_sizes(
        [group.num_train for group in groups], [group.labels for group in groups], resamples=resamples
    )


def common_size(groups: Sequence[Group]) -> int:
    """The largest set size that every K reaches."""
    return min(group.num_samples for group in groups)


def critical_at(groups: Sequence[Group], size: int) -> dict[str, Any]:
    """Where generalized samples reach one half, and where spurious ones peak, in sets of one size at every K.

    The interval of the first is over shares drawn again with the variance that they have.
    """
    sizes = np.array([group.num_train for group in groups], np.float64)
    spurious = [group.share(True, size) for group in groups]
    generalized = [group.share(False, size) for group in groups]
    weight = np.ones(len(sizes))

    def crossing(values: np.ndarray) -> float:
        return phases.half_crossing(sizes, values, weight, increasing=True)

    value = np.array([share.value for share in generalized])
    spread = np.sqrt([share.variance for share in generalized])
    random = np.random.default_rng(0)
    drawn = np.array(
        [crossing(np.clip(value + spread * random.standard_normal(len(value)), 0, 1)) for _ in range(REDRAWS)]
    )
    half, drawn = crossing(value), drawn[np.isfinite(drawn)]
    found = np.isfinite(half) and len(drawn) > 0
    low, high = np.quantile(drawn, [0.025, 0.975]) if found else (None, None)
    peak = int(np.argmax([share.value for share in spurious]))
    peak_low, peak_high = spurious[peak].interval()
    return {
        "num_samples": size,
        "generalized_half": {
            "num_train": half if found else None,
            "low": None if low is None else float(low),
            "high": None if high is None else float(high),
        },
        "spurious_peak": {
            "num_train": groups[peak].num_train if spurious[peak].value > 0 else None,
            "fraction": spurious[peak].value,
            "fraction_low": peak_low,
            "fraction_high": peak_high,
        },
    }


def copying_rows(run: TransitionRun, workdir: runs.Workdir, groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Rows of copying.csv: C_T of all samples, and of each phase, against the held-out items."""
    unseen = run.metric.vectors(run.dataset.held_out)
    rows = []
    for group in groups:
        members = [m for m in run.members if (m.width, m.num_train) == (group.width, group.num_train)]
        sets = [measured_copying(run, workdir, member, unseen) for member in members]
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
