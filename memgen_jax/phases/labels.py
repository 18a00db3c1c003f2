"""Labels per sample and fractions with intervals."""

import numpy as np
from jaxtyping import Float, Int

from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.errors import FIELD, InputError

MEMORIZED = 0
"""Label of a copy: its nearest training item is within δ_m."""
SPURIOUS = 1
"""Label of a repeat: no copy, and another sample is within δ_s."""
GENERALIZED = 2
"""Label of what is neither."""
NAMES = ("memorized", "spurious", "generalized")
"""Label → its name."""


@takes_arrays
def classify(
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    delta_m: float,
    delta_s: float,
) -> Int[np.ndarray, " sample"]:
    """Labels each synthetic sample as memorized, spurious or generalized.

    Memorized: the nearest training item is within `delta_m` (Pham et al. 2025, Eq. 31). Spurious:
    not memorized, but another synthetic sample is within `delta_s` (Eq. 32). Generalized: neither
    (Eq. 33). The three classes partition the set.

    Args:
      train_distance: distance to the nearest training item, ≥ 0, in the metric's own scale (LPIPS
        is squared, L2 is not).
      synthetic_distance: distance to the nearest *other* synthetic sample, same metric.
      delta_m: largest distance at which a sample counts as a copy of a training item.
      delta_s: largest distance at which two samples count as repeats of each other.

    Returns:
      `MEMORIZED`, `SPURIOUS` or `GENERALIZED` per sample, int32.

    Raises:
      InputError: a threshold or a distance is negative or not a number.

    >>> import numpy as np
    >>> from memgen_jax import classify, phases
    >>> to_train, to_others = np.array([0.2, 5.0, 5.0]), np.array([4.0, 0.1, 4.0])
    >>> [phases.NAMES[label] for label in classify(to_train, to_others, delta_m=1.0, delta_s=0.5)]
    ['memorized', 'spurious', 'generalized']
    """
    check_thresholds(delta_m, delta_s)
    if len(train_distance) != len(synthetic_distance):
        raise InputError(
            f"there are {len(train_distance)} distances to training items and {len(synthetic_distance)} to other "
            "samples: give one of each for every sample"
        )
    if np.isnan(train_distance).any() or np.isnan(synthetic_distance).any():
        raise InputError("a distance is NaN, so its sample has no label; look for NaN pixels")
    require_distances(infinite=True, train_distance=train_distance, synthetic_distance=synthetic_distance)
    memorized = train_distance <= delta_m
    repeated = synthetic_distance <= delta_s
    return np.where(memorized, MEMORIZED, np.where(repeated, SPURIOUS, GENERALIZED)).astype(np.int32)


def check_thresholds(delta_m: float, delta_s: float) -> None:
    """Raises InputError unless both thresholds are finite, as a float32 too, and not negative."""
    for name, value in (("delta_m", delta_m), ("delta_s", delta_s)):
        if not 0 <= value <= float(np.finfo(np.float32).max):
            raise InputError(f"{FIELD[0]}={value} is not a distance; give a finite number ≥ 0", name)
