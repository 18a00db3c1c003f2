"""What the shares mean: at which set size, by which rule, and how sure they are.

fractions.csv     one row for each K and rule (and width): the rule of the settings first, and then "held_out_rate"
control.csv       the same of the exact score, by the first rule, where it was run
fractions_by_member.csv   with several seeds: the shares of each network by itself, by the first rule
repeats.csv       the spurious and generalized shares in sets of the same size at every K, and of the set as it is
transition.json   gains "critical", "critical_by_rule" and "critical_at_common_size" (of each width under by_width)

By a calibrated rule δ_s belongs to the size of the set: in repeats.csv it changes from size to size, and is the same at
every K. A row of repeats with several seeds is the mean over their sets.
"""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from memgen_jax import phases, runs, statistics, sweep
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import (
    across_seeds,
    distances_of,
    each_width,
    labels_of,
    load_samples,
    shown_width,
    write_rows,
)
from memgen_jax.programs.transition.thresholds import (
    RATE_RULE,
    SizedThresholds,
    can_hold_rate,
    common_size,
    first_rule,
    rate_rule,
)


@dataclasses.dataclass(frozen=True)
class Group:
    """The members of one K and width, one a seed, with their thresholds by one rule.

    Attributes:
      at: number of samples -> the thresholds of sets as large.
      neighbors: per member: δ_s -> how many other samples lie within it of each.
    """

    width: int | None
    num_train: int
    at: Callable[[int], phases.Thresholds]
    labels: list[np.ndarray]
    neighbors: list[dict[float, np.ndarray]]

    def share(self, repeated: bool, size: int) -> statistics.Share:
        """The share of spurious (or else generalized) samples in sets of `size`, the mean over the seeds."""
        return statistics.mean_share(self.each_share(repeated, size))

    def each_share(self, repeated: bool, size: int) -> list[statistics.Share]:
        """The share of every seed by itself, by the δ_s of sets of `size`."""
        delta_s = self.at(size).delta_s
        return [
            statistics.share_of_repeats(near[delta_s], own != phases.MEMORIZED, size, repeated=repeated)
            for near, own in zip(self.neighbors, self.labels, strict=True)
        ]

    def shares(self, size: int) -> list[phases.PhaseShares]:
        """The three shares of every seed, repeats being counted in sets of `size`."""
        memorized = [phases.plain_shares(own).memorized for own in self.labels]
        repeats = (self.each_share(whether, size) for whether in (True, False))
        return [phases.PhaseShares(*own) for own in zip(memorized, *repeats, strict=True)]

    @property
    def num_samples(self) -> int:
        """Of one member."""
        return min(len(own) for own in self.labels)


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> list[Group]:
    """Writes the tables. After `tables.classify`. Gives the groups of the first rule."""
    first = first_rule(run, workdir)
    rules = {first.name: first}
    if can_hold_rate(run):
        rules[RATE_RULE] = rate_rule(run, workdir)
    groups = {name: make_groups(run, workdir, rule) for name, rule in rules.items()}
    if run.controls:
        workdir.write_csv("control.csv", control_rows(run, workdir, first))
    if len(run.settings.seeds) > 1:
        by_member = [member_row(run, workdir, member, first) for member in run.members]
        write_rows(run, workdir, "fractions_by_member.csv", by_member)
    moved = {name: shifted_groups(run, workdir, rule) for name, rule in rules.items()}
    results = json.loads((workdir / "transition.json").read_text())
    by_width = each_width(run, results)
    names = ("critical", "critical_by_rule", "critical_at_common_size")
    common = common_size(run)
    for width in run.widths:
        by_rule, at_common = {}, {}
        for name, found in groups.items():
            own = of_one_width(found, width)
            ends = [(of_one_width(low, width), of_one_width(high, width)) for low, high in moved[name]]
            by_rule[name] = critical(own, ends, run.settings.phases.num_bootstrap)
            at_common[name] = critical_at(own, ends, run.settings.phases.num_bootstrap, common)
        by_width[width] |= dict(zip(names, (by_rule[first.name], by_rule, at_common), strict=True))
    results |= {name: by_width[shown_width(run)][name] for name in names}
    if len(run.widths) > 1:
        results["critical_by_width"] = {str(width): own["critical"] for width, own in by_width.items()}
    results["rules"] = {name: rule.at(sizes_of(run)[-1], common).rule for name, rule in rules.items()}
    workdir.write_json("transition.json", results)
    everything = [(name, group) for name, found in groups.items() for group in found]
    rows = itertools.chain(*(repeat_rows(name, group, common) for name, group in everything))
    write_rows(run, workdir, "repeats.csv", rows)
    write_rows(run, workdir, "fractions.csv", [fraction_row(*entry) for entry in everything])
    return groups[first.name]


def sizes_of(run: TransitionRun) -> list[int]:
    return sorted({member.num_train for member in run.members})


def make_groups(
    run: TransitionRun, workdir: runs.Workdir, rule: SizedThresholds, *, shifted: bool = False
) -> list[Group]:
    """Widths in the config's order, sizes ascending."""
    groups = []
    for width, size in itertools.product(run.widths, sizes_of(run)):
        own = [m for m in run.members if (m.width, m.num_train) == (width, size)]
        groups.append(make_group(run, workdir, own, rule, shifted=shifted))
    return groups


