"""The second paper's closed forms: when does a model come closer to the truth than to its data?"""

from memgen_jax.onset.coordinates import coordinate_kernels, overlaps_on_grid
from memgen_jax.onset.critical import critical_size, probability_positive
from memgen_jax.onset.distances import (
    LogOverlaps,
    log_cross_overlap,
    log_gaussian_overlap,
    log_ratio,
    log_self_overlap,
    log_squared_distance,
)
from memgen_jax.onset.fall import Fall, onset_of_fall, scenario, turn_window
from memgen_jax.onset.gaussians import Gaussian, isotropic, squared_hellinger
from memgen_jax.onset.linear_denoiser import (
    COVARIANCES,
    LinearDenoiser,
    fit,
    generated,
    hellinger_floor,
    limit_variance,
)
from memgen_jax.onset.simulations import LinearModel, Outcome, simulate
from memgen_jax.onset.small_sets import INTEGRALS, SmallSets, compare_small_sets
from memgen_jax.onset.views import VIEWS, Comparison, Unseen, bootstrap_delta, compare
from memgen_jax.onset.widths import KERNEL_WIDTHS, kernel_width, mixing_time

__all__ = [
    "COVARIANCES",
    "INTEGRALS",
    "KERNEL_WIDTHS",
    "VIEWS",
    "Comparison",
    "Fall",
    "Gaussian",
    "LinearDenoiser",
    "LinearModel",
    "LogOverlaps",
    "Outcome",
    "SmallSets",
    "Unseen",
    "bootstrap_delta",
    "compare",
    "compare_small_sets",
    "coordinate_kernels",
    "critical_size",
    "fit",
    "generated",
    "hellinger_floor",
    "isotropic",
    "kernel_width",
    "limit_variance",
    "log_cross_overlap",
    "log_gaussian_overlap",
    "log_ratio",
    "log_self_overlap",
    "log_squared_distance",
    "mixing_time",
    "onset_of_fall",
    "overlaps_on_grid",
    "probability_positive",
    "scenario",
    "simulate",
    "squared_hellinger",
    "turn_window",
]
