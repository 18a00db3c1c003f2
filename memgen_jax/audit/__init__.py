"""Compares any samples with any training set: `audit.run(audit.Settings(...))`."""

from memgen_jax.audit.audit import Distances, Result, Settings, run

__all__ = ["Distances", "Result", "Settings", "run"]
