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
from memgen_jax.errors import FIELD, InputError
from memgen_jax.programs.transition import real_distances, smallest_size
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.report import schema


def distances_of(workdir: runs.Workdir, member: sweep.Member) -> dict[str, np.ndarray]:
    """A member's distances, and indices of the nearest, from the disk."""
    found = workdir.read_npz(f"neighbors/{member.name}.npz")
    if found is None:
        raise InputError(
            f"neighbors/{member.name}.npz is missing or damaged in {workdir.path}: run it again."
        )
    return found


def labels_of(workdir: runs.Workdir, member: sweep.Member, thresholds: phases.Thresholds) -> np.ndarray:
    """A member's labels, from the distances on disk."""
    found = distances_of(workdir, member)
    return phases.classify(
        found["train_distance"], found["synthetic_distance"], thresholds.delta_m, thresholds.delta_s
    )


def load_samples(workdir: runs.Workdir, member: sweep.Member) -> np.ndarray:
    """A member's synthetic set: uint8 images [sample, height, width, channel] or float32 points."""
    arrays = workdir.read_npz(f"samples/{member.name}.npz")
    if arrays is None:
        raise InputError(f"samples/{member.name}.npz is missing or damaged in {workdir.path}: run it again.")
    return arrays["images"] if "images" in arrays else arrays["points"]


class RunEvidence:
    """The distances of a run that a rule for the thresholds asks for; see `phases.Evidence`."""

    def __init__(self, run: TransitionRun, workdir: runs.Workdir):
        self._run, self._workdir = run, workdir

    def of_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the samples of all members together."""
        pooled: dict[str, list[np.ndarray]] = {"train_distance": [], "synthetic_distance": []}
        for member in self._run.members:
            found = self._workdir.read_npz(f"neighbors/{member.name}.npz") or {}
            for name, parts in pooled.items():
                parts.append(found[name])
        train, synthetic = (np.concatenate(parts) for parts in pooled.values())
        return train, synthetic

    def of_real(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the held-out items, and of the whole training set in itself."""
        run, workdir = self._run, self._workdir
        return real_distances.of_held_out(run, workdir), real_distances.of_training_set(run, workdir)


def make_thresholds(run: TransitionRun, workdir: runs.Workdir) -> phases.Thresholds:
    """The two thresholds by the rule of the settings."""
    s = run.settings.phases
    rule = phases.Rule(s.rule, s.delta_m, s.delta_s, s.table, run.metric.name, s.false_positive_rate)
    try:
        return phases.choose_thresholds(rule, RunEvidence(run, workdir))
    except phases.NoValley as error:
        raise InputError(
            f"{error}. Nothing is lost: the same command with {FIELD[0]}=given, {FIELD[1]}=… and {FIELD[2]}=… (or with "
            f"{FIELD[0]}=held_out, or {FIELD[0]}=paper and {FIELD[3]}=…) labels the samples that are there.",
            "phases.rule",
            "phases.delta_m",
            "phases.delta_s",
            "phases.table",
        ) from None


def fraction_rows(
    run: TransitionRun, workdir: runs.Workdir, thresholds: phases.Thresholds
) -> list[dict[str, Any]]:
    """One row of fractions.csv per K, and per width where there are several, which is then a column."""
    rows = []
    for width, size, replicates in by_size(run, workdir, thresholds):
        row = dataclasses.asdict(across_seeds(replicates, size, thresholds))
        rows.append(row if width is None else row | {"width": width})
    return rows


def by_size(
    run: TransitionRun, workdir: runs.Workdir, thresholds: phases.Thresholds
) -> list[tuple[int | None, int, list[np.ndarray]]]:
    """(width, K, labels of each seed), widths in the config's order and sizes ascending."""
    groups: dict[tuple[int | None, int], list[np.ndarray]] = {}
    for width in run.widths:
        for member in run.members:
            if member.width == width:
                own = labels_of(workdir, member, thresholds)
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
    thresholds = make_thresholds(run, workdir)
    deltas = (thresholds.delta_m, thresholds.delta_s)
    controls = [
        phases.fractions(np.concatenate([labels_of(workdir, m, thresholds) for m in seeds]), size, *deltas)
        for size, seeds in itertools.groupby(run.controls, key=lambda member: member.num_train)
    ]
    unseen = held_out_distances(run, workdir)
    rows = fraction_rows(run, workdir, thresholds)
    results = {}
    for width in run.widths:
        members = [member for member in run.members if member.width == width]
        near = quality(members, workdir, thresholds, unseen)
        results[width] = {
            "smallest_size": smallest_size.check(
                of_width(rows, width),
                [dataclasses.asdict(row) for row in controls],
                near,
                run.settings.train.prediction if run.trains else "",
            ),
            "sensitivity": sensitivity(members, workdir, thresholds),
            "held_out_quality": near,
        }
    outcome = {
        "schema": schema.identifier("transition"),
        "data": run.name,
        "metric": run.metric.phrase,
        "intervals": interval_phrase(run),
        "thresholds": dataclasses.asdict(thresholds),
    } | join_widths(run, results)
    workdir.write_json("transition.json", outcome)


def sensitivity(
    members: Sequence[sweep.Member], workdir: runs.Workdir, thresholds: phases.Thresholds
) -> list[dict[str, Any]]:
    """The spurious peak and the last K that is mostly memorized, of one width, at scaled thresholds.

    With several seeds both are of their mean, as the fractions are.
    """
    factors = np.array([0.5, 0.7, 1.0, 1.2])
    sizes, shares = [], []
    for size, seeds in itertools.groupby(members, key=lambda member: member.num_train):
        tables = []
        for member in seeds:
            found = distances_of(workdir, member)
            deltas = factors * thresholds.delta_m, factors * thresholds.delta_s
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
                "delta_m": factors[i] * thresholds.delta_m,
                "delta_s": factors[j] * thresholds.delta_s,
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
    thresholds: phases.Thresholds,
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
        new = distance[distance > thresholds.delta_m]
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
