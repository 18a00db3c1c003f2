"""Finds the nearest items exactly: under L2, and under LPIPS as L2 between embeddings."""

from memgen_jax.neighbors.lpips import embedding_size, lpips, lpips_embedding
from memgen_jax.neighbors.search import Neighbors, search
from memgen_jax.neighbors.weights import fetch_weights, weights_path

__all__ = [
    "Neighbors",
    "embedding_size",
    "fetch_weights",
    "lpips",
    "lpips_embedding",
    "search",
    "weights_path",
]
