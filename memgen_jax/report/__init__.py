"""Draws: figures from arrays (Matplotlib, no pyplot) and pages that open offline (Jinja)."""

from memgen_jax.report import page, style

__all__ = ["page", "style"]
