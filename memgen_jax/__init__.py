"""Does a diffusion model copy its training data, invent, or something between?

Rooms, from the ground up; an import only ever goes down this list:

    errors, files                                     mistakes as sentences, whole files
    data, models, diffusion, statistics, neighbors    pure functions on arrays
    metrics, training, memory, phases, onset          what near means, one optimiser step, labels, both papers
    report                                            figures and pages
    runs                                              folders, processes, signals
    sweep, geometry, bridges, audit                   machinery: devices, other frameworks, whole studies
    programs (with configs/), cli                     what one starts

The functions that most code begins with stand here too, each with an example in its help:
`audit_arrays`, `audit_sets`, `load`, `unet`, `mlp`, `exact_denoiser`, `sample`, `search`, `classify`, `held_out`,
`Basins`, `train_members`.

Shapes in signatures are jaxtyping's: `Float[Array, "sample dim"]`. A shape of one name begins with a space,
`Float[Array, " sample"]`, so that tools do not take the name for a type.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memgen_jax.audit import audit_arrays, audit_sets
    from memgen_jax.data import load
    from memgen_jax.diffusion import sample
    from memgen_jax.geometry import Basins
    from memgen_jax.memory import exact_denoiser
    from memgen_jax.models import mlp, unet
    from memgen_jax.neighbors import search
    from memgen_jax.phases import classify, held_out
    from memgen_jax.sweep import train_members

__version__ = "0.1.0"

# Found in their rooms when they are asked for: importing the package alone loads nothing.
_ROOM_OF = {
    "Basins": "geometry",
    "audit_arrays": "audit",
    "audit_sets": "audit",
    "classify": "phases",
    "exact_denoiser": "memory",
    "held_out": "phases",
    "load": "data",
    "mlp": "models",
    "sample": "diffusion",
    "search": "neighbors",
    "train_members": "sweep",
    "unet": "models",
}
_ROOMS = (
    *("audit", "bridges", "data", "diffusion", "geometry", "memory", "metrics", "models", "neighbors"),
    *("onset", "phases", "programs", "report", "runs", "statistics", "sweep", "training"),
)

__all__ = [
    "Basins",
    "audit_arrays",
    "audit_sets",
    "classify",
    "exact_denoiser",
    "held_out",
    "load",
    "mlp",
    "sample",
    "search",
    "train_members",
    "unet",
]


def __getattr__(name: str) -> Any:
    if name in _ROOM_OF:
        return getattr(importlib.import_module(f"memgen_jax.{_ROOM_OF[name]}"), name)
    if name in _ROOMS:
        return importlib.import_module(f"memgen_jax.{name}")
    raise AttributeError(f"module 'memgen_jax' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
