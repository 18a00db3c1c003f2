"""Running the memory as a Hopfield network: one step of retrieval, and retrieval to a fixed point.

One retrieval step replaces the query by the memory's answer, x <- sum_mu w_mu xi^mu. It is a step of
gradient descent on E_AM of length 1/2 (grad E_AM = 2 (x - answer)) and never raises the energy.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.memory.energy import Count, Item, Number, Patterns, posterior


class Retrieval(NamedTuple):
    """Where a query ended.

    Attributes:
      x: the last state.
      steps: retrieval steps taken.
      settled: whether the last step was shorter than the tolerance.
    """

    x: Float[Array, "*item"]
    steps: Int[Array, ""]
    settled: Bool[Array, ""]


@takes_arrays
def retrieve_once(x: Item, patterns: Patterns, beta: Number, *, num_valid: Count = None) -> Item:
    """One step of the memory: the mean of the patterns under softmax(-beta |x - xi|^2)."""
    return posterior(x, patterns, beta, num_valid=num_valid).mean


@takes_arrays
def retrieve(
    x: Item,
    patterns: Patterns,
    beta: Number,
    *,
    num_valid: Count = None,
    tolerance: float = 1e-6,
    max_steps: Positive = 1000,
) -> Retrieval:
    """Repeats `retrieve_once` until a step is shorter than `tolerance`, or `max_steps` are taken.

    Args:
      x, patterns, beta, num_valid: see `memory.posterior`.
      tolerance: Euclidean length of a step.
    """

    def unsettled(state: Retrieval) -> jax.Array:
        return ~state.settled & (state.steps < max_steps)

    def step(state: Retrieval) -> Retrieval:
        answer = retrieve_once(state.x, patterns, beta, num_valid=num_valid)
        moved = jnp.sqrt(jnp.sum((answer - state.x) ** 2))
        return Retrieval(answer, state.steps + 1, moved < tolerance)

    return jax.lax.while_loop(unsettled, step, Retrieval(x, jnp.asarray(0), jnp.asarray(False)))
