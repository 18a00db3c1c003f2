"""Where a landscape pulls to: its local minima, which of them are patterns, and which are made up.

A landscape is given by its retrieval map x -> answer, with (x - answer) half the gradient of the energy:
`retrieve_once` for the memory of the patterns, a learned denoiser at fixed t of a process that keeps the
mean (VE) for the network's. Both are searched and judged in one way.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays

AT_PATTERN = 0
"""Kind of an attractor at a memory: recall."""
OFF_PATTERNS = 1
"""Kind of an isolated attractor off all memories: spurious."""
FLAT = 2
"""Kind of an attractor that is part of a flat manifold."""


class Attractor(NamedTuple):
    """Where a start ended on the landscape of a retrieval map.

    Attributes:
      x: the last point of the descent.
      settled: whether it is a local minimum: the map stays there, and pulls back from every side.
      stiffness: eigenvalues of the energy's Hessian / 2, ascending: those of I minus the map's symmetrised
        Jacobian. 1 for an isolated attractor, near 0 along a flat manifold, negative off a minimum.
    """

    x: Float[Array, " dim"]
    settled: Bool[Array, ""]
    stiffness: Float[Array, " dim"]


@takes_arrays
def descend(
    retrieval: Callable[[jax.Array], jax.Array],
    x: Float[Array, " dim"],
    *,
    max_steps: Positive = 100,
    max_length: float = 0.1,
    tolerance: float = 1e-5,
) -> Attractor:
    """Slides one vector of low dimension down the landscape whose retrieval map this is.

    Newton's method with the eigenvalues of the Hessian made positive (Dauphin et al. 2014): it runs away
    from saddles, and unlike plain retrieval it does not slow down where minima are about to merge.

    Args:
      retrieval: x -> answer; (x - answer) is half the gradient of the energy.
      x: where the descent starts.
      max_steps: the descent gives up after as many, and `settled` is False.
      max_length: longest step, a small part of the distance between attractors.
      tolerance: a step shorter than this ends the descent.
    """

    def landscape(x: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """The answer, and eigenvalues and axes of the Hessian / 2."""
        along = lambda axis: jax.jvp(retrieval, (x,), (axis,))  # noqa: E731
        identity = jnp.eye(x.size, dtype=x.dtype)
        answer, jacobian = jax.vmap(along, out_axes=(None, -1))(identity)
        return answer, *jnp.linalg.eigh(identity - (jacobian + jacobian.T) / 2)

    def step(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        x, _, count = state
        answer, stiffness, axes = landscape(x)
        slope = axes.T @ (answer - x)
        move = axes @ (slope / jnp.maximum(jnp.abs(stiffness), 1e-6))
        length = jnp.sqrt(jnp.sum(move**2))
        # Where the landscape is flat Newton points far: a bounded step stays in the start's own basin.
        return x + move * jnp.minimum(1.0, max_length / jnp.maximum(length, 1e-30)), length, count + 1

    def unsettled(state: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        _, length, count = state
        return (length > tolerance) & (count < max_steps)

    x, length, _ = jax.lax.while_loop(unsettled, step, (x, jnp.full((), jnp.inf, x.dtype), jnp.int32(0)))
    _, stiffness, _ = landscape(x)
    return Attractor(x, (length <= tolerance) & jnp.all(stiffness > 0), stiffness)


class Minima(NamedTuple):
    """The local minima that a set of starts found.

    Attributes:
      x: one row per minimum, in the order in which starts found them.
      stiffness: eigenvalues there, see `Attractor`.
      starts: how many of the starts ended there, a measure of its basin.
      unsettled: how many of the starts ended at no minimum.
    """

    x: Float[np.ndarray, "minimum dim"]
    stiffness: Float[np.ndarray, "minimum dim"]
    starts: Int[np.ndarray, " minimum"]
    unsettled: int


@takes_arrays
def distinct_minima(attractors: Attractor, merge_distance: float) -> Minima:
    """Gathers the ends of many descents (leading axis: starts) into distinct minima.

    Args:
      attractors: what `vmap` of `descend` gives; only settled ends count.
      merge_distance: Euclidean; an end closer than this to the first one found is the same minimum.
    """
    points, stiffness = np.asarray(attractors.x), np.asarray(attractors.stiffness)
    settled = np.flatnonzero(np.asarray(attractors.settled))
    found: list[int] = []
    counts: list[int] = []
    for index in settled:
        distance = np.linalg.norm(points[found] - points[index], axis=-1)
        if len(found) and distance.min() < merge_distance:
            counts[int(distance.argmin())] += 1
        else:
            found.append(int(index))
            counts.append(1)
    return Minima(points[found], stiffness[found], np.array(counts, int), len(points) - len(settled))


@takes_arrays
def kind_of_attractor(
    x: Float[np.ndarray, "point dim"],
    stiffness: Float[np.ndarray, "point dim"],
    patterns: Float[np.ndarray, "num_patterns dim"],
    distance: float,
    flat_below: float = 0.05,
) -> Int[np.ndarray, " point"]:
    """Tells, for the ends of descents, what kind of state pulled there.

    `FLAT`: some direction is softer than `flat_below`, as along a continuous manifold, where neighbouring
    patterns are no longer told apart. Otherwise the attractor is isolated: `AT_PATTERN` within `distance`
    of a pattern, a recall, or `OFF_PATTERNS`, a spurious state (Pham et al. 2025, section 3).

    Args:
      x: ends of descents.
      stiffness: eigenvalues there, see `Attractor`; an isolated pattern has 1 in every direction.
      patterns: the stored patterns.
      distance: Euclidean, within which an isolated attractor is a recall.
      flat_below: stiffness, between 0 (a line along which nothing changes) and 1 (a lone pattern).
    Returns:
      `AT_PATTERN`, `OFF_PATTERNS` or `FLAT` per end.
    """
    from scipy.spatial import cKDTree

    to_pattern, _ = cKDTree(patterns).query(x)
    isolated = np.where(to_pattern <= distance, AT_PATTERN, OFF_PATTERNS)
    return np.where(stiffness.min(axis=-1) < flat_below, FLAT, isolated)
