"""A network as two functions: draw its parameters, apply it to one item."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError

KERNEL_INIT = nn.initializers.variance_scaling(1.0, "fan_avg", "uniform")  # Ho et al. 2020
ZEROS = nn.initializers.zeros_init()

Params = Any  # a pytree of float32 arrays


class Model(NamedTuple):
    """What the rest of the package knows about a network.

    Attributes:
      init_fn: `init_fn(key) -> params`, float32; also under `jit`, `vmap` and `jax.eval_shape` (which draws nothing
        and tells the shapes).
      apply_fn: `apply_fn(params, x, t, dropout_key=None) -> output` for one item x and a scalar t;
        the output has the shape of x. Without a key there is no dropout.
      convolutional: whether most of its work is convolutions, which XLA runs slowly inside loops on CPU.
    """

    init_fn: Callable[[jax.Array], Params]
    apply_fn: Callable[..., jax.Array]
    convolutional: bool = False


@takes_arrays
def from_module(
    module: nn.Module,
    item_shape: tuple[int, ...],
    convolutional: bool | None = None,
    *,
    quick: bool = False,
    scales: Mapping[str, float] = MappingProxyType({}),
) -> Model:
    """Wraps a Flax module that maps (x, t) or (x, t, train) to an output of x's shape.

    Its parameters are those that the module's own `init` draws. `train` is given by name, true where there is a key for
    dropout, and only to a module that takes it.

    Args:
      module: its one collection is "params".
      item_shape: of x.
      convolutional: see `Model`; by default whether the module has a convolution at all.
      quick: draw the parameters as the modules of this room declare them, whatever `init` would do: kernels uniform
        with variance 2/(fan_in + fan_out) as in Ho et al. 2020, zero in layers named "output"; GroupNorm scales one;
        all else zero. numpy draws them, each leaf from its own stream, because Flax's own initialisation of a
        small U-Net compiles for 40 s on a CPU and this takes a fraction of a second. They depend on the key and
        the leaf's place alone: not on the device, the compiler or `vmap`.
      scales: with `quick`, a layer's name -> what its kernel's variance is multiplied with.
    Raises:
      InputError: a module that does not take (x, t), or an item_shape that is none;
        when it is drawn or applied, a module that keeps more than parameters (batch statistics).
    """
    takes = inspect.signature(type(module).__call__).parameters
    _require_item_and_time(module, takes)
    takes_train = "train" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())

    def flags(train: bool) -> dict[str, Any]:
        return {"train": train} if takes_train else {}

    def initial(key: jax.Array) -> Params:
        keys = {"params": key, "dropout": key}
        variables = module.init(keys, jnp.zeros(item_shape), jnp.zeros(()), **flags(False))
        others = ", ".join(name for name in variables if name != "params")
        if others:
            raise InputError(
                f"the module {type(module).__name__} keeps {others} beside its parameters, and only parameters are "
                "trained: normalise within an item (GroupNorm, LayerNorm) in place of over a batch."
            )
        return variables.get("params", {})

    @functools.cache
    def shapes() -> Params:
        return jax.eval_shape(initial, jax.random.key(0))

    def draw(key_data: jax.Array) -> Params:
        seed = np.asarray(key_data).tolist()
        leaves, tree = jax.tree_util.tree_flatten_with_path(shapes())
        drawn = [
            _draw([entry.key for entry in path], leaf.shape, np.random.default_rng([*seed, i]), scales)
            for i, (path, leaf) in enumerate(leaves)
        ]
        return jax.tree_util.tree_unflatten(tree, drawn)

    def quickly(key: jax.Array) -> Params:
        key_data = jax.random.key_data(key)
        return jax.pure_callback(draw, shapes(), key_data, vmap_method="sequential")

    def apply_fn(
        params: Params, x: jax.Array, t: jax.Array, dropout_key: jax.Array | None = None
    ) -> jax.Array:
        rngs = {} if dropout_key is None else {"dropout": dropout_key}
        output = module.apply({"params": params}, x, t, rngs=rngs, **flags(dropout_key is not None))
        return jnp.asarray(output)

    init_fn = quickly if quick else initial
    if convolutional is None:
        convolutional = _has_convolution(init_fn, apply_fn, item_shape)
    return Model(init_fn, apply_fn, convolutional)


def _require_item_and_time(module: nn.Module, takes: Mapping[str, inspect.Parameter]) -> None:
    """Refuses a module whose call cannot be given x and t in this order, or wants more than these and `train`."""
    given = [p for name, p in takes.items() if name not in ("self", "train")]
    by_place = [p for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    any_number = any(p.kind is p.VAR_POSITIONAL for p in given)
    more = [
        p.name
        for p in [*by_place[2:], *(p for p in given if p.kind is p.KEYWORD_ONLY)]
        if p.default is p.empty
    ]
    if (len(by_place) < 2 and not any_number) or more:
        named = ", ".join(p.name for p in given) or "nothing"
        raise InputError(
            f"the module {type(module).__name__} takes ({named}), and must take (x, t): one item and a scalar time."
        )


def _has_convolution(init_fn: Callable, apply_fn: Callable, item_shape: tuple[int, ...]) -> bool:
    """Whether the network's program convolves; False where it cannot be traced, which whoever draws or applies says."""
    x, t = jax.ShapeDtypeStruct(item_shape, jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    try:
        params = jax.eval_shape(init_fn, jax.random.key(0))
        return "conv_general_dilated" in str(jax.make_jaxpr(apply_fn)(params, x, t))
    except Exception:
        return False


def _draw(
    names: list[str], shape: tuple[int, ...], rng: np.random.Generator, scales: Mapping[str, float]
) -> np.ndarray:
    if names[-1] == "scale":
        return np.ones(shape, np.float32)
    if names[-1] == "bias" or names[-2].endswith("output"):
        return np.zeros(shape, np.float32)
    window = math.prod(shape[:-2])
    bound = math.sqrt(6 * scales.get(names[-2], 1.0) / (window * (shape[-2] + shape[-1])))
    return bound * (2 * rng.random(shape, np.float32) - 1)
