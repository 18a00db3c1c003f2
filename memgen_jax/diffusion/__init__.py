"""Turns data into noise and noise into data: processes, losses, samplers, likelihood."""

from memgen_jax.diffusion.losses import denoising_loss
from memgen_jax.diffusion.processes import (
    DDPM,
    OU,
    PREDICTIONS,
    VE,
    Denoiser,
    Process,
    clipped,
    denoiser_from_network,
)
from memgen_jax.diffusion.samplers import (
    SAMPLERS,
    Step,
    advance,
    ancestral_step,
    ddim_step,
    draw_prior,
    euler_maruyama_step,
    make_step,
    posterior_variance,
    probability_flow_step,
    sample,
    time_grid,
    transition_variance,
)

__all__ = [
    "DDPM",
    "OU",
    "PREDICTIONS",
    "SAMPLERS",
    "VE",
    "Denoiser",
    "Process",
    "Step",
    "advance",
    "ancestral_step",
    "clipped",
    "ddim_step",
    "denoiser_from_network",
    "denoising_loss",
    "draw_prior",
    "euler_maruyama_step",
    "make_step",
    "posterior_variance",
    "probability_flow_step",
    "sample",
    "time_grid",
    "transition_variance",
]
