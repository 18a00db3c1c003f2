"""Is a model copying its training data? Any samples against any training set, told from top to bottom."""

import dataclasses
import difflib
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from memgen_jax import metrics
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.audit import parts
from memgen_jax.audit.comparing import Distances, Side, compare, side_of
from memgen_jax.audit.concluding import Result, conclude
from memgen_jax.audit.folder import DISTANCES, SKIPPED, require_writable
from memgen_jax.audit.foretelling import Counts, foretell
from memgen_jax.audit.reading import (
    Read,
    brought_together,
    choose_metric,
    foresee,
    items_at_hand,
    load,
)
from memgen_jax.audit.settings import AuditSettings, check, refuse_thresholds_of_plain_images
from memgen_jax.audit.stored import Compared, read_compared
from memgen_jax.audit.writing import Sides, write, write_unlabelled
from memgen_jax.data import Items, count_by_kind
from memgen_jax.errors import FIELD, InputError


@takes_arrays
def run(
    settings: AuditSettings,
    say: Callable[[str], object] = print,
    draw: Callable[[], Items] | None = None,
    merge: bool = False,
) -> Result:
    """Reads, compares, writes `labels.csv`, `summary.json`, `report.html` and `distances.npz`.

    Where no threshold can be had, the distances and a page without labels are written before that is raised.

    Args:
      settings: what to compare, and how.
      say: gets one line at a time.
      draw: makes the samples, as `data.read` would give them, once the training set is read; the settings'
        `samples` is then only what to call them.
      merge: take the distances from the parts in the output folder, see `run_part`.

    Raises:
      InputError: anything in the settings, the files or the folder that cannot work.
    """
    check(settings)
    if settings.distances is None:
        foresee(settings)
    require_writable(settings.out)
    if settings.distances is not None:
        compared = read_compared(settings.distances)
        settings = dataclasses.replace(settings, up_to=compared.up_to)
        refuse_thresholds_of_plain_images(settings)
        if settings.thresholds == "sscd" and compared.encoder is None:
            raise InputError(
                f"{FIELD[0]} sscd belong to an encoder's distances, and {FIELD[1]} holds others",
                "thresholds",
                "distances",
            )
        return conclude_and_write(settings, compared, None, say)
    sets = load(settings, say, draw)
    train, samples, holdout = sets.train, sets.samples, sets.holdout
    metric = choose_metric(settings, train.values.shape[1:])
    if settings.orbit is not None:
        say(f"Every item is compared in {len(settings.orbit)} versions, which takes as many times as long.")
    if not merge:
        foretell(settings, metric, Counts.of(train, samples, holdout), train.values, say)
    sides = Sides(
        side_of(settings, metric, train, "training set"),
        side_of(settings, metric, samples, "samples"),
    )
    found = (
        parts.join(settings, metric, train, samples, holdout)
        if merge
        else compare(settings, metric, *sides, holdout)
    )
    result = conclude_and_write(settings, compared_of(settings, metric, sets, found), sides, say)
    if merge:
        parts.take_away(settings)
    return result


def compared_of(settings: AuditSettings, metric: metrics.Metric, sets: Read, found: Distances) -> Compared:
    """What was found of the sets, with all that reading had to say."""
    read = {"train": sets.train, "samples": sets.samples}
    read |= {"holdout": sets.holdout} if sets.holdout else {}
    return Compared(
        found,
        metric.name,
        sets.train.values.shape[1:],
        sets.train.names,
        sets.samples.names,
        settings.up_to,
        metric.file if isinstance(metric, metrics.Encoder) else None,
        _told(settings, read, sets),
        [(name, item, why) for name, items in read.items() for item, why in items.left_out],
    )


def _told(settings: AuditSettings, read: Mapping[str, Items], sets: Read) -> dict:
    """What reading has to say, for the summary."""
    left_out = {
        name: dict(items.unread) | ({"unreadable": len(items.skipped)} if items.skipped else {})
        for name, items in read.items()
    }
    return {
        "unread": {name: dict(items.unread) for name, items in read.items() if items.unread},
        "shared": [dataclasses.asdict(shared) for shared in sets.shared],
        "remarks": list(sets.remarks),
        "called": {name: settings.called(name) for name in read},
        "left_out": {name: f"{count_by_kind(what)} ({SKIPPED})" for name, what in left_out.items() if what},
    }


def conclude_and_write(
    settings: AuditSettings, compared: Compared, sides: Sides | None, say: Callable[[str], object]
) -> Result:
    """The answer; where no threshold can be had, the distances are kept all the same."""
    metric = compared.chosen_metric(settings.batch)
    try:
        result = conclude(settings, metric, compared.distances, len(compared.train_names))
    except InputError as error:
        if settings.distances is None:
            write_unlabelled(settings, compared, metric, error)
            raise error.and_so(
                f"; the distances are kept, and memgen audit --distances "
                f"{shlex.quote(str(Path(settings.out) / DISTANCES))} with thresholds labels them in a second"
            ) from None
        raise
    result.summary.update(compared.told)
    write(settings, result, compared, metric, sides)
    for sentence in result.sentences:
        say(sentence)
    return result


def _require_known(given: Iterable[str]) -> None:
    """Refuses what `audit_arrays` has no setting for, with the names that come closest."""
    here = ("train", "samples", "holdout", "out")  # its own arguments, and what arrays do not have
    known = [field.name for field in dataclasses.fields(AuditSettings) if field.name not in here]
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, 3, 0.5)
            hint = f"did you mean {' or '.join(close)}?" if close else f"give one of {', '.join(known)}"
            raise InputError(f"audit_arrays has no setting {name}: {hint}")


@takes_arrays
def audit_arrays(
    train: Shaped[np.ndarray, "train ..."],
    samples: Shaped[np.ndarray, "sample ..."],
    holdout: Shaped[np.ndarray, "unseen ..."] | None = None,
    **settings,
) -> Result:
    """The same for arrays, with nothing written.

    Args:
      train, samples, holdout: images or vectors as `data.read_array` takes them: uint8, or floats in one range for all
        sets, [item, height, width, channel] or channels first; vectors are floats [item, dim].
      settings: further fields of `AuditSettings`, such as `metric`, `delta_m`, `delta_s`.
    Returns:
      The answer; its `sentences` say it, its `labels` are those of `phases.classify`, its `summary` is what
      `summary.json` would hold. Held-out items that are in the training set, identical, leave the calibration;
      `summary["remarks"]` says so, and what else should be known first.
    Raises:
      InputError: arrays of another kind, or settings that cannot work.

    >>> import numpy as np
    >>> from memgen_jax import audit_arrays, load
    >>> digits = load("digits")
    >>> samples = np.concatenate([digits.train[:30], digits.held_out[:70]])  # 30 copies planted
    >>> audit_arrays(digits.train, samples, delta_m=0.5, delta_s=0.5).summary["memorized"]
    0.3
    """
    _require_known(settings)
    asked = AuditSettings(
        train="train", samples="samples", out="", holdout=None if holdout is None else "holdout", **settings
    )
    check(asked)
    given = {"train": train, "samples": samples} | ({} if holdout is None else {"holdout": holdout})
    items = items_at_hand(given, asked)
    sets = brought_together(asked, items, {}, lambda _: None)
    metric = choose_metric(asked, sets.train.values.shape[1:])
    train_side, samples_side = (
        Side(one.values, metric.vectors(one.values)) for one in (sets.train, sets.samples)
    )
    distances = compare(asked, metric, train_side, samples_side, sets.holdout)
    result = conclude(asked, metric, distances, len(train))
    result.summary.update(compared_of(asked, metric, sets, distances).told)
    return result
