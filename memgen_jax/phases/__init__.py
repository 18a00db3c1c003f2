"""Turns distances into memorized / spurious / generalized, and into curves with error bars.

From distances to a curve:

    thresholds = phases.paper("mnist", "l2")       # or given, find_valleys, held_out
    labels = phases.classify(train_distance, synthetic_distance, thresholds.delta_m,
                             thresholds.delta_s)
    row = phases.fractions(labels, num_train, thresholds.delta_m, thresholds.delta_s)
    phases.critical_sizes(sizes, [[labels of one seed, labels of another], ...])
"""

from memgen_jax.phases.labels import (
    GENERALIZED,
    MEMORIZED,
    NAMES,
    SPURIOUS,
    classify,
)
from memgen_jax.phases.thresholds import (
    PAPER,
    Thresholds,
    Valley,
    copies_by_ratio,
    fewest_held_out,
    find_valleys,
    given,
    held_out,
    paper,
    valley,
)
from memgen_jax.phases.transition import (
    Fractions,
    critical_sizes,
    fractions,
    half_crossing,
    sensitivity,
)

__all__ = [
    "GENERALIZED",
    "MEMORIZED",
    "NAMES",
    "PAPER",
    "SPURIOUS",
    "Fractions",
    "Thresholds",
    "Valley",
    "classify",
    "copies_by_ratio",
    "critical_sizes",
    "fewest_held_out",
    "find_valleys",
    "fractions",
    "given",
    "half_crossing",
    "held_out",
    "paper",
    "sensitivity",
    "valley",
]
