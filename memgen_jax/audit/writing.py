"""Writes what an audit found: labels.csv, summary.json, report.html, and skipped.csv where files were left out."""

import contextlib
import csv
import io
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from memgen_jax import metrics, phases
from memgen_jax.audit.concluding import Result
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.data import Items
from memgen_jax.errors import InputError
from memgen_jax.files import write_together
from memgen_jax.report import audit_page


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
    theirs = [name for name in ("labels.csv", "skipped.csv", "report.html") if (place / name).exists()]
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


def write(
    settings: AuditSettings,
    result: Result,
    read: Mapping[str, Items],
    metric: metrics.Metric,
    train_rows: Shaped[np.ndarray, "train dim"],
    sample_rows: Shaped[np.ndarray, "sample dim"],
) -> None:
    """Writes the files: all or, where the disk is full, none."""
    found, train, samples = result.distances, read["train"], read["samples"]
    page = audit_page.render(
        summary=result.summary,
        train_distance=found.train[:, 0],
        synthetic_distance=found.synthetic,
        galleries=_galleries(result, train, samples, metric, train_rows, sample_rows),
    )
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    header = "sample,label,train_distance,train_item,synthetic_distance,synthetic_item"
    writer.writerow(header.split(","))
    for i, label in enumerate(result.labels):
        writer.writerow(
            [
                samples.names[i],
                phases.NAMES[label],
                f"{found.train[i, 0]:.6g}",
                train.names[found.train_index[i, 0]],
                f"{found.synthetic[i]:.6g}",
                samples.names[found.synthetic_index[i]],
            ]
        )
    files = {
        "labels.csv": table.getvalue(),
        "summary.json": json.dumps(result.summary, indent=2) + "\n",
        "report.html": page,
    }
    skipped = [(name, item) for name, items in read.items() for item in items.skipped]
    if skipped:
        listed = io.StringIO()
        csv.writer(listed, lineterminator="\n").writerows([("set", "item"), *skipped])
        files["skipped.csv"] = listed.getvalue()
    with written_in(settings.out):
        write_together(
            settings.out, {name: text.encode(errors="backslashreplace") for name, text in files.items()}
        )


def _galleries(
    result: Result,
    train: Items,
    samples: Items,
    metric: metrics.Metric,
    train_rows: np.ndarray,
    sample_rows: np.ndarray,
    count: int = 6,
) -> dict:
    """Per phase, the samples worth a look with their four nearest of both kinds; {} for vectors."""
    from memgen_jax.report import audit_figures, example_figures

    if train.values.ndim != 4:
        return {}
    chosen = audit_figures.choose(
        result.labels,
        result.distances.train[:, 0],
        result.distances.train_index[:, 0],
        result.distances.synthetic,
        result.distances.synthetic_index,
        result.thresholds.delta_s,
        count,
    )
    every = np.concatenate(list(chosen.values()))
    if not len(every):
        return {}
    k = min(4, len(train_rows))
    near = metric.search(sample_rows[every], train_rows, k=k)
    # One more, for the sample itself is among them; it need not stand first where it has a duplicate.
    among = metric.search(sample_rows[every], sample_rows, k=min(5, len(sample_rows)))
    targets = {}
    for place, item in enumerate(every.tolist()):
        other = among.index[place] != item
        other &= np.cumsum(other) <= len(other) - 1
        targets[item] = example_figures.Target(
            image=samples.values[item],
            train_images=train.values[near.index[place]],
            train_distances=near.distance[place],
            synthetic_images=samples.values[among.index[place][other]],
            synthetic_distances=among.distance[place][other],
        )
    return {phase: [targets[item] for item in items.tolist()] for phase, items in chosen.items()}
