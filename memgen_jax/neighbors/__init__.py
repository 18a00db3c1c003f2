"""Finds the nearest items exactly, for any embedding, tile by tile."""

from memgen_jax.neighbors.exact_search import Neighbors, search

__all__ = ["Neighbors", "search"]
