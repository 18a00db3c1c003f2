"""Distances -> labels -> fractions, and the first part of transition.json; `estimates` writes the tables.

A sweep over widths has a column `width` in its tables. Its JSON files say on top what they say of one width,
`width`, the one that the page speaks of first, and the same of each under `by_width`.
"""

import csv
import dataclasses
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from memgen_jax import phases, runs, statistics, sweep
from memgen_jax.errors import InputError
from memgen_jax.programs.transition import real_distances, smallest_size
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.thresholds import SizedThresholds, common_size, first_rule
from memgen_jax.report import schema


def distances_of(workdir: runs.Workdir, member: sweep.Member) -> dict[str, np.ndarray]:
    """A member's distances, and indices of the nearest, from the disk."""
    found = workdir.read_npz(f"neighbors/{member.name}.npz")
    if found is None:
        raise InputError(
            f"neighbors/{member.name}.npz is missing or damaged in {workdir.path}: run it again."
        )
    return found


def labels_of(workdir: runs.Workdir, member: sweep.Member, rule: SizedThresholds) -> np.ndarray:
    """A member's labels, from the distances on disk."""
    found = distances_of(workdir, member)
    own = rule.at(member.num_train, len(found["train_distance"]))
    return phases.classify(found["train_distance"], found["synthetic_distance"], own.delta_m, own.delta_s)


def load_samples(workdir: runs.Workdir, member: sweep.Member) -> np.ndarray:
    """A member's synthetic set: uint8 images [sample, height, width, channel] or float32 points."""
    arrays = workdir.read_npz(f"samples/{member.name}.npz")
    if arrays is None:
        raise InputError(f"samples/{member.name}.npz is missing or damaged in {workdir.path}: run it again.")
    return arrays["images"] if "images" in arrays else arrays["points"]


def fraction_rows(run: TransitionRun, workdir: runs.Workdir, rule: SizedThresholds) -> list[dict[str, Any]]:
    """One row of fractions.csv per K, and per width where there are several, which is then a column."""
    rows = []
    for width, size, replicates in by_size(run, workdir, rule):
        own = rule.at(size, min(map(len, replicates)))
        row = dataclasses.asdict(across_seeds(replicates, size, own))
        rows.append(row if width is None else row | {"width": width})
    return rows


def by_size(
    run: TransitionRun, workdir: runs.Workdir, rule: SizedThresholds
) -> list[tuple[int | None, int, list[np.ndarray]]]:
    """(width, K, labels of each seed), widths in the config's order and sizes ascending."""
    groups: dict[tuple[int | None, int], list[np.ndarray]] = {}
    for width in run.widths:
        for member in run.members:
            if member.width == width:
                own = labels_of(workdir, member, rule)
                groups.setdefault((width, member.num_train), []).append(own)
    return [(width, size, replicates) for (width, size), replicates in groups.items()]


def across_seeds(
    replicates: list[np.ndarray], num_train: int, thresholds: phases.Thresholds, confidence: float = 0.95
) -> phases.Fractions:
    """The fractions of the pooled samples; with several seeds the intervals hold the spread between them.

    An interval is then Student's over the seeds' own fractions, or Wilson's over the pooled samples where
    that is wider (seeds that agree exactly, all at 0 or all at 1, would leave none).
    """
    deltas = (thresholds.delta_m, thresholds.delta_s)
    pooled = phases.fractions(np.concatenate(replicates), num_train, *deltas, confidence)
    if len(replicates) < 2:
        return pooled
    values = dataclasses.asdict(pooled)
    for label, name in enumerate(phases.NAMES):
        own = [float(np.mean(labels == label)) for labels in replicates]
        low, high = statistics.student_interval(own, confidence)
        values[f"{name}_low"] = max(0.0, min(values[f"{name}_low"], low))
        values[f"{name}_high"] = min(1.0, max(values[f"{name}_high"], high))
    return phases.Fractions(**values)


def interval_phrase(run: TransitionRun) -> str:
    """What the intervals of this run hold."""
    count = len(set(run.settings.seeds))
    if count < 2:
        return (
            "Wilson's over the samples of one training, those of repeats knowing that these come in groups; another "
            "training would give other shares, by how much one training cannot tell"
        )
    data_too = "training sets and " if run.settings.subsets == "own" else ""
    factor = statistics.student_interval((-1.0, 1.0))[1]
    few = f"; with two its factor is {factor:.1f}, so that they tell little" if count == 2 else ""
    return (
        f"Student's over {count} trainings with {data_too}starts of their own, or Wilson's over all samples where "
        f"wider{few}"
    )


