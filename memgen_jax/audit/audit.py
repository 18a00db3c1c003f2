"""Is a model copying its training data? Any samples against any training set.

    result = audit.run(audit.Settings(train="images/", samples="generated/", out="audit/"))

reads both, finds every sample's nearest training item and nearest other sample, labels it, and writes
`labels.csv`, `summary.json` and `report.html`.
"""

import contextlib
import csv
import dataclasses
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, Shaped

from memgen_jax import metrics, neighbors, phases, statistics
from memgen_jax.data import Items, permutation, read
from memgen_jax.errors import InputError
from memgen_jax.files import write_together
from memgen_jax.report import audit_page

METRICS = ("auto", "l2", "lpips")
RULES = ("auto", *phases.PAPER)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What to compare, and how; every field is a flag of `memgen audit`.

    Attributes:
      train, samples, holdout: sources as `data.read` takes them.
      out: folder for the results, made where missing.
      metric: "l2" (pixels in [-1, 1], not squared), "lpips" (AlexNet v0.1, squared), or "auto": L2 for
        one channel and for vectors, LPIPS for colour.
      thresholds: a data set of the paper's table, or "auto": held-out calibration where there is a
        holdout, else the valley rule.
      delta_m, delta_s: both given, they replace `thresholds`.
      false_positive_rate: share of unseen real images that held-out calibration lets pass as copies.
      ratio: also report the share of samples with d1/d2 below it.
      fail_above: `Result.failed` is true where the memorized fraction is above it.
      size, channels, skip_bad, data_dir: see `data.read`.
      batch: images per LPIPS batch.
    """

    train: str
    samples: str
    out: str
    holdout: str | None = None
    metric: str = "auto"
    thresholds: str = "auto"
    delta_m: float | None = None
    delta_s: float | None = None
    false_positive_rate: float = 0.01
    ratio: float | None = None
    fail_above: float | None = None
    size: int | None = None
    channels: int | None = None
    skip_bad: bool = False
    data_dir: str | None = None
    batch: int = 64


@dataclasses.dataclass(frozen=True)
class Distances:
    """All distances that the answer rests on, in the metric's own scale.

    Attributes:
      train: [sample, 1 or 2] to the nearest training items, and `train_index` which they are.
      synthetic: [sample] to the nearest other sample, and `synthetic_index`.
      train_own: [train] from every training item to its nearest other one.
      unseen: [held-out] to the nearest training item; None without a holdout.
      real: distances from real items to their nearest other, in a set as large as the samples.
    """

    train: Float[np.ndarray, "sample near"]
    train_index: Int[np.ndarray, "sample near"]
    synthetic: Float[np.ndarray, " sample"]
    synthetic_index: Int[np.ndarray, " sample"]
    train_own: Float[np.ndarray, " train"]
    unseen: Float[np.ndarray, " unseen"] | None
    real: Float[np.ndarray, " real"] | None


@dataclasses.dataclass(frozen=True)
class Result:
    """The answer: `summary` is what `summary.json` holds, `sentences` what the terminal shows."""

    distances: Distances
    labels: Int[np.ndarray, " sample"]
    thresholds: phases.Thresholds
    summary: dict
    sentences: list[str]
    failed: bool


class Rows:
    """Items as vectors whose (squared) Euclidean distance is the metric."""

    def __init__(self, metric: str, batch: int):
        self.metric, self.batch = metric, batch

    def __call__(self, items: Items, what: str) -> Shaped[np.ndarray, "item dim"]:
        if self.metric == "l2":
            return items.values.reshape(len(items.values), -1)
        return metrics.lpips_embedding(items.values, batch=self.batch, progress=f"embed {what}")

    def search(self, queries: np.ndarray, references: np.ndarray, **settings) -> neighbors.Neighbors:
        pixels = references.dtype == np.uint8
        return neighbors.search(
            queries,
            references,
            squared=self.metric == "lpips",
            scale=1 / 127.5 if pixels else 1.0,  # uint8 levels to [-1, 1]
            **settings,
        )


def run(
    settings: Settings,
    say: Callable[[str], object] = print,
    draw: Callable[[], Items] | None = None,
) -> Result:
    """Reads, compares, writes.

    Args:
      settings: what to compare, and how.
      say: gets one line at a time.
      draw: makes the samples, as `data.read` would give them, once the training set is read; the settings'
        `samples` is then only what to call them.

    Raises:
      InputError: anything in the settings, the files or the folder that cannot work.
    """
    check(settings)
    with told_in_one_sentence(settings.out), writable(settings.out):
        train, samples, holdout = load(settings, say, draw)
        metric = choose_metric(settings, train)
        rows = Rows(metric, settings.batch)
        vectors = rows(train, "training set"), rows(samples, "samples")
        distances = compare(settings, rows, *vectors, holdout)
        result = conclude(settings, metric, distances)
        for sentence in result.sentences:
            say(sentence)
        write(settings, result, train, samples, rows, *vectors)
    return result


def check(settings: Settings) -> None:
    """Refuses settings that contradict each other, before anything is read."""
    sources = {"--train": settings.train, "--samples": settings.samples, "--holdout": settings.holdout}
    seen: dict[str, str] = {}
    for flag, source in sources.items():
        if source is None:
            continue
        place = source if source.startswith(("tfds:", "idx:")) else os.path.realpath(source)
        if place in seen:
            raise InputError(f"{seen[place]} and {flag} are both {source}; give two different sets")
        seen[place] = flag
    if (settings.delta_m is None) != (settings.delta_s is None):
        raise InputError("only one of --delta-m and --delta-s is given; give both")
    if settings.delta_m is not None and settings.delta_s is not None:
        if settings.thresholds != "auto":
            raise InputError("--thresholds and --delta-m exclude each other; give one of them")
        phases.given(settings.delta_m, settings.delta_s)
    for name, choices in (("metric", METRICS), ("thresholds", RULES)):
        if getattr(settings, name) not in choices:
            raise InputError(f"--{name} {getattr(settings, name)!r} is not one of {', '.join(choices)}")
    fractions = {
        "fail-above": settings.fail_above, "ratio": settings.ratio, "fpr": settings.false_positive_rate
    }  # fmt: skip
    for name, value in fractions.items():
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"--{name} {value} is outside 0..1; give a fraction")
    if settings.false_positive_rate in (0, 1):
        raise InputError(f"--fpr {settings.false_positive_rate} leaves nothing to calibrate; 0.01 is usual")
    if settings.ratio == 0 or settings.batch < 1:
        raise InputError("--ratio and --batch must be positive; 0.333 and 64 are usual")


def load(
    settings: Settings, say: Callable[[str], object], draw: Callable[[], Items] | None = None
) -> tuple[Items, Items, Items | None]:
    """Training items, samples and held-out items, of one shape; `draw` makes the samples, see `run`."""
    options: dict[str, Any] = {
        "data_dir": settings.data_dir,
        "size": settings.size,
        "channels": settings.channels,
        "skip_bad": settings.skip_bad,
    }
    with flags_named():
        train, holdout = read(settings.train, **options)
        samples = read(settings.samples, **options)[0] if draw is None else draw()
        if settings.holdout is not None:
            holdout, _ = read(settings.holdout, **options)
    sets = {"train": train, "samples": samples} | ({"holdout": holdout} if holdout else {})
    for name, items in sets.items():
        place = getattr(settings, name) or f"held out in {settings.train}"
        note = f" ({items.note})" if items.note else ""
        say(f"{name}: {_count(items)} from {place}{note}")
        if len(items.values) < 2:
            raise InputError(f"--{name} {place} holds one item; give at least 2")
        shape, expected = items.values.shape[1:], train.values.shape[1:]
        if shape == expected:
            continue
        if len(shape) == len(expected) == 3 and shape[:2] == expected[:2]:
            raise InputError(
                f"--train has {expected[2]} channels and --{name} {shape[2]}; bring both to one kind with "
                "--channels 1 or --channels 3"
            )
        raise InputError(
            f"--train items are {_shape(expected)} and --{name} items {_shape(shape)}; bring images to one "
            "size with --size N"
        )
    if holdout is not None and settings.thresholds == "auto" and settings.delta_m is None:
        fewest = phases.fewest_held_out(settings.false_positive_rate)
        for name, items in sets.items():
            if len(items.values) < fewest:
                raise InputError(
                    f"--{name} has {len(items.values)} items, too few for held-out calibration at a rate of "
                    f"{settings.false_positive_rate:g}; give at least {fewest}, a larger --fpr, or --delta-m "
                    "and --delta-s"
                )
    return train, samples, holdout


def choose_metric(settings: Settings, train: Items) -> str:
    """L2 for one channel and for vectors, LPIPS for colour, unless the settings say."""
    colour = train.values.ndim == 4 and train.values.shape[-1] == 3
    metric = settings.metric if settings.metric != "auto" else "lpips" if colour else "l2"
    if metric == "lpips" and train.values.ndim != 4:
        raise InputError("--metric lpips compares images, and these items are vectors; use --metric l2")
    if settings.thresholds != "auto":
        phases.paper(settings.thresholds, metric)
    return metric


def compare(
    settings: Settings,
    rows: Rows,
    train: Shaped[np.ndarray, "train dim"],
    samples: Shaped[np.ndarray, "sample dim"],
    holdout: Items | None,
) -> Distances:
    """All nearest neighbours that the answer needs."""
    second = settings.ratio is not None
    near = rows.search(samples, train, k=1 + second, progress="samples in training set")
    other = rows.search(samples, samples, exclude_self=True, progress="samples among themselves")
    own = rows.search(train, train, exclude_self=True, progress="training set in itself").distance[:, 0]
    unseen = real = None
    if holdout is not None:
        queries = rows(holdout, "holdout")
        unseen = rows.search(queries, train, progress="holdout in training set").distance[:, 0]
        real = own
        if len(samples) < len(train):  # nearest distances shrink as a set grows: take one of like size
            part = train[np.sort(permutation(len(train))[: len(samples)])]
            real = rows.search(part, part, exclude_self=True, progress="real items").distance[:, 0]
    return Distances(
        train=near.distance,
        train_index=near.index,
        synthetic=other.distance[:, 0],
        synthetic_index=other.index[:, 0],
        train_own=own,
        unseen=unseen,
        real=real,
    )


def choose_thresholds(settings: Settings, metric: str, distances: Distances) -> phases.Thresholds:
    """Given numbers, the paper's by name, held-out calibration, or the valley rule, in this order."""
    if settings.delta_m is not None and settings.delta_s is not None:
        return phases.given(settings.delta_m, settings.delta_s)
    if settings.thresholds != "auto":
        return phases.paper(settings.thresholds, metric)
    if distances.unseen is not None and distances.real is not None:
        return phases.held_out(distances.unseen, distances.real, settings.false_positive_rate)
    to_train = phases.valley(distances.train[:, 0])
    if to_train.threshold is None:
        raise InputError(
            f"no threshold: the distances to the training set look unimodal (dip test p = "
            f"{to_train.p_value:.2g}), so they show no separate group of copies; give --holdout with unseen "
            "real images, or --delta-m and --delta-s, or --thresholds by name"
        )
    among = phases.valley(distances.synthetic)
    interval = to_train.interval
    if among.threshold is None:
        rule = "valley of the distances to the training set, used for both (none among the samples)"
        return phases.Thresholds(to_train.threshold, to_train.threshold, rule, interval, interval)
    return phases.Thresholds(
        to_train.threshold, among.threshold, "valley between the two modes", interval, among.interval
    )


