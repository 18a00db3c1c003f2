"""Turns a PyTorch diffusion pipeline on disk into JAX functions (optional extra `memgen-jax[diffusers]`)."""

from memgen_jax.bridges.diffusers import Pipeline, load
from memgen_jax.bridges.folder import PIPELINES, Folder, read_folder
from memgen_jax.bridges.generate import draw_items, generate, sample_latents, to_pictures
from memgen_jax.bridges.prompts import read_prompts
from memgen_jax.bridges.schedule import ScheduledDDPM, own_step, prediction_of, process_of, sampling_times

__all__ = [
    "PIPELINES",
    "Folder",
    "Pipeline",
    "ScheduledDDPM",
    "draw_items",
    "generate",
    "load",
    "own_step",
    "prediction_of",
    "process_of",
    "read_folder",
    "read_prompts",
    "sample_latents",
    "sampling_times",
    "to_pictures",
]
