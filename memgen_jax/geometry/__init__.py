"""Asks how deep an attractor is: basins, curvature, energy gaps; for any model that is a `Denoiser`."""

from memgen_jax.geometry.basins import (
    Basin,
    Basins,
    basin_radius,
    critical_time,
    default_levels,
    go_and_return,
    log_volume,
)
from memgen_jax.geometry.curvature import (
    Spectrum,
    columns_within,
    curvature_matrix,
    flipd,
    local_dimension,
    log_determinant,
    near_zero,
    scaled_score,
    sharpness,
    spectrum,
)
from memgen_jax.geometry.energy_gaps import energy_gap, potential_gradient
from memgen_jax.geometry.matrix_free import (
    FlatDirections,
    Trace,
    curvature_trace,
    flat_directions,
    slope_products,
    top_singular,
    trace,
)

__all__ = [
    "Basin",
    "Basins",
    "FlatDirections",
    "Spectrum",
    "Trace",
    "basin_radius",
    "columns_within",
    "critical_time",
    "curvature_matrix",
    "curvature_trace",
    "default_levels",
    "energy_gap",
    "flat_directions",
    "flipd",
    "go_and_return",
    "local_dimension",
    "log_determinant",
    "log_volume",
    "near_zero",
    "potential_gradient",
    "scaled_score",
    "sharpness",
    "slope_products",
    "spectrum",
    "top_singular",
    "trace",
]
