"""Writes what an audit found: labels.csv, summary.json, report.html, distances.npz, and what was left out."""

import contextlib
import csv
import functools
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from memgen_jax import metrics, phases
from memgen_jax.audit.comparing import Side
from memgen_jax.audit.concluding import Result
from memgen_jax.audit.pairs import save_pairs
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.audit.stored import FILE, Compared
from memgen_jax.data import Items
from memgen_jax.errors import InputError
from memgen_jax.files import write_together
from memgen_jax.report import audit_page, schema


@contextlib.contextmanager
def written_in(folder: str) -> Iterator[None]:
    """A folder to write in, made where missing; a full disk or a forbidden folder becomes one sentence.

    Only what is written belongs inside: troubles with reading are told by the readers.
    """
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise InputError(
            f"cannot write {where} ({error.strerror or error}); free some room or give another {{0}}", "out"
        ) from error


def require_writable(folder: str) -> None:
    """Makes the folder and tries to write there, so that a long search does not end in vain."""
    if not folder:
        raise InputError("{0} is empty; give a folder", "out")
    place = Path(folder)
    theirs = [
        name
        for name in ("labels.csv", "skipped.csv", "report.html", FILE, "summary.json")
        if (place / name).exists()
    ]
    if theirs and not _is_ours(place):
        raise InputError(
            f"{{0}} {folder} holds a {theirs[0]} that no audit wrote; give another folder, or move it", "out"
        )
    if place.exists() and not place.is_dir():
        raise InputError(f"{{0}} {folder} is a file; give a folder", "out")
    with written_in(folder):
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            pass


def _is_ours(folder: Path) -> bool:
    """Whether an audit wrote in this folder before."""
    try:
        return "memorized" in json.loads((folder / "summary.json").read_text())
    except (OSError, ValueError, TypeError):
        return False


class Sides(NamedTuple):
    """What was compared."""

    train: Side
    samples: Side


def write(
    settings: AuditSettings,
    result: Result,
    compared: Compared,
    read: Mapping[str, Items],
    metric: metrics.Metric,
    sides: Sides | None,
) -> None:
    """Writes the files: all or, where the disk is full, none.

    Args:
      read, sides: the sets; where there are none, as when distances are labelled again, the page has no pictures.
    """
    found = result.distances
    page = audit_page.render(
        summary=result.summary,
        train_distance=found.train[:, 0],
        synthetic_distance=found.synthetic,
        galleries=_galleries(settings, result, metric, sides) if sides else {},
    )
    files = {
        "labels.csv": _labels(result, compared, settings.top),
        "summary.json": json.dumps(result.summary, indent=2) + "\n",
        "report.html": page,
    }
    _write_all(settings, compared, read, files)
    if settings.save_pairs:
        with written_in(settings.out):
            save_pairs(Path(settings.out) / "pairs", result, read["train"], read["samples"])


def write_unlabelled(
    settings: AuditSettings,
    compared: Compared,
    read: Mapping[str, Items],
    metric: metrics.Metric,
    reason: InputError,
    about: dict,
) -> None:
    """Writes the distances and a page without labels; labels of an earlier audit there are taken away."""
    found = compared.distances
    summary = {
        "schema": schema.identifier("summary"),
        "memorized": None,
        "answer": [f"No sample is labelled: {reason}."],
        "metric": metric.name,
        **about,
    }
    page = audit_page.render_unlabelled(
        summary, metric, len(compared.train_names), found.train[:, 0], found.synthetic
    )
    files = {"summary.json": json.dumps(summary, indent=2) + "\n", "report.html": page}
    _write_all(settings, compared, read, files)
    (Path(settings.out) / "labels.csv").unlink(missing_ok=True)


def _write_all(
    settings: AuditSettings, compared: Compared, read: Mapping[str, Items], files: dict[str, str]
) -> None:
    skipped = [(name, item, why) for name, items in read.items() for item, why in items.left_out]
    if skipped:
        listed = io.StringIO()
        csv.writer(listed, lineterminator="\n").writerows([("set", "item", "reason"), *skipped])
        files["skipped.csv"] = listed.getvalue()
    encoded = {name: text.encode(errors="backslashreplace") for name, text in files.items()}
    with written_in(settings.out):
        write_together(settings.out, encoded | {FILE: compared.to_bytes()})


def _labels(result: Result, compared: Compared, top: int) -> str:
    """The table; further neighbours stand behind the columns that are always there."""
    found, names = result.distances, compared.train_names
    more = range(1, min(top, found.train.shape[1]))
    header = ["sample", "label", "train_distance", "train_item", "synthetic_distance", "synthetic_item"]
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


def _galleries(
    settings: AuditSettings, result: Result, metric: metrics.Metric, sides: Sides, count: int = 6
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
    shown = samples.part(every)
    search = functools.partial(metrics.least_search, metric, settings.orbit, shown.rows)
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
        )
    return {kind: [targets[item] for item in items.tolist()] for kind, items in chosen.items()}
