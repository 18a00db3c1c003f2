"""What a sweep costs, counted before it starts: floating-point operations, parameters, bytes, devices.

Programs are traced with shapes alone, so nothing is drawn, compiled or sent to a device.
"""

import collections
import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Process
from memgen_jax.memory.energy import TILE
from memgen_jax.models import Model
from memgen_jax.sweep.members import Member
from memgen_jax.sweep.mesh import DATA
from memgen_jax.sweep.step import (
    MemberInputs,
    SweepTrainSettings,
    TrainState,
    init_state,
    make_optimizer,
    train_step,
)

PyTree = Any

# Dense bfloat16 products a second per JAX device, from the vendors' data sheets (float16 of the V100, which has no
# bfloat16), by `device_kind`.
PEAK_FLOPS = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40S": 362e12,
    "Tesla V100-SXM2-16GB": 125e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H200": 989e12,
}


@dataclasses.dataclass(frozen=True)
class ModelCost:
    """The cost of one member, whatever its K.

    Attributes:
      parameters: numbers in the network.
      train_flops: operations of one optimiser step at the full batch.
      forward_flops: operations of the network on one item.
      state_bytes: parameters, their average and Adam's two moments.
      gradient_bytes: held besides during a step.
      activation_bytes: what one item's forward pass keeps for the backward pass, unfused: an upper bound.
    """

    parameters: int
    train_flops: float
    forward_flops: float
    state_bytes: int
    gradient_bytes: int
    activation_bytes: int

    def train_bytes(self, batch_size: int, members_per_step: int) -> int:
        """Device memory of a training step of `members_per_step` members, without the data."""
        return members_per_step * (
            self.state_bytes + self.gradient_bytes + batch_size * self.activation_bytes
        )


@takes_arrays
def model_cost(
    model: Model,
    process: Process,
    settings: SweepTrainSettings,
    item_shape: Some[tuple[int, ...]],
    is_image: bool,
) -> ModelCost:
    """Counts one member's cost by tracing its own training step and network.

    Args:
      settings: those of the run; with `data_parallel` > 1 the step is counted for one device's share.
    """
    key = jax.eval_shape(lambda: jax.random.key(0))
    member = Member(1, 0, None, settings.batch_size, "")
    optimizer = make_optimizer(settings)
    state = jax.eval_shape(lambda: init_state(member, model, optimizer))
    number: Any = jax.ShapeDtypeStruct((), jnp.int32)
    order: Any = jax.ShapeDtypeStruct((2,), jnp.int32)
    inputs = MemberInputs(number, number, order, key, key, key)
    data = jax.ShapeDtypeStruct((2, *item_shape), jnp.uint8 if is_image else jnp.float32)
    item, t = jax.ShapeDtypeStruct(item_shape, jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    step = functools.partial(train_step, model=model, process=process, optimizer=optimizer, settings=settings)

    def backward(params, x, t, key):
        return jax.vjp(lambda params: model.apply_fn(params, x, t, key), params)[1]

    residuals = jax.eval_shape(backward, state.params, item, t, key)
    kept = collections.Counter((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(residuals))
    # The parameters themselves are among what the backward pass keeps; they are counted once.
    kept -= collections.Counter((leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(state.params))
    return ModelCost(
        parameters=sum(leaf.size for leaf in jax.tree.leaves(state.params)),
        train_flops=count_flops(step, state, inputs, data, axis_sizes={DATA: 1}),
        forward_flops=count_flops(model.apply_fn, state.params, item, t),
        state_bytes=tree_bytes(TrainState(state.params, state.ema, state.opt_state, state.step)),
        gradient_bytes=tree_bytes(state.params),
        activation_bytes=sum(n * math.prod(shape) * dtype.itemsize for (shape, dtype), n in kept.items()),
    )


@takes_arrays
def exact_score_bytes(total: int, item: int, chunk: int, reordered: bool) -> int:
    """Device memory of the exact score of `total` items on a chunk of samples: what its program holds at once.

    The training set as float32; its centred copy in whole tiles, and, where the compiler makes one (TPUs do), a copy of
    these without the first; one tile, and the three bfloat16 parts that a TPU multiplies in place of float32; of every
    sample a tile of distances, then weights, and the item before and after the step with what is made of it.

    Args:
      item: numbers of an item.
      chunk: samples drawn at once.
      reordered: whether the training set is an order of its own, which is one more copy, and the order.
    """
    tile = min(TILE, total)
    whole_tiles = math.ceil(total / tile) * tile
    sets = 4 * item * (total + 2 * whole_tiles + reordered * total) + 4 * reordered * total
    return sets + tile * item * (4 + 3 * 2) + 4 * chunk * (3 * tile + 6 * item)


def tree_bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def count_flops(function: Callable, *arguments: PyTree, axis_sizes: dict[str, int] | None = None) -> float:
    """Operations of all matrix products and convolutions in one call: two per multiply-add.

    Positions of a convolution that fall on padding or between dilated items are not counted, as XLA's cost
    analysis does not. Element-wise work, a few per cent of a U-Net, is left out; a loop of unknown
    length counts once.

    Args:
      arguments: arrays or their shapes (`jax.ShapeDtypeStruct`).
      axis_sizes: named axes that the function reduces over.
    """
    axes = tuple((axis_sizes or {}).items())
    return _jaxpr_flops(jax.make_jaxpr(function, axis_env=axes)(*arguments).jaxpr)


def _jaxpr_flops(jaxpr: Any) -> float:
    total = 0.0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            total += _product_flops(equation)
        elif name == "conv_general_dilated":
            total += _convolution_flops(equation)
        elif name == "cond":
            total += max(_jaxpr_flops(branch.jaxpr) for branch in parameters["branches"])
        else:
            inner = sum(_jaxpr_flops(getattr(p, "jaxpr", p)) for p in parameters.values() if _is_jaxpr(p))
            total += inner * (parameters["length"] if name == "scan" else 1)
    return total


def _is_jaxpr(value: Any) -> bool:
    return hasattr(getattr(value, "jaxpr", value), "eqns")


def _product_flops(equation: Any) -> float:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _convolution_flops(equation: Any) -> float:
    p = equation.params
    left, kernel = (variable.aval.shape for variable in equation.invars)
    out = equation.outvars[0].aval.shape
    numbers = p["dimension_numbers"]
    flops = 2.0 * out[numbers.out_spec[0]] * out[numbers.out_spec[1]] * kernel[numbers.rhs_spec[1]]
    axes = zip(numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True)
    for d, (a, b, c) in enumerate(axes):
        at = np.arange(out[c])[:, None] * p["window_strides"][d] - p["padding"][d][0]
        at = at + np.arange(kernel[b])[None, :] * p["rhs_dilation"][d]
        gap = p["lhs_dilation"][d]
        flops *= int(np.count_nonzero((at >= 0) & (at <= (left[a] - 1) * gap) & (at % gap == 0)))
    return flops


@takes_arrays
def peak_flops(devices: Sequence[jax.Device]) -> float | None:
    """Peak bfloat16 operations a second of these devices together; None where the kind is not known."""
    each = [PEAK_FLOPS.get(device.device_kind) for device in devices]
    return sum(p for p in each if p) if each and all(each) else None


def busy_share(members: int, places: int) -> float:
    """Share of the places' time that trains a member: blocks of `places`, the last one perhaps not full."""
    return members / (places * math.ceil(members / places)) if members else 1.0
