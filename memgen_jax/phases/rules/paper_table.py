"""The rule "paper": thresholds that the paper set by eye."""

from typing import NamedTuple

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.phases.rules.thresholds import Thresholds


class PaperThresholds(NamedTuple):
    delta_m: float
    delta_s: float
    metric: str  # "l2" on pixels in [-1, 1], or "lpips" (AlexNet v0.1, squared)


# Pham et al. 2025, Table 2. The paper does not state the pixel range of its L2; [-1, 1] is taken.
PAPER = {
    "cifar10": PaperThresholds(0.03, 0.018, "lpips"),
    "lsun_church": PaperThresholds(0.12, 0.05, "lpips"),
    "fashion_mnist": PaperThresholds(4.5, 2.5, "l2"),
    "mnist": PaperThresholds(4.5, 3.5, "l2"),
}
"""Data set → its thresholds and the metric they belong to (Pham et al. 2025, Table 2)."""


@takes_arrays
def paper(name: str, metric: str) -> Thresholds:
    """The paper's thresholds for one data set (Pham et al. 2025, Table 2).

    Raises:
      InputError: no such data set, or its thresholds belong to the other metric.

    >>> from memgen_jax import phases
    >>> phases.paper("mnist", "l2")
    Thresholds(delta_m=4.5, delta_s=3.5, rule='paper: mnist', delta_m_interval=None, delta_s_interval=None)
    """
    if name not in PAPER:
        raise InputError(f"no paper thresholds for {name!r}; choose one of {', '.join(PAPER)}")
    delta_m, delta_s, needed = PAPER[name]
    if metric != needed:
        raise InputError(
            f"the paper's thresholds for {name} are {needed} distances, not {metric}; "
            f"measure with metric {needed} or give delta_m and delta_s"
        )
    return Thresholds(delta_m, delta_s, f"paper: {name}")
