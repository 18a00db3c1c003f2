"""Writes what an audit found: labels.csv, summary.json, report.html, distances.npz, and what was left out."""

import csv
import functools
import io
import json
import typing
from pathlib import Path
from typing import NamedTuple

import numpy as np

from memgen_jax import metrics, phases
from memgen_jax.audit import budget
from memgen_jax.audit.comparing import Side
from memgen_jax.audit.concluding import Result
from memgen_jax.audit.folder import (
    DISTANCES,
    HEADER,
    LABELS,
    PAGE,
    PAIRS,
    SKIPPED,
    SKIPPED_HEADER,
    SUMMARY,
    replace,
    written_in,
)
from memgen_jax.audit.pairs import save_pairs
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.audit.stored import Compared
from memgen_jax.data import legible
from memgen_jax.errors import InputError
from memgen_jax.report import audit_page, schema, sliders


class Sides(NamedTuple):
    """What was compared."""

    train: Side
    samples: Side


def write(
    settings: AuditSettings,
    result: Result,
    compared: Compared,
    metric: metrics.Metric,
    sides: Sides | None,
) -> None:
    """Writes the files: all or, where the disk is full, none.

    Args:
      sides: the sets; where there are none, as when distances are labelled again, the page has no pictures.
    """
    found = result.distances
    page = audit_page.render(
        summary=result.summary,
        command=settings.command,
        train_distance=found.train[:, 0],
        synthetic_distance=found.synthetic,
        galleries=_galleries(settings, result, compared, metric, sides) if sides else {},
        **(_beside(result, sides) if sides else {}),
    )
    files = {
        LABELS: _labels(result, compared, settings.top),
        SUMMARY: json.dumps(result.summary, indent=2) + "\n",
        PAGE: page,
    }
    _write_all(settings, compared, files)
    if settings.save_pairs and sides:
        with written_in(settings.out):
            save_pairs(Path(settings.out) / PAIRS, result, sides.train.items, sides.samples.items)


def write_unlabelled(
    settings: AuditSettings,
    compared: Compared,
    metric: metrics.Metric,
    reason: InputError,
) -> None:
    """Writes the distances and a page without labels."""
    found = compared.distances
    summary = {
        "schema": schema.identifier("summary"),
        "memorized": None,
        "answer": [f"No sample is labelled: {reason}."],
        "metric": metric.name,
        **compared.told,
    }
    page = audit_page.render_unlabelled(
        summary, metric, len(compared.train_names), found.train[:, 0], found.synthetic
    )
    _write_all(settings, compared, {SUMMARY: json.dumps(summary, indent=2) + "\n", PAGE: page})


def _write_all(settings: AuditSettings, compared: Compared, files: dict[str, str]) -> None:
    if compared.skipped:
        listed = io.StringIO()
        csv.writer(listed, lineterminator="\n").writerows([SKIPPED_HEADER, *compared.skipped])
        files[SKIPPED] = listed.getvalue()
    encoded = {name: text.encode(errors="backslashreplace") for name, text in files.items()}
    labelled = LABELS in files
    replace(settings.out, encoded | {DISTANCES: compared.to_bytes()}, settings.save_pairs and labelled)


def _labels(result: Result, compared: Compared, top: int) -> str:
    """The table; further neighbours stand behind the columns that are always there."""
    found, names = result.distances, compared.train_names
    more = range(1, min(top, found.train.shape[1]))
    header = [*HEADER]
    header += [f"{column}_{i + 1}" for i in more for column in ("train_distance", "train_item")]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(header)
    for i, label in enumerate(result.labels):
        row = [
            compared.sample_names[i],
            phases.NAMES[label],
            f"{found.train[i, 0]:.6g}",
            names[found.train_index[i, 0]],
            f"{found.synthetic[i]:.6g}",
            compared.sample_names[found.synthetic_index[i]],
        ]
        for j in more:
            row += [f"{found.train[i, j]:.6g}", names[found.train_index[i, j]]]
        writer.writerow(row)
    return table.getvalue()


def _short(name: str, most: int = 60) -> str:
    """The end of a long name, which tells one file from another."""
    name = legible(name)
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _beside(result: Result, sides: Sides) -> dict[str, list[sliders.Example]]:
    """Samples beside the thresholds, each with its nearest neighbour of the kind in question; {} for vectors."""
    train, samples = sides
    if train.items.ndim != 4:
        return {}
    found, thresholds = result.distances, result.thresholds
    nearest = found.train[:, 0]

    def examples(rows: np.ndarray, items: typing.Any, index: np.ndarray) -> list[sliders.Example]:
        return [
            sliders.Example(
                result.summary["num_train"],
                float(nearest[row]),
                float(found.synthetic[row]),
                samples.items[row],
                items[index[row]],
            )
            for row in rows.tolist()
        ]

    at_m, _ = sliders.places(thresholds.delta_m, nearest)
    at_s, _ = sliders.places(thresholds.delta_s, found.synthetic)
    rows_m = sliders.choose(nearest, at_m)
    rows_s = sliders.choose(found.synthetic, at_s, result.labels != phases.MEMORIZED)
    return {
        "beside_m": examples(rows_m, train.items, found.train_index[:, 0]),
        "beside_s": examples(rows_s, samples.items, found.synthetic_index),
    }


def _galleries(
    settings: AuditSettings,
    result: Result,
    compared: Compared,
    metric: metrics.Metric,
    sides: Sides,
    count: int = 6,
) -> dict:
    """Per kind, the samples worth a look with their four nearest of both kinds; {} for vectors."""
    from memgen_jax.report import audit_figures, example_figures

    train, samples = sides
    if train.items.ndim != 4:
        return {}
    found = result.distances
    chosen = audit_figures.choose(
        result.labels,
        found.train[:, 0],
        found.train_index[:, 0],
        found.synthetic,
        found.synthetic_index,
        result.thresholds.delta_s,
        count,
    )
    chosen |= {"borderline": audit_figures.borderline(found.train[:, 0], result.thresholds.delta_m, count)}
    every = np.unique(np.concatenate(list(chosen.values())))
    if not len(every):
        return {}
    allowed = budget.of(settings.memory)
    shown = samples.part(every, allowed.items)
    search = functools.partial(metrics.least_search, metric, settings.orbit, shown.rows, memory=allowed.tiles)
    near = search(train.items, train.rows, k=min(4, len(train.rows)))
    # One more, for the sample itself is among them; it need not stand first where it has a duplicate.
    among = search(samples.items, samples.rows, k=min(5, len(samples.rows)))
    targets = {}
    for place, item in enumerate(every.tolist()):
        other = among.index[place] != item
        other &= np.cumsum(other) <= len(other) - 1
        targets[item] = example_figures.Target(
            image=samples.items[item],
            train_images=train.items[near.index[place]],
            train_distances=near.distance[place],
            synthetic_images=samples.items[among.index[place][other]],
            synthetic_distances=among.distance[place][other],
            called=f"{_short(compared.sample_names[item])} beside {_short(compared.train_names[near.index[place, 0]])}",
        )
    return {kind: [targets[item] for item in items.tolist()] for kind, items in chosen.items()}
