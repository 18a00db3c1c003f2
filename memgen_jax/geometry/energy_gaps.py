"""How high is the hill between two samples? The potential of the generative dynamics along an arc.

Run backwards in time the process obeys dx = (-f + g^2 score) d tau + g dw: a particle sliding down the
potential u with grad u = f - g^2 score (Raya & Ambrogioni 2023). For a variance-preserving process f is
-g^2 x / 2, so u = -g^2 (log p + |x|^2 / 4) up to a constant.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Denoiser, Process
from memgen_jax.errors import InputError
from memgen_jax.shapes import Scalar


@takes_arrays
def potential_gradient(
    x: Float[Array, "*item"], t: Scalar, denoiser: Denoiser, process: Process
) -> Float[Array, "*item"]:
    """grad u = f - g^2 score at (x, t)."""
    score = process.score_from_denoised(denoiser(x, t), x, t)
    return process.drift(x, t) - process.diffusion(t) ** 2 * score


@takes_arrays
def energy_gap(
    clean: Float[Array, "*item"],
    reference: Float[Array, "*item"],
    t: Scalar,
    denoiser: Denoiser,
    process: Process,
    *,
    points: Positive = 65,
) -> tuple[Scalar, Float[Array, " point"]]:
    """u(reference) - u(clean) along the arc x(a) = cos(a) clean + sin(a) reference, a in [0, pi/2].

    The line integral of grad u . dx/da by the trapezoid rule (long version of Pham et al. 2025, App. E). For
    a true score it does not depend on the path. Positive where the sample lies lower than the reference.

    Returns:
      The gap, and the potential at every point of the arc relative to its start.
    """
    if points < 2:
        raise InputError.setting("points", points, "at least 2, the two ends of the arc")
    angles = jnp.linspace(0.0, np.pi / 2, points)

    def work(angle: jax.Array) -> jax.Array:
        x = jnp.cos(angle) * clean + jnp.sin(angle) * reference
        tangent = jnp.cos(angle) * reference - jnp.sin(angle) * clean
        return jnp.sum(potential_gradient(x, t, denoiser, process) * tangent)

    force = jax.lax.map(work, angles)
    steps = (force[1:] + force[:-1]) / 2 * (angles[1] - angles[0])
    profile = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
    return profile[-1], profile
