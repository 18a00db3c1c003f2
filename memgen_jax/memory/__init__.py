"""The exact answer for a finite training set: diffusion as a dense associative memory."""

from memgen_jax.memory.attractors import (
    AT_PATTERN,
    FLAT,
    OFF_PATTERNS,
    Attractor,
    Minima,
    descend,
    distinct_minima,
    kind_of_attractor,
)
from memgen_jax.memory.circle import (
    circle_denoised,
    circle_energy,
    circle_log_density,
    circle_score,
    ring_radius,
)
from memgen_jax.memory.energy import (
    Posterior,
    energy_am,
    energy_dm,
    exact_denoiser,
    exact_jacobian,
    exact_score,
    log_density,
    posterior,
)
from memgen_jax.memory.retrieval import Retrieval, retrieve, retrieve_once

__all__ = [
    "AT_PATTERN",
    "FLAT",
    "OFF_PATTERNS",
    "Attractor",
    "Minima",
    "Posterior",
    "Retrieval",
    "circle_denoised",
    "circle_energy",
    "circle_log_density",
    "circle_score",
    "descend",
    "distinct_minima",
    "energy_am",
    "energy_dm",
    "exact_denoiser",
    "exact_jacobian",
    "exact_score",
    "kind_of_attractor",
    "log_density",
    "posterior",
    "retrieve",
    "retrieve_once",
    "ring_radius",
]