def conclude(settings: Settings, metric: str, distances: Distances) -> Result:
    """Labels, fractions, set-level numbers, and the sentences that say them."""
    thresholds = choose_thresholds(settings, metric, distances)
    nearest = distances.train[:, 0]
    labels = phases.classify(nearest, distances.synthetic, thresholds.delta_m, thresholds.delta_s)
    fractions = phases.fractions(labels, len(distances.train_own), thresholds.delta_m, thresholds.delta_s)
    summary = dataclasses.asdict(fractions)
    summary |= {
        "metric": metric,
        "rule": thresholds.rule,
        "delta_m_interval": thresholds.delta_m_interval,
        "delta_s_interval": thresholds.delta_s_interval,
        "memorized_upper_bound_if_none": (
            statistics.zero_bound(len(labels)) if not (labels == phases.MEMORIZED).any() else None
        ),
        "train_duplicates": {
            "within_delta_m": int((distances.train_own <= thresholds.delta_m).sum()),
            "identical": int((distances.train_own == 0).sum()),
        },
        "auth_pct": statistics.auth_pct(nearest, distances.train_index[:, 0], distances.train_own),
        "data_copying_z": None,
        "holdout": None,
        "ratio": None,
    }
    if distances.unseen is not None:
        summary["data_copying_z"] = statistics.data_copying(distances.unseen, nearest)
        summary["holdout"] = {
            "num_holdout": len(distances.unseen),
            "memorized": float((distances.unseen <= thresholds.delta_m).mean()),
        }
    if settings.ratio is not None:
        first, second = _not_squared(metric, distances.train).T
        copies = phases.copies_by_ratio(first, second, settings.ratio)
        low, high = statistics.wilson_interval(int(copies.sum()), len(copies))
        summary["ratio"] = {
            "ratio": settings.ratio, "memorized": float(copies.mean()), "low": low, "high": high
        }  # fmt: skip
    failed = settings.fail_above is not None and fractions.memorized > settings.fail_above
    summary |= {"failed": failed, "settings": dataclasses.asdict(settings)}
    sentences = audit_page.answer(summary)
    summary |= {"answer": sentences}
    return Result(distances, labels, thresholds, summary, sentences, failed)


