"""The transition as curves over the training-set size: fractions, and how much they owe to the thresholds."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from memgen_jax.arrays_in import as_array, takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.labels import NAMES, classify
from memgen_jax.statistics import wilson_interval


@dataclass(frozen=True)
class Fractions:
    """One point of the transition: the three fractions of one synthetic set, and 95% intervals.

    `dataclasses.asdict` of it is one row of `fractions.csv`.
    """

    num_train: int
    num_synthetic: int
    memorized: float
    memorized_low: float
    memorized_high: float
    spurious: float
    spurious_low: float
    spurious_high: float
    generalized: float
    generalized_low: float
    generalized_high: float
    delta_m: float
    delta_s: float


@takes_arrays
def fractions(
    labels: Int[np.ndarray, " sample"],
    num_train: int,
    delta_m: float,
    delta_s: float,
    confidence: float = 0.95,
) -> Fractions:
    """The three fractions of one synthetic set with Wilson intervals.

    The intervals treat samples as independent draws of one model; they hold no spread over seeds.

    Args:
      labels: `classify`'s, at least one.
      num_train: size of the training set of the model that made the samples.
      delta_m, delta_s: the thresholds that made the labels, carried along.
      confidence: two-sided level of the intervals.

    >>> import numpy as np
    >>> from memgen_jax import phases
    >>> found = phases.fractions(np.array([0, 0, 1, 2]), num_train=10, delta_m=1.0, delta_s=1.0)
    >>> found.memorized, found.spurious, found.generalized
    (0.5, 0.25, 0.25)
    >>> round(found.memorized_low, 2), round(found.memorized_high, 2)
    (0.15, 0.85)
    """
    if not num_train >= 1:
        raise InputError.setting("num_train", num_train, "at least 1")
    counts = count_labels("labels", labels)
    values: dict[str, float] = {}
    for name, count in zip(NAMES, counts.tolist(), strict=True):
        values[name] = count / len(labels)
        low, high = wilson_interval(count, len(labels), confidence)
        values[f"{name}_low"], values[f"{name}_high"] = low, high
    return Fractions(
        num_train=num_train,
        num_synthetic=len(labels),
        delta_m=float(delta_m),
        delta_s=float(delta_s),
        **values,
    )


@takes_arrays
def sensitivity(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    delta_m: Float[np.ndarray, " m"],
    delta_s: Float[np.ndarray, " s"],
) -> Float[np.ndarray, "m s phase=3"]:
    """The three fractions at every pair of thresholds: how much a result owes to their choice.

    >>> import numpy as np
    >>> from memgen_jax import phases
    >>> nearest, other = np.array([0.5, 1.5, 3.0]), np.array([9.0, 9.0, 9.0])
    >>> table = phases.sensitivity(nearest, other, np.array([1.0, 2.0]), np.array([1.0]))
    >>> table[:, 0, phases.MEMORIZED].round(2).tolist()
    [0.33, 0.67]
    """
    table = np.empty((len(delta_m), len(delta_s), len(NAMES)))
    for row, m in enumerate(delta_m):
        for column, s in enumerate(delta_s):
            labels = classify(train_distance, synthetic_distance, float(m), float(s))
            table[row, column] = np.bincount(labels, minlength=len(NAMES)) / len(labels)
    return table


def count_labels(name: str, labels: Any) -> np.ndarray:
    """How many of each phase, int64 [3].

    Raises:
      InputError: there is no label, or one that names no phase.
    """
    found = as_array(name, labels).reshape(-1)
    if not len(found):
        raise InputError(f"{name} is empty: give at least one label")
    strange = found[~np.isin(found, range(len(NAMES)))]
    if len(strange):
        raise InputError(
            f"{name} holds {strange[0]}, which names no phase: labels are 0, 1 and 2, as phases.classify has them"
        )
    return np.bincount(found.astype(np.int64), minlength=len(NAMES))