def make_group(
    run: TransitionRun,
    workdir: runs.Workdir,
    members: Sequence[sweep.Member],
    rule: SizedThresholds,
    *,
    shifted: bool = False,
) -> Group:
    """Of members of one K and width, at one step; a `shifted` rule is asked at the common size and its own alone."""
    size = members[0].num_train
    labels = [labels_of(workdir, member, rule) for member in members]
    count, common = min(map(len, labels)), common_size(run)
    ends = sorted({min(common, count), count})
    radii = [rule.at(size, n).delta_s for n in (ends if shifted else sizes_told(count, common))]
    soon = itertools.chain(*(rule.at(size, n).delta_s_interval or () for n in ends))
    near = functools.partial(count_neighbors, run, workdir, radii=radii, soon=list(soon))
    return Group(
        members[0].width,
        size,
        lambda num_samples: rule.at(size, num_samples),
        labels,
        [near(member) for member in members],
    )


def shifted_groups(
    run: TransitionRun, workdir: runs.Workdir, rule: SizedThresholds
) -> list[tuple[list[Group], list[Group]]]:
    """For each threshold that has an interval, the groups with it at the lower and at the upper end."""
    found = []
    for name in ("delta_m", "delta_s"):
        if getattr(rule.at(sizes_of(run)[-1], common_size(run)), f"{name}_interval") is not None:
            low, high = (make_groups(run, workdir, rule.shifted(name, end), shifted=True) for end in (0, 1))
            found.append((low, high))
    return found


def of_one_width(groups: Sequence[Group], width: int | None) -> list[Group]:
    return [group for group in groups if group.width == width]


def count_neighbors(
    run: TransitionRun,
    workdir: runs.Workdir,
    member: sweep.Member,
    radii: Sequence[float],
    soon: Sequence[float] = (),
) -> dict[float, np.ndarray]:
    """Radius -> how many other samples of its set lie within it of each; kept in repeats/<member>.npz.

    Args:
      radii: wanted now.
      soon: those that will be wanted too, the ends of intervals: counted in the same pass over the pairs.
    """
    file = f"repeats/{member.name}.npz"
    kept = workdir.read_npz(file) or {}
    count = len(distances_of(workdir, member)["train_distance"])
    if any(len(kept.get(_key(radius), ())) != count for radius in radii):  # none yet, or the set has grown
        every = list(dict.fromkeys([*radii, *soon]))
        samples = run.metric.vectors(load_samples(workdir, member))
        counts = run.metric.count_within(samples, samples, np.array(every), exclude_self=True)
        kept |= {_key(radius): counts[:, place] for place, radius in enumerate(every)}
        workdir.write_npz(file, **kept)
    return {radius: kept[_key(radius)] for radius in radii}


def sizes_told(count: int, common: int) -> list[int]:
    """The set sizes at which repeats are told: the common one, the powers of two up to its own, and its own."""
    return sorted({min(common, count), *statistics.powers_of_two(count), count})


def _key(radius: float) -> str:
    return f"delta_s={radius!r}"


def fraction_row(rule: str, group: Group) -> dict[str, Any]:
    """One row of fractions.csv. The intervals of repeats know that these come in groups."""
    own = group.at(group.num_samples)
    row = dataclasses.asdict(across_seeds(group.labels, group.num_train, own))
    for phase, repeated in (("spurious", True), ("generalized", False)):
        low, high = group.share(repeated, group.num_samples).interval()
        row[f"{phase}_low"] = min(row[f"{phase}_low"], low)
        row[f"{phase}_high"] = max(row[f"{phase}_high"], high)
    row["rule"] = rule
    return row if group.width is None else row | {"width": group.width}


def control_rows(run: TransitionRun, workdir: runs.Workdir, rule: SizedThresholds) -> list[dict[str, Any]]:
    """One row of control.csv per K, of all its seeds."""
    rows = []
    for _, seeds in itertools.groupby(run.controls, key=lambda control: control.num_train):
        row = fraction_row("", make_group(run, workdir, list(seeds), rule))
        rows.append({name: value for name, value in row.items() if name not in ("rule", "width")})
    return rows


def member_row(
    run: TransitionRun, workdir: runs.Workdir, member: sweep.Member, rule: SizedThresholds
) -> dict[str, Any]:
    """One member's row of fractions_by_member.csv."""
    row = fraction_row("", make_group(run, workdir, [member], rule))
    return {"member": member.name, "seed": member.seed} | {k: v for k, v in row.items() if k != "rule"}


def repeat_rows(rule: str, group: Group, common: int) -> list[dict[str, Any]]:
    """Rows of repeats.csv of one K."""
    rows = []
    for size in sizes_told(group.num_samples, common):
        row: dict[str, Any] = {"num_train": group.num_train, "num_samples": size, "rule": rule}
        row["delta_s"] = group.at(size).delta_s
        for phase, repeated in (("spurious", True), ("generalized", False)):
            share = group.share(repeated, size)
            low, high = student_or(share, [each.value for each in group.each_share(repeated, size)])
            row |= {phase: share.value, f"{phase}_low": low, f"{phase}_high": high}
        rows.append(row if group.width is None else row | {"width": group.width})
    return rows


def student_or(share: statistics.Share, values: Sequence[float]) -> tuple[float, float]:
    """The interval of the pooled share; Student's over the seeds where that is wider."""
    low, high = share.interval()
    if len(values) > 1:
        own_low, own_high = statistics.student_interval(values)
        low, high = max(0.0, min(low, own_low)), min(1.0, max(high, own_high))
    return float(low), float(high)


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
    groups: Sequence[Group],
    shifted: Sequence[tuple[Sequence[Group], Sequence[Group]]],
    resamples: int,
    size: int,
) -> dict[str, Any]:
    """Where generalized samples reach one half, and where spurious ones peak, in sets of one size at every K."""
    found = critical(groups, shifted, resamples, size)
    return {"num_samples": size} | {name: found[name] for name in ("generalized_half", "spurious_peak")}
