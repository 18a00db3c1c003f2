"""The running average of the parameters, from which samples are drawn."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.shapes import Scalar

PyTree = Any


@takes_arrays
def update_ema(ema: PyTree, params: PyTree, steps_taken: Scalar, decay: float, warmup: bool = True) -> PyTree:
    """Moves the average towards the parameters, by 1 - min(decay, (1 + steps) / (10 + steps)).

    The warm-up keeps short runs from being an average over their start.

    Args:
      steps_taken: optimiser steps before this one.
      warmup: False moves it by 1 - decay from the first step on.
    Raises:
      InputError: the average and the parameters are not trees of the same arrays.
    """
    if _shapes(ema) != _shapes(params):
        raise InputError("params are not of the tree of arrays that ema is: give both of one network")
    decayed = jnp.minimum(decay, (1.0 + steps_taken) / (10.0 + steps_taken)) if warmup else decay
    return optax.incremental_update(params, ema, 1.0 - decayed)


def _shapes(tree: PyTree) -> Any:
    """The structure of a tree and its arrays' shapes; None stands for what is no array."""
    leaves, structure = jax.tree.flatten(tree)
    return structure, [getattr(leaf, "shape", None) for leaf in leaves]
