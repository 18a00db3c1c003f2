"""Reads the sets that an audit compares, and refuses those that cannot be compared."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from memgen_jax import metrics, phases
from memgen_jax.audit import budget, likeness, shared
from memgen_jax.audit.encoding import open_encoder
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.data import (
    Items,
    as_pixels,
    decide_ranges,
    float_span,
    foresee_shape,
    in_one_colour,
    legible,
    of_arrays,
    read_sets,
    room,
    span_at_hand,
    span_of_one_set,
    with_unused,
)
from memgen_jax.errors import FIELD, InputError


class Read(NamedTuple):
    """The sets of an audit, of one shape.

    Attributes:
      holdout: without the items that are in the training set, identical.
      shared: what the sets have in common.
      remarks: sentences on that, and on what else should be known before the answer.
      whole_holdout: as read.
    """

    train: Items
    samples: Items
    holdout: Items | None
    shared: Sequence[shared.Shared]
    remarks: Sequence[str]
    whole_holdout: Items | None = None


def load(
    settings: AuditSettings,
    say: Callable[[str], object],
    draw: Callable[[], Items] | None = None,
    before: Read | None = None,
    ranges: Mapping[str, str] | None = None,
) -> Read:
    """Reads the sets; `draw` makes the samples, see `run`.

    Args:
      before: an earlier audit's, of the same training and held-out set, which are taken from it.
      ranges: of the sets that hold float images; decided here where not given.
    Raises:
      InputError: a set cannot be read, or they cannot be compared.
    """
    options: dict[str, Any] = {
        "data_dir": settings.data_dir,
        "size": settings.size,
        "channels": settings.channels,
        "skip_bad": settings.skip_bad,
        "layout": settings.layout,
        "memory": budget.of(settings.memory).items,
    }
    if warning := budget.warning(settings.memory):
        say(warning)
    if ranges is None:
        ranges = decided_ranges(settings, drawn=draw is not None)

    def read(name: str) -> tuple[Items, Items | None]:
        return read_sets(
            settings.sources(name), value_range=ranges.get(name), progress=f"read {name}", **options
        )

    train, holdout = read("train") if before is None else (before.train, before.whole_holdout)
    samples = with_unused(*read("samples")) if draw is None else draw()
    if before is None and settings.holdout is not None:
        train = with_unused(train, holdout)
        holdout = with_unused(*read("holdout"))
    sets = {"train": train, "samples": samples} | ({"holdout": holdout} if holdout else {})
    for name, items in sets.items():
        if before is not None and name != "samples":
            continue
        note = f" ({items.note})" if items.note else ""
        say(legible(f"{name}: {_count(items)} from {settings.called(name)}{note}"))
    return brought_together(settings, sets, ranges, say)


def brought_together(
    settings: AuditSettings,
    sets: Mapping[str, Items],
    ranges: Mapping[str, str],
    say: Callable[[str], object],
) -> Read:
    """Sets at hand, with what they share counted and left out of the calibration.

    Args:
      sets: "train", "samples" and perhaps "holdout".
      ranges: of those that were floats.
    Raises:
      InputError: they cannot be compared.
    """
    alike = in_one_colour(list(sets.values()), budget.of(settings.memory).items)
    sets = dict(zip(sets, alike, strict=True))
    require_comparable(settings, sets)
    found, inside = shared.find(sets)
    remarks = [one.sentence(settings.false_positive_rate) for one in found]
    if len(set(ranges.values())) > 1:
        told = "; ".join(f"{name}: {stored}" for name, stored in ranges.items())
        remarks.append(
            f"Warning: the sets are floats of different ranges, {told}. If that is not so, say the range."
        )
    remarks += likeness.warnings(sets)
    for remark in remarks:
        say(remark)
    holdout = whole_holdout = sets.get("holdout")
    if holdout is not None and inside is not None and inside.any():
        holdout = holdout._replace(
            values=room.taken(holdout.values, np.flatnonzero(~inside), budget.of(settings.memory).items),
            names=[name for name, own in zip(holdout.names, inside, strict=True) if not own],
        )
        require_comparable(settings, {**sets, "holdout": holdout})
    return Read(sets["train"], sets["samples"], holdout, found, remarks, whole_holdout)


def items_at_hand(given: Mapping[str, np.ndarray], settings: AuditSettings | None = None) -> dict[str, Items]:
    """Arrays as sets, as if they had been read from files: floats in one range for all, channels where they fit.

    Whole numbers of another type in 0..255, such as lists give, are pixels.

    Args:
      given: what sentences call a set -> its items.
      settings: their `size`, `channels`, `layout` and `value_range` count.
    Raises:
      InputError: names what cannot be items.
    """
    asked = settings or AuditSettings()
    arrays = {name: as_pixels(values) for name, values in given.items()}
    spans = {
        name: span for name, values in arrays.items() if (span := span_at_hand(values, name, asked.layout))
    }
    ranges = decide_ranges(spans, asked.value_range)
    options = {"size": asked.size, "channels": asked.channels, "layout": asked.layout}
    return {
        name: of_arrays([values], name, value_range=ranges.get(name), **options)[0]  # type: ignore[arg-type]
        for name, values in arrays.items()
    }


def decided_ranges(settings: AuditSettings, drawn: bool = False) -> dict[str, str]:
    """The range of every set of float images, decided for all of them together."""
    spans: dict[str, tuple[float, float]] = {}
    for name in ("train", "samples", "holdout"):
        if name == "samples" and drawn:
            continue
        own = {s: span for s in settings.sources(name) if (span := float_span(s, settings.layout))}
        if own:
            spans[name] = span_of_one_set(own, settings.value_range)
    called = {f"{name} ({settings.called(name)})": span for name, span in spans.items()}
    decided = decide_ranges(called, settings.value_range)
    return dict(zip(spans, decided.values(), strict=True))


def require_comparable(settings: AuditSettings, sets: Mapping[str, Items]) -> None:
    """Refuses sets of different shapes, or too few items for what is asked.

    Args:
      sets: "train", "samples" and perhaps "holdout".
    """
    train = sets["train"]
    for name, items in sets.items():
        place = settings.called(name)
        if len(items.values) < 2:
            few = "no item that is not in the training set" if len(items.values) == 0 else "one item"
            what = f" ({items.note})" if items.note else ""
            where = "" if place == name else f" {place}"  # of arrays at hand the name is all
            raise InputError(f"{FIELD[0]}{where} holds {few}{what}; give at least 2", name)
        shape, expected = items.values.shape[1:], train.values.shape[1:]
        if shape == expected:
            continue
        if len(shape) == len(expected) == 3 and shape[:2] == expected[:2]:
            raise InputError(
                f"{FIELD[0]} has {expected[2]} channels and {FIELD[1]} {shape[2]}; bring both to one kind with "
                f"{FIELD[2]}=1 or {FIELD[2]}=3",
                "train",
                name,
                "channels",
            )
        if len(shape) != 3 or len(expected) != 3:
            raise InputError(
                f"{FIELD[0]} items are {_kind(expected)} and {FIELD[1]} items {_kind(shape)}; give sets of one kind "
                "and length",
                "train",
                name,
            )
        raise InputError(
            f"{FIELD[0]} items are {_shape(expected)} and {FIELD[1]} items {_shape(shape)}; bring images to one "
            f"size with {FIELD[2]}=N",
            "train",
            name,
            "size",
        )
    if "holdout" in sets and settings.thresholds == "auto" and settings.delta_m is None:
        # Real sets as large as the samples are drawn from these and the training set: both may be small.
        fewest, count = phases.fewest_held_out(settings.false_positive_rate), len(sets["holdout"].values)
        if count < fewest:
            raise InputError(
                f"{FIELD[0]} has {count} items, too few for held-out calibration at a rate of "
                f"{settings.false_positive_rate:g}; give at least {fewest}, a larger {FIELD[1]}, or {FIELD[2]} and "
                f"{FIELD[3]}",
                "holdout",
                "false_positive_rate",
                "delta_m",
                "delta_s",
            )


def _count(items: Items) -> str:
    kind = "images" if items.values.ndim == 4 else "vectors"
    return f"{len(items.values):,} {kind} {_shape(items.values.shape[1:])}"


def _kind(shape: tuple[int, ...]) -> str:
    return f"{'images' if len(shape) == 3 else 'vectors'} {_shape(shape)}"


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if len(shape) > 1 else f"of {shape[0]} numbers"


def choose_metric(settings: AuditSettings, shape: tuple[int, ...]) -> metrics.Metric:
    """The encoder; or L2 for one channel and for vectors, LPIPS for colour, unless the settings say.

    Args:
      shape: of one item.
    Raises:
      InputError: what the settings ask for does not go with such items, or weights are missing.
    """
    memory = budget.of(settings.memory).embedding
    if settings.encoder is not None:
        metric: metrics.Metric = open_encoder(settings.encoder, settings.batch, memory)
        metric.require_shape(shape)
    else:
        name = settings.metric if settings.metric != "auto" else metrics.usual_metric(shape)
        metric = metrics.make_metric(name, shape, batch=settings.batch, memory=memory)
    if settings.thresholds not in ("auto", "sscd"):
        if len(shape) != 3:
            raise InputError(
                f"{FIELD[0]} {settings.thresholds} belong to images in [-1, 1], and {FIELD[1]} holds vectors: give "
                f"{FIELD[2]} and {FIELD[3]}, or {FIELD[4]}",
                "thresholds",
                "train",
                "delta_m",
                "delta_s",
                "holdout",
            )
        phases.paper(settings.thresholds, metric.name)
    if settings.orbit is not None:
        settings.orbit.require_shape(shape)
    if settings.save_pairs and len(shape) != 3:
        raise InputError(
            f"{FIELD[0]} is for images, and {FIELD[1]} holds vectors; leave it out", "save_pairs", "train"
        )
    metric.require_ready()
    return metric


def foresee(settings: AuditSettings) -> None:
    """Refuses, before anything is read, what cannot work with items such as the first training item.

    Raises:
      InputError: as `choose_metric`, or there is no such training set.
    """
    shape = foresee_shape(
        settings.sources("train")[0], size=settings.size, channels=settings.channels, layout=settings.layout
    )
    if shape is not None:
        choose_metric(settings, shape)
