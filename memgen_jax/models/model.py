"""A network as two functions: draw its parameters, apply it to one item."""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

KERNEL_INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")  # Ho et al. 2020
ZEROS = nn.initializers.zeros_init()

Params = Any  # a pytree of float32 arrays


class Model(NamedTuple):
    """What the rest of the package knows about a network.

    Attributes:
      init_fn: `init_fn(key) -> params`, float32. Drawn on the host, also under `jit`, `vmap` and
        `jax.eval_shape` (which draws nothing and tells the shapes).
      apply_fn: `apply_fn(params, x, t, dropout_key=None) -> output` for one item x and a scalar t;
        the output has the shape of x. Without a key there is no dropout.
      convolutional: whether most of its work is convolutions, which XLA runs slowly inside loops on CPU.
    """

    init_fn: Callable[[jax.Array], Params]
    apply_fn: Callable[..., jax.Array]
    convolutional: bool = False


def from_module(module: nn.Module, item_shape: tuple[int, ...], convolutional: bool = False) -> Model:
    """Wraps a Flax module that maps (x, t, train) to an output of x's shape.

    The parameters have the distribution that the modules of this room declare: kernels uniform with
    variance 2/(fan_in + fan_out) as in Ho et al. 2020, zero in layers named "output"; GroupNorm
    scales one; all else zero. They are drawn by numpy, each leaf from its own stream, because Flax's own
    initialisation of a small U-Net compiles for 40 s on a CPU and this takes a fraction of a second.
    They depend on the key and the leaf's place alone: not on the device, the compiler or `vmap`.
    """

    @functools.cache
    def shapes() -> Params:
        arguments = jax.random.key(0), jnp.zeros(item_shape), jnp.zeros(())
        return jax.eval_shape(module.init, *arguments)["params"]

    def draw(key_data: jax.Array) -> Params:
        seed = np.asarray(key_data).tolist()
        leaves, tree = jax.tree_util.tree_flatten_with_path(shapes())
        drawn = [
            _draw([entry.key for entry in path], leaf.shape, np.random.default_rng([*seed, i]))
            for i, (path, leaf) in enumerate(leaves)
        ]
        return jax.tree_util.tree_unflatten(tree, drawn)

    def init_fn(key: jax.Array) -> Params:
        key_data = jax.random.key_data(key)
        return jax.pure_callback(draw, shapes(), key_data, vmap_method="sequential")

    def apply_fn(
        params: Params, x: jax.Array, t: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        rngs = {} if dropout_key is None else {"dropout": dropout_key}
        output = module.apply({"params": params}, x, t, train=dropout_key is not None, rngs=rngs)
        return jnp.asarray(output)

    return Model(init_fn, apply_fn, convolutional)


def _draw(names: list[str], shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if names[-1] == "scale":
        return np.ones(shape, np.float32)
    if names[-1] == "bias" or names[-2].endswith("output"):
        return np.zeros(shape, np.float32)
    window = math.prod(shape[:-2])
    bound = math.sqrt(6 / (window * (shape[-2] + shape[-1])))
    return bound * (2 * rng.random(shape, np.float32) - 1)
