"""Finds the nearest items exactly: under L2, and under LPIPS as L2 between embeddings."""

from memgen_jax.neighbors.search import Neighbors, search

__all__ = ["Neighbors", "search"]
