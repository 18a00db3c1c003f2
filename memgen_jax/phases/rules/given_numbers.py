"""The rule "given": explicit numbers."""

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.phases.labels import check_thresholds
from memgen_jax.phases.rules.thresholds import Thresholds


@takes_arrays
def given(delta_m: float, delta_s: float) -> Thresholds:
    """Explicit numbers.

    >>> from memgen_jax import phases
    >>> phases.given(1.0, 0.5).rule
    'given'
    """
    check_thresholds(delta_m, delta_s)
    return Thresholds(float(delta_m), float(delta_s), "given")
