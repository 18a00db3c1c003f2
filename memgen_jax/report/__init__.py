"""Draws: figures from arrays (Matplotlib, no pyplot) and pages that open offline (Jinja)."""

from memgen_jax.report import (
    example_figures,
    histogram_figures,
    page,
    phase_diagram_figures,
    schema,
    style,
    transition_figures,
    transition_page,
)

__all__ = [
    "example_figures",
    "histogram_figures",
    "page",
    "phase_diagram_figures",
    "schema",
    "style",
    "transition_figures",
    "transition_page",
]
