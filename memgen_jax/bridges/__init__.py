"""Trained networks of others as JAX functions: the paper's authors' checkpoints, and diffusers pipelines on disk.

Checkpoints are read without PyTorch; pipelines need the optional extra `diffusers`.
"""

from memgen_jax.bridges.checkpoint import Checkpoint, ReleasedSweep, find_checkpoints, read_checkpoint
from memgen_jax.bridges.diffusers import Pipeline, load
from memgen_jax.bridges.distances import ReleasedDistances, read_distances
from memgen_jax.bridges.folder import PIPELINES, Folder, read_folder
from memgen_jax.bridges.generate import draw_items, generate, sample_latents, to_pictures
from memgen_jax.bridges.prompts import read_prompts
from memgen_jax.bridges.schedule import (
    ScheduledDDPM,
    clip_limit,
    own_step,
    prediction_of,
    process_of,
    sampling_times,
)
from memgen_jax.bridges.torchscript import load_torchscript

__all__ = [
    "PIPELINES",
    "Checkpoint",
    "Folder",
    "Pipeline",
    "ReleasedDistances",
    "ReleasedSweep",
    "ScheduledDDPM",
    "clip_limit",
    "draw_items",
    "find_checkpoints",
    "generate",
    "load",
    "load_torchscript",
    "own_step",
    "prediction_of",
    "process_of",
    "read_checkpoint",
    "read_distances",
    "read_folder",
    "read_prompts",
    "sample_latents",
    "sampling_times",
    "to_pictures",
]
