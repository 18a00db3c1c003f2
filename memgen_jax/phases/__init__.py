"""Turns distances into memorized / spurious / generalized, and into curves with error bars."""

from memgen_jax.phases.classify import (
    GENERALIZED,
    MEMORIZED,
    NAMES,
    SPURIOUS,
    classify,
    wilson_interval,
    zero_bound,
)

__all__ = [
    "GENERALIZED",
    "MEMORIZED",
    "NAMES",
    "SPURIOUS",
    "classify",
    "wilson_interval",
    "zero_bound",
]
