"""Features of the diffusion time t, for one scalar t."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from memgen_jax.annotations import Amount
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.shapes import Scalar


@takes_arrays
def sinusoidal(t: Scalar, dim: int, max_period: float = 10_000.0) -> Float[Array, " {dim}"]:
    """Sines and cosines of t at geometric frequencies from 1 down to 1/max_period.

    Ho et al. 2020, after Vaswani et al. 2017. Made for t in 0..1000 (steps of the DDPM process).

    Args:
      t: time.
      dim: number of features, even and at least 4.
    Returns:
      First the dim/2 sines, then the dim/2 cosines.

    >>> import jax.numpy as jnp
    >>> from memgen_jax import models
    >>> models.sinusoidal(jnp.array(0.0), 4).tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    if dim < 4 or dim % 2:
        raise InputError.setting(
            "num_features", dim, "an even number from 4 on: they are pairs of sine and cosine"
        )
    half = dim // 2
    frequency = jnp.exp(-jnp.log(max_period) * jnp.arange(half, dtype=jnp.float32) / (half - 1))
    return jnp.concatenate([jnp.sin(t * frequency), jnp.cos(t * frequency)])


@takes_arrays
def gaussian_fourier(t: Scalar, dim: int, scale: Amount) -> Float[Array, " {dim}"]:
    """Sines and cosines of 2πft at frequencies f ~ N(0, scale²), drawn once and never trained.

    Tancik et al. 2020; Song et al. 2021. The frequencies are constants of the program (seed 0), so
    every model of a sweep sees time through the same features.

    Args:
      t: time, or its logarithm. `scale` near 16 suits t in [0, 1], near 0.2 suits log t in [-12, 0].
      dim: number of features, even.
    """
    if dim < 2 or dim % 2:
        raise InputError.setting(
            "num_features", dim, "an even number from 2 on: they are pairs of sine and cosine"
        )
    frequency = np.random.default_rng(0).normal(scale=scale, size=dim // 2)
    angle = t * jnp.asarray(2 * np.pi * frequency, jnp.float32)
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)])
