"""Finds the nearest items exactly: under L2, and under LPIPS as L2 between embeddings."""

from memgen_jax.neighbors.lpips import (
    check_picture_shape,
    embed_picture,
    lpips,
    lpips_embedding,
)
from memgen_jax.neighbors.search import Neighbors, search
from memgen_jax.neighbors.weights import fetch_weights, load_weights, weights_path

__all__ = [
    "Neighbors",
    "check_picture_shape",
    "embed_picture",
    "fetch_weights",
    "load_weights",
    "lpips",
    "lpips_embedding",
    "search",
    "weights_path",
]
