"""Turns distances into memorized / spurious / generalized, and into curves with error bars.

From distances to a curve:

    thresholds = phases.paper("mnist", "l2")       # or given, find_valleys, held_out
    labels = phases.classify(train_distance, synthetic_distance, thresholds.delta_m,
                             thresholds.delta_s)
    row = phases.fractions(labels, num_train, thresholds.delta_m, thresholds.delta_s)
    phases.critical_sizes(sizes, [[labels of one seed, labels of another], ...])
"""

from memgen_jax.phases.critical import (
    PhaseShares,
    critical_from_shares,
    critical_sizes,
    grouped_shares,
    half_crossing,
    plain_shares,
    with_grouped_repeats,
)
from memgen_jax.phases.labels import (
    GENERALIZED,
    MEMORIZED,
    NAMES,
    SPURIOUS,
    classify,
)
from memgen_jax.phases.rules.choose import RULES, Evidence, Rule, RuleName, choose_thresholds
from memgen_jax.phases.rules.given_numbers import given
from memgen_jax.phases.rules.held_out_images import fewest_held_out, held_out
from memgen_jax.phases.rules.held_out_rate import held_out_rate
from memgen_jax.phases.rules.paper_table import PAPER, paper
from memgen_jax.phases.rules.ratio import copies_by_ratio
from memgen_jax.phases.rules.real_sets import real_sets, repeat_threshold
from memgen_jax.phases.rules.thresholds import Thresholds
from memgen_jax.phases.rules.valleys import NoValley, Valley, find_valleys, valley
from memgen_jax.phases.transition import Fractions, fractions, sensitivity

__all__ = [
    "GENERALIZED",
    "MEMORIZED",
    "NAMES",
    "PAPER",
    "RULES",
    "SPURIOUS",
    "Evidence",
    "Fractions",
    "NoValley",
    "PhaseShares",
    "Rule",
    "RuleName",
    "Thresholds",
    "Valley",
    "choose_thresholds",
    "classify",
    "copies_by_ratio",
    "critical_from_shares",
    "critical_sizes",
    "fewest_held_out",
    "find_valleys",
    "fractions",
    "given",
    "grouped_shares",
    "half_crossing",
    "held_out",
    "held_out_rate",
    "paper",
    "plain_shares",
    "real_sets",
    "repeat_threshold",
    "sensitivity",
    "valley",
    "with_grouped_repeats",
]
