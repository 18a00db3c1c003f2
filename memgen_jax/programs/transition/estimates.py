"""What the shares mean: at which set size, by which rule, and how sure they are.

fractions.csv     one row for each K and rule (and width): the rule of the settings first, and then "held_out_rate"
control.csv       the same of the exact score, by the first rule, where it was run
fractions_by_member.csv   with several seeds: the shares of each network by itself, by the first rule
repeats.csv       the spurious and generalized shares in sets of the same size at every K, and of the set as it is
transition.json   gains "critical", "critical_by_rule" and "critical_at_common_size" (of each width under by_width)

A row of repeats with several seeds is the mean over their sets.
"""

import dataclasses
import itertools
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

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

    def shares(self, size: int) -> list[phases.PhaseShares]:
        """The three shares of every seed, repeats being counted in sets of `size`."""
        found = []
        for near, own in zip(self.neighbors, self.labels, strict=True):
            new = own != phases.MEMORIZED
            repeats = (
                statistics.share_of_repeats(near, new, size, repeated=whether) for whether in (True, False)
            )
            found.append(phases.PhaseShares(phases.plain_shares(own).memorized, *repeats))
        return found

    @property
    def num_samples(self) -> int:
        """Of one member."""
        return min(len(own) for own in self.labels)


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> list[Group]:
    """Writes the tables. After `tables.classify`. Gives the groups of the first rule."""
    fixed = make_thresholds(run, workdir)
    thresholds = {run.settings.phases.rule: dict.fromkeys(sizes_of(run), fixed)}
    if can_hold_rate(run):
        thresholds[RATE_RULE] = rate_thresholds(run, workdir)
    groups = {rule: make_groups(run, workdir, own) for rule, own in thresholds.items()}
    if run.controls:
        workdir.write_csv("control.csv", control_rows(run, workdir, fixed))
    if len(run.settings.seeds) > 1:
        by_member = [member_row(run, workdir, member, fixed) for member in run.members]
        write_rows(run, workdir, "fractions_by_member.csv", by_member)
    moved = {rule: shifted_groups(run, workdir, own) for rule, own in thresholds.items()}
    results = json.loads((workdir / "transition.json").read_text())
    by_width = each_width(run, results)
    names = ("critical", "critical_by_rule", "critical_at_common_size")
    for width in run.widths:
        by_rule, at_common = {}, {}
        for rule, found in groups.items():
            own = of_one_width(found, width)
            ends = [(of_one_width(low, width), of_one_width(high, width)) for low, high in moved[rule]]
            by_rule[rule] = critical(own, ends, run.settings.phases.num_bootstrap)
            at_common[rule] = critical_at(own, ends, run.settings.phases.num_bootstrap)
        by_width[width] |= dict(
            zip(names, (by_rule[run.settings.phases.rule], by_rule, at_common), strict=True)
        )
    results |= {name: by_width[shown_width(run)][name] for name in names}
    if len(run.widths) > 1:
        results["critical_by_width"] = {str(width): own["critical"] for width, own in by_width.items()}
    results["rules"] = {rule: own[max(own)].rule for rule, own in thresholds.items()}
    workdir.write_json("transition.json", results)
    everything = [(rule, group) for rule, found in groups.items() for group in found]
    common = common_size([group for _, group in everything])
    rows = itertools.chain(*(repeat_rows(rule, group, common) for rule, group in everything))
    write_rows(run, workdir, "repeats.csv", rows)
    write_rows(run, workdir, "fractions.csv", [fraction_row(*entry) for entry in everything])
    return groups[run.settings.phases.rule]


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
    known: dict[bytes, np.ndarray] = {}  # sets of one size are the same at every K

    def own_distance(items: np.ndarray) -> np.ndarray:
        name = items.tobytes()
        if name not in known:
            known[name] = run.metric.search(real[items], real[items], exclude_self=True).distance[:, 0]
        return known[name]

    samples = {member.num_train: run.num_samples(member) for member in run.members}
    return {
        size: phases.held_out_rate(
            np.stack([real_distances.of_held_out(run, workdir, m) for m in run.one_a_subset(size)], axis=1),
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
        own = [m for m in run.members if (m.width, m.num_train) == (width, size)]
        groups.append(make_group(run, workdir, own, thresholds[size]))
    return groups


def make_group(
    run: TransitionRun, workdir: runs.Workdir, members: Sequence[sweep.Member], own: phases.Thresholds
) -> Group:
    """Of members of one K and width, at one step."""
    labels, near = [], []
    for member in members:
        found = distances_of(workdir, member)
        labels.append(
            phases.classify(found["train_distance"], found["synthetic_distance"], own.delta_m, own.delta_s)
        )
        near.append(count_neighbors(run, workdir, member, own))
    return Group(members[0].width, members[0].num_train, own, labels, near)


def shifted_groups(
    run: TransitionRun, workdir: runs.Workdir, thresholds: dict[int, phases.Thresholds]
) -> list[tuple[list[Group], list[Group]]]:
    """For each threshold that has an interval, the groups with it at the lower and at the upper end."""
    found = []
    for name in ("delta_m", "delta_s"):
        ends = {size: getattr(own, f"{name}_interval") for size, own in thresholds.items()}
        if None in ends.values():
            continue
        low, high = (
            {size: dataclasses.replace(own, **{name: ends[size][end]}) for size, own in thresholds.items()}
            for end in (0, 1)
        )
        found.append((make_groups(run, workdir, low), make_groups(run, workdir, high)))
    return found


def of_one_width(groups: Sequence[Group], width: int | None) -> list[Group]:
    return [group for group in groups if group.width == width]


def count_neighbors(
    run: TransitionRun, workdir: runs.Workdir, member: sweep.Member, thresholds: phases.Thresholds
) -> np.ndarray:
    """How many other samples of its set lie within δ_s of each; kept in repeats/<member>.npz.

    Those of both ends of δ_s's interval are counted with it, in one pass over the pairs.
    """
    name, wanted = f"repeats/{member.name}.npz", f"delta_s={thresholds.delta_s!r}"
    kept = workdir.read_npz(name) or {}
    num_samples = len(distances_of(workdir, member)["train_distance"])
    if len(kept.get(wanted, ())) != num_samples:  # none yet, or the set has grown
        radii = list(dict.fromkeys((thresholds.delta_s, *(thresholds.delta_s_interval or ()))))
        samples = run.metric.vectors(load_samples(workdir, member))
        counts = run.metric.count_within(samples, samples, np.array(radii), exclude_self=True)
        kept |= {f"delta_s={radius!r}": counts[:, place] for place, radius in enumerate(radii)}
        workdir.write_npz(name, **kept)
    return kept[wanted]


def fraction_row(rule: str, group: Group) -> dict[str, Any]:
    """One row of fractions.csv. The intervals of repeats know that these come in groups."""
    row = dataclasses.asdict(across_seeds(group.labels, group.num_train, group.thresholds))
    for phase, repeated in (("spurious", True), ("generalized", False)):
        low, high = group.share(repeated, group.num_samples).interval()
        row[f"{phase}_low"] = min(row[f"{phase}_low"], low)
        row[f"{phase}_high"] = max(row[f"{phase}_high"], high)
    row["rule"] = rule
    return row if group.width is None else row | {"width": group.width}


def control_rows(
    run: TransitionRun, workdir: runs.Workdir, thresholds: phases.Thresholds
) -> list[dict[str, Any]]:
    """One row of control.csv per K, of all its seeds."""
    rows = []
    for _, seeds in itertools.groupby(run.controls, key=lambda control: control.num_train):
        row = fraction_row("", make_group(run, workdir, list(seeds), thresholds))
        rows.append({name: value for name, value in row.items() if name not in ("rule", "width")})
    return rows


def member_row(
    run: TransitionRun, workdir: runs.Workdir, member: sweep.Member, thresholds: phases.Thresholds
) -> dict[str, Any]:
    """One member's row of fractions_by_member.csv."""
    row = fraction_row("", make_group(run, workdir, [member], thresholds))
    return {"member": member.name, "seed": member.seed} | {k: v for k, v in row.items() if k != "rule"}


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
        own_low, own_high = statistics.student_interval(values)
        low, high = max(0.0, min(low, own_low)), min(1.0, max(high, own_high))
    return float(low), float(high)


def common_size(groups: Sequence[Group]) -> int:
    """The largest set size that every K reaches."""
    return min(group.num_samples for group in groups)


def critical(
    groups: Sequence[Group],
    shifted: Sequence[tuple[Sequence[Group], Sequence[Group]]],
    resamples: int,
    size: int = 0,
) -> dict[str, Any]:
    """`phases.critical_from_shares` of the sets as they are, or as they would be with `size` samples."""

    def table(own: Sequence[Group]) -> list[list[phases.PhaseShares]]:
        return [group.shares(size or group.num_samples) for group in own]

    return phases.critical_from_shares(
        [group.num_train for group in groups],
        table(groups),
        shifted=[(table(low), table(high)) for low, high in shifted],
        resamples=resamples,
    )


def critical_at(
    groups: Sequence[Group], shifted: Sequence[tuple[Sequence[Group], Sequence[Group]]], resamples: int
) -> dict[str, Any]:
    """Where generalized samples reach one half, and where spurious ones peak, in sets of one size at every K."""
    size = common_size(groups)
    found = critical(groups, shifted, resamples, size)
    return {"num_samples": size} | {name: found[name] for name in ("generalized_half", "spurious_peak")}