def classify(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Stage 4: the first part of transition.json."""
    rule = first_rule(run, workdir)
    shown = rule.at(max(member.num_train for member in run.members), common_size(run))
    deltas = (shown.delta_m, shown.delta_s)
    controls = [
        phases.fractions(np.concatenate([labels_of(workdir, m, rule) for m in seeds]), size, *deltas)
        for size, seeds in itertools.groupby(run.controls, key=lambda member: member.num_train)
    ]
    unseen = held_out_distances(run, workdir)
    rows = fraction_rows(run, workdir, rule)
    results = {}
    for width in run.widths:
        members = [member for member in run.members if member.width == width]
        near = quality(members, workdir, shown.delta_m, unseen)
        results[width] = {
            "smallest_size": smallest_size.check(
                of_width(rows, width),
                [dataclasses.asdict(row) for row in controls],
                near,
                run.settings.train.prediction if run.trains else "",
            ),
            "sensitivity": sensitivity(members, workdir, rule, shown),
            "held_out_quality": near,
        }
    outcome = {
        "schema": schema.identifier("transition"),
        "data": run.name,
        "metric": run.metric.phrase,
        "intervals": interval_phrase(run),
        "thresholds": dataclasses.asdict(shown)
        | {"num_samples": common_size(run) if rule.name == "held_out" else None},
    } | join_widths(run, results)
    workdir.write_json("transition.json", outcome)


def sensitivity(
    members: Sequence[sweep.Member],
    workdir: runs.Workdir,
    rule: SizedThresholds,
    shown: phases.Thresholds,
) -> list[dict[str, Any]]:
    """The spurious peak and the last K that is mostly memorized, of one width, at scaled thresholds.

    With several seeds both are of their mean, as the fractions are. The thresholds of every K and set size are scaled
    alike; those of `shown` stand in the rows.
    """
    factors = np.array([0.5, 0.7, 1.0, 1.2])
    sizes, shares = [], []
    for size, seeds in itertools.groupby(members, key=lambda member: member.num_train):
        tables = []
        for member in seeds:
            found = distances_of(workdir, member)
            own = rule.at(size, len(found["train_distance"]))
            deltas = factors * own.delta_m, factors * own.delta_s
            tables.append(phases.sensitivity(found["train_distance"], found["synthetic_distance"], *deltas))
        sizes.append(size)
        shares.append(np.mean(tables, axis=0))
    mean_shares = np.array(shares)
    rows = []
    for i, j in np.ndindex(len(factors), len(factors)):
        spurious = mean_shares[:, i, j, phases.SPURIOUS]
        memorized = [
            size
            for size, share in zip(sizes, mean_shares[:, i, j, phases.MEMORIZED], strict=True)
            if share >= 0.5
        ]
        rows.append(
            {
                "delta_m": factors[i] * shown.delta_m,
                "delta_s": factors[j] * shown.delta_s,
                "spurious_peak": float(spurious.max()),
                "spurious_peak_num_train": sizes[int(spurious.argmax())],
                "largest_mostly_memorized_num_train": max(memorized, default=None),
            }
        )
    return rows


def held_out_distances(run: TransitionRun, workdir: runs.Workdir) -> dict[int, float]:
    """K -> median distance of real held-out items to the training sets of that size; empty where none are held out."""
    if not len(run.dataset.held_out):
        return {}
    return {
        size: float(np.median([real_distances.of_held_out(run, workdir, m) for m in run.one_a_subset(size)]))
        for size in dict.fromkeys(member.num_train for member in run.members)
    }


def quality(
    members: Sequence[sweep.Member],
    workdir: runs.Workdir,
    delta_m: float,
    held_out: Mapping[int, float],
) -> list[dict[str, Any]]:
    """Per size K of one width: median distance to S of samples that are no copies, and of held-out items.

    A model that has learned the data keeps the first near the second; far above it, "generalized" only
    means undertrained.
    """
    rows = []
    for size, seeds in itertools.groupby(members, key=lambda member: member.num_train):
        found = [workdir.read_npz(f"neighbors/{member.name}.npz") or {} for member in seeds]
        distance = np.concatenate([own["train_distance"] for own in found])
        new = distance[distance > delta_m]
        rows.append(
            {
                "num_train": size,
                "sample_distance": float(np.median(new)) if len(new) else None,
                "held_out_distance": held_out.get(size),
            }
        )
    return rows


def shown_width(run: TransitionRun) -> int | None:
    """The width that the page speaks of first: the config's `model.width` if it is swept, else the largest."""
    own = getattr(run.settings.model, "width", None)
    return own if own in run.widths else max(run.widths, key=lambda width: width or 0)


def join_widths(run: TransitionRun, results: Mapping[int | None, dict[str, Any]]) -> dict[str, Any]:
    """The results of each width as one JSON object: with several, the shown one's on top and all by width."""
    shown = shown_width(run)
    if len(results) == 1:
        return results[shown]
    by_width = {str(width): found for width, found in results.items()}
    return {"width": shown} | results[shown] | {"by_width": by_width}


def each_width(run: TransitionRun, joined: Mapping[str, Any]) -> dict[int | None, dict[str, Any]]:
    """The results of each width, in the config's order, from what `join_widths` made and JSON kept."""
    by_width = joined.get("by_width", {})
    return {width: by_width.get(str(width), joined) for width in run.widths}


def write_rows(run: TransitionRun, workdir: runs.Workdir, name: str, rows: Iterable[dict[str, Any]]) -> None:
    """A table of networks: its last column is their width, that of `model` where the sweep has one."""
    own = getattr(run.settings.model, "width", None)
    told = [
        {k: v for k, v in row.items() if k != "width"} | {"width": row.get("width") or own} for row in rows
    ]
    workdir.write_csv(name, told)


def of_width(rows: Iterable[dict[str, Any]], width: int | None) -> list[dict[str, Any]]:
    """The rows of one width: all of them where the sweep has one."""
    return [row for row in rows if width is None or row.get("width", width) == width]


def read_table(workdir: runs.Workdir, name: str, *, rule: str | None = None) -> list[dict[str, Any]]:
    """The rows of a table, numbers as floats and blanks as None: those of one `rule`, else of the first it has."""
    file = workdir / name
    if not file.exists():
        return []
    words = ("rule", "phase")
    rows = [
        {k: v if k in words else float(v) if v else None for k, v in row.items()}
        for row in csv.DictReader(file.read_text().splitlines())
    ]
    wanted = rule or next((row.get("rule") for row in rows), None)
    return [row for row in rows if row.get("rule") == wanted]
