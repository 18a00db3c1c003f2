"""Is a model copying its training data? Any samples against any training set, told from top to bottom."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.audit.comparing import compare
from memgen_jax.audit.concluding import Result, conclude
from memgen_jax.audit.reading import choose_metric, load, require_comparable
from memgen_jax.audit.settings import AuditSettings, check
from memgen_jax.audit.writing import require_writable, write
from memgen_jax.data import Items, count_by_kind
from memgen_jax.errors import InputError


def run(
    settings: AuditSettings,
    say: Callable[[str], object] = print,
    draw: Callable[[], Items] | None = None,
) -> Result:
    """Reads, compares, writes `labels.csv`, `summary.json` and `report.html`.

    Args:
      settings: what to compare, and how.
      say: gets one line at a time.
      draw: makes the samples, as `data.read` would give them, once the training set is read; the settings'
        `samples` is then only what to call them.

    Raises:
      InputError: anything in the settings, the files or the folder that cannot work.
    """
    check(settings)
    require_writable(settings.out)
    train, samples, holdout = load(settings, say, draw)
    metric = choose_metric(settings, train)
    vectors = (
        metric.vectors(train.values, "embed training set"),
        metric.vectors(samples.values, "embed samples"),
    )
    distances = compare(settings, metric, *vectors, holdout)
    result = conclude(settings, metric, distances)
    read = {"train": train, "samples": samples} | ({"holdout": holdout} if holdout else {})
    result.summary["called"] = {name: settings.called(name) for name in read}
    result.summary["left_out"] = {
        name: f"{count_by_kind(what)} (skipped.csv)" if items.skipped else count_by_kind(what)
        for name, items in read.items()
        if (what := dict(items.unread) | ({"unreadable": len(items.skipped)} if items.skipped else {}))
    }
    for sentence in result.sentences:
        say(sentence)
    write(settings, result, read, metric, *vectors)
    return result


@takes_arrays
def audit_arrays(
    train: Shaped[np.ndarray, "train ..."],
    samples: Shaped[np.ndarray, "sample ..."],
    holdout: Shaped[np.ndarray, "unseen ..."] | None = None,
    **settings,
) -> Result:
    """The same for arrays, with nothing written.

    Args:
      train, samples, holdout: uint8 images [item, height, width, channel], or float vectors [item, dim].
      settings: further fields of `AuditSettings`, such as `metric`, `delta_m`, `delta_s`.
    Returns:
      The answer; its `sentences` say it, its `labels` are those of `phases.classify`.
    Raises:
      InputError: arrays of another kind, or settings that cannot work.

    >>> import numpy as np
    >>> from memgen_jax import audit_arrays, load
    >>> digits = load("digits")
    >>> samples = np.concatenate([digits.train[:30], digits.held_out[:70]])  # 30 copies planted
    >>> audit_arrays(digits.train, samples, delta_m=0.5, delta_s=0.5).summary["memorized"]
    0.3
    """
    asked = AuditSettings(
        train="train", samples="samples", out="", holdout=None if holdout is None else "holdout", **settings
    )
    check(asked)
    given = {"train": train, "samples": samples} | ({} if holdout is None else {"holdout": holdout})
    items = {name: _items(name, values) for name, values in given.items()}
    require_comparable(asked, items)
    metric = choose_metric(asked, items["train"])
    train, samples = (metric.vectors(items[name].values) for name in ("train", "samples"))
    return conclude(asked, metric, compare(asked, metric, train, samples, items.get("holdout")))


def _items(name: str, values: np.ndarray) -> Items:
    images = values.dtype == np.uint8 and values.ndim == 4
    if not images and not (np.issubdtype(values.dtype, np.floating) and values.ndim == 2):
        raise InputError(
            f"{{0}} is {values.dtype} of shape {values.shape}: give uint8 images [item, height, width, channel] "
            "or float vectors [item, dim]",
            name,
        )
    return Items(
        values if images else values.astype(np.float32), [f"{name}[{i}]" for i in range(len(values))]
    )
