"""Thresholds by the name of their rule, from whatever evidence the rule needs."""

import dataclasses
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
from jaxtyping import Float

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.rules.given_numbers import given
from memgen_jax.phases.rules.held_out_images import held_out
from memgen_jax.phases.rules.paper_table import paper
from memgen_jax.phases.rules.thresholds import Thresholds
from memgen_jax.phases.rules.valleys import find_valleys

RuleName = Literal["given", "paper", "valley", "held_out"]
"""The rules for the thresholds that have a name."""
RULES: tuple[str, ...] = get_args(RuleName)
"""The names as a tuple."""


@runtime_checkable
class Evidence(Protocol):
    """Distances, measured when a rule asks for them."""

    def of_samples(self) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " other"]]:
        """Of samples: to the nearest training item, and to the nearest other sample of their set."""

    def of_real(self) -> tuple[Float[np.ndarray, " unseen *subset"], Float[np.ndarray, " real *draw"]]:
        """Of held-out items to the nearest training item, and of real items to their nearest other; see `held_out`."""


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Rule:
    """How to set the thresholds.

    Attributes:
      name: "given", "paper", "valley" or "held_out".
      delta_m, delta_s: of "given".
      table: whose thresholds "paper" takes, one of `PAPER`.
      metric: name of the metric in which the distances are.
      false_positive_rate: of "held_out".
      one_for_both: of "valley"; see `find_valleys`.
    """

    name: str
    delta_m: float = 0.0
    delta_s: float = 0.0
    table: str = ""
    metric: str = "l2"
    false_positive_rate: float = 0.01
    one_for_both: bool = False


@takes_arrays
def choose_thresholds(rule: Rule, evidence: Evidence) -> Thresholds:
    """Both thresholds by a rule.

    Raises:
      InputError: no such rule, or the evidence does not suffice for it (`NoValley` where none is found).
    """
    if rule.name == "given":
        return given(rule.delta_m, rule.delta_s)
    if rule.name == "paper":
        return paper(rule.table, rule.metric)
    if rule.name == "held_out":
        return held_out(*evidence.of_real(), rule.false_positive_rate)
    if rule.name == "valley":
        return find_valleys(*evidence.of_samples(), one_for_both=rule.one_for_both)
    raise InputError(f"rule {rule.name!r} is not one of {', '.join(RULES)}.")
