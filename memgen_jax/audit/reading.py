"""Reads the sets that an audit compares, and refuses those that cannot be compared."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from memgen_jax import metrics, phases
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.data import Items, read_sets
from memgen_jax.errors import InputError


def load(
    settings: AuditSettings, say: Callable[[str], object], draw: Callable[[], Items] | None = None
) -> tuple[Items, Items, Items | None]:
    """Training items, samples and held-out items, of one shape; `draw` makes the samples, see `run`."""
    options: dict[str, Any] = {
        "data_dir": settings.data_dir,
        "size": settings.size,
        "channels": settings.channels,
        "skip_bad": settings.skip_bad,
        "value_range": settings.value_range,
    }
    train, holdout = read_sets(settings.sources("train"), **options)
    samples = read_sets(settings.sources("samples"), **options)[0] if draw is None else draw()
    if settings.holdout is not None:
        holdout, _ = read_sets(settings.sources("holdout"), **options)
    sets = {"train": train, "samples": samples} | ({"holdout": holdout} if holdout else {})
    for name, items in sets.items():
        place = settings.called(name)
        note = f" ({items.note})" if items.note else ""
        say(f"{name}: {_count(items)} from {place}{note}")
    ranges = {name: items.note for name, items in sets.items() if items.note.startswith("floats in")}
    if len(set(ranges.values())) > 1:
        say(
            "Warning: the sets are floats of different ranges, "
            + "; ".join(f"{name}: {note}" for name, note in ranges.items())
            + ". If that is not so, say the range."
        )
    require_comparable(settings, sets)
    if holdout is not None:
        holdout = without_shared(settings, train, holdout, say)
    return train, samples, holdout


def without_shared(
    settings: AuditSettings, train: Items, holdout: Items, say: Callable[[str], object]
) -> Items:
    """The held-out items that are in the training set by no copy: the others would make every threshold 0."""
    seen = {item.tobytes() for item in train.values}
    unseen = np.array([item.tobytes() not in seen for item in holdout.values])
    shared = int((~unseen).sum())
    if not shared:
        return holdout
    share = shared / len(unseen)
    say(
        f"Warning: {shared:,} of {len(unseen):,} held-out items ({100 * share:.2g}%) are in the training set, "
        "identical; they are left out of the calibration."
        + (
            " So many say that the two sets were not kept apart."
            if share >= settings.false_positive_rate
            else ""
        )
    )
    kept = holdout._replace(
        values=holdout.values[unseen], names=[n for n, own in zip(holdout.names, unseen, strict=True) if own]
    )
    require_comparable(settings, {"train": train, "samples": train, "holdout": kept})
    return kept


def require_comparable(settings: AuditSettings, sets: Mapping[str, Items]) -> None:
    """Refuses sets of different shapes, or too few items for what is asked.

    Args:
      sets: "train", "samples" and perhaps "holdout".
    """
    train = sets["train"]
    for name, items in sets.items():
        place = settings.called(name)
        if len(items.values) < 2:
            raise InputError(f"{{0}} {place} holds one item; give at least 2", name)
        shape, expected = items.values.shape[1:], train.values.shape[1:]
        if shape == expected:
            continue
        if len(shape) == len(expected) == 3 and shape[:2] == expected[:2]:
            raise InputError(
                f"{{0}} has {expected[2]} channels and {{1}} {shape[2]}; bring both to one kind with "
                "{2}=1 or {2}=3",
                "train",
                name,
                "channels",
            )
        raise InputError(
            f"{{0}} items are {_shape(expected)} and {{1}} items {_shape(shape)}; bring images to one "
            "size with {2}=N",
            "train",
            name,
            "size",
        )
    if "holdout" in sets and settings.thresholds == "auto" and settings.delta_m is None:
        fewest = phases.fewest_held_out(settings.false_positive_rate)
        for name, items in sets.items():
            if len(items.values) < fewest:
                raise InputError(
                    f"{{0}} has {len(items.values)} items, too few for held-out calibration at a rate of "
                    f"{settings.false_positive_rate:g}; give at least {fewest}, a larger {{1}}, or {{2}} and {{3}}",
                    name,
                    "false_positive_rate",
                    "delta_m",
                    "delta_s",
                )


def _count(items: Items) -> str:
    kind = "images" if items.values.ndim == 4 else "vectors"
    return f"{len(items.values):,} {kind} {_shape(items.values.shape[1:])}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if len(shape) > 1 else f"of {shape[0]} numbers"


def choose_metric(settings: AuditSettings, train: Items) -> metrics.Metric:
    """L2 for one channel and for vectors, LPIPS for colour, unless the settings say."""
    shape = train.values.shape[1:]
    name = settings.metric if settings.metric != "auto" else metrics.usual_metric(shape)
    metric = metrics.make_metric(name, shape, batch=settings.batch)
    if settings.thresholds != "auto":
        if train.values.ndim != 4:
            raise InputError(
                f"{{0}} {settings.thresholds} belong to images in [-1, 1], and {{1}} holds vectors: give {{2}} and "
                "{3}, or {4}",
                "thresholds",
                "train",
                "delta_m",
                "delta_s",
                "holdout",
            )
        phases.paper(settings.thresholds, metric.name)
    return metric
