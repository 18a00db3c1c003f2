"""Is a model copying its training data? Any samples against any training set, told from top to bottom."""

from collections.abc import Callable

from memgen_jax.audit.comparing import compare
from memgen_jax.audit.concluding import Result, conclude
from memgen_jax.audit.reading import choose_metric, load
from memgen_jax.audit.settings import AuditSettings, check
from memgen_jax.audit.writing import require_writable, write
from memgen_jax.data import Items


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
    for sentence in result.sentences:
        say(sentence)
    write(settings, result, train, samples, metric, *vectors)
    return result
