"""The training objective: how far a network's prediction is from the truth at one noise level."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion.processes import Process
from memgen_jax.shapes import Scalar


@takes_arrays
def denoising_loss(
    network: Callable[[jax.Array, jax.Array], jax.Array],
    process: Process,
    prediction: str,
    clean: Float[Array, "*item"],
    noise: Float[Array, "*item"],
    t: Scalar,
) -> Scalar:
    """Mean squared error of the prediction for one item at one time.

    With `prediction="noise"` this is mean |noise - network(x_t, t)|^2, the simple loss of Ho et al. 2020
    (Eq. 14) that Pham et al. 2025 train with (App. F).

    Args:
      network: (x_t, t) -> output, same shape as x_t.
      prediction: what the output means; see `Process.denoised_from_output`.
      clean: the item x_0, images in [-1, 1].
      noise: standard normal, same shape.
      t: in the process's own units.
    """
    output = network(process.perturb(clean, noise, t), t)
    return jnp.mean((output - process.target(prediction, clean, noise, t)) ** 2)
