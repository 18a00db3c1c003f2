"""The times at which a network is trained, and how much each counts."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Process
from memgen_jax.shapes import Scalar
from memgen_jax.training.settings import TrainSettings


@takes_arrays
def draw_training_time(key: PRNGKeyArray, process: Process, settings: TrainSettings) -> Scalar:
    """One time, by the law that the settings name."""
    return process.draw_time(key) if settings.times == "uniform" else draw_mixed_time(key, process)


@takes_arrays
def draw_mixed_time(key: PRNGKeyArray, process: Process) -> Scalar:
    """A training time for a process in continuous time: half of them uniform, half uniform in log t.

    Uniform times alone hardly ever meet the small noise in which details are learned: of a VE process with
    sigma = 10 one in a hundred has less than 1 a pixel.
    """
    law_key, time_key = jax.random.split(key)
    low, high = np.log(process.t_min), np.log(process.t_max)
    logarithmic = jnp.exp(jax.random.uniform(time_key, minval=low, maxval=high))
    return jnp.where(jax.random.bernoulli(law_key), process.draw_time(time_key), logarithmic)


@takes_arrays
def weighted(loss: Scalar, t: Scalar, settings: TrainSettings) -> Scalar:
    """The loss at time t by the weight that the settings name."""
    return loss if settings.weight == "unit" else loss / (t + 0.01)
