"""The exact answer for a finite training set: diffusion as a dense associative memory."""

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

__all__ = [
    "Posterior",
    "energy_am",
    "energy_dm",
    "exact_denoiser",
    "exact_jacobian",
    "exact_score",
    "log_density",
    "posterior",
]
