"""Finds the nearest items exactly, and counts the near ones, for any embedding, tile by tile."""

from memgen_jax.neighbors.counting import count_within
from memgen_jax.neighbors.exact_search import Neighbors, search
from memgen_jax.neighbors.resident import release, taken

__all__ = ["Neighbors", "count_within", "release", "search", "taken"]