def write(
    settings: Settings,
    result: Result,
    train: Items,
    samples: Items,
    rows: Rows,
    train_rows: Shaped[np.ndarray, "train dim"],
    sample_rows: Shaped[np.ndarray, "sample dim"],
) -> None:
    """Writes the three files: all or, where the disk is full, none."""
    found = result.distances
    page = audit_page.render(
        summary=result.summary,
        train_distance=found.train[:, 0],
        synthetic_distance=found.synthetic,
        galleries=_galleries(result, train, samples, rows, train_rows, sample_rows),
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
    write_together(settings.out, {name: text.encode() for name, text in files.items()})


def _galleries(
    result: Result,
    train: Items,
    samples: Items,
    rows: Rows,
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
    near = rows.search(sample_rows[every], train_rows, k=k)
    # One more, for the sample itself is among them; it need not stand first where it has a duplicate.
    among = rows.search(sample_rows[every], sample_rows, k=min(5, len(sample_rows)))
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


@contextlib.contextmanager
def writable(folder: str) -> Iterator[None]:
    """Makes the folder and tries to write there, so that a long search does not end in vain."""
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {folder} is a file; give a folder")
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=place):
        yield


@contextlib.contextmanager
def flags_named() -> Iterator[None]:
    """Calls the reader's settings by their flags."""
    try:
        yield
    except InputError as error:
        message = re.sub(r"\bsize=(?!\d)", "--size N", str(error))
        message = re.sub(r"\bchannels=(\d)", r"--channels \1", message)
        message = re.sub(r"(?<![\w.])(skip|data)_(bad|dir)\b", r"--\1-\2", message)
        raise InputError(message) from error


@contextlib.contextmanager
def told_in_one_sentence(folder: str) -> Iterator[None]:
    """A full disk or a forbidden folder becomes one sentence."""
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        raise InputError(
            f"cannot write {where} ({error.strerror or error}); free some room or give another --out"
        ) from error


def _not_squared(metric: str, distance: np.ndarray) -> np.ndarray:
    return np.sqrt(distance) if metric == "lpips" else distance


def _count(items: Items) -> str:
    kind = "images" if items.values.ndim == 4 else "vectors"
    return f"{len(items.values):,} {kind} {_shape(items.values.shape[1:])}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if len(shape) > 1 else f"of {shape[0]} numbers"
