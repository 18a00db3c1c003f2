"""Convolutions of maps of a few places, as one matrix product: there a processor's own take many times as long."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

PLACES = 9  # of the map that is made; XLA's convolution on a processor is as fast from about 25 on


def convolve(
    x: Float[Array, "batch height width channel"],
    kernel: Float[Array, "kernel_height kernel_width channel feature"],
    strides: tuple[int, int],
    padding: Any,
    *,
    precision: Any = None,
    **usual: Any,
) -> Float[Array, "batch _ _ feature"]:
    """`jax.lax.conv_general_dilated` of pictures, for `flax.linen.Conv(conv_general_dilated=convolve)`.

    Small maps are taken apart into one row of numbers for each place, without what lies in the padding alone.

    Args:
      strides, padding: down and across; pairs of numbers of places before and after.
      usual: what flax gives besides: no dilation, no groups, channels last.
    """
    sides = [
        (size + sum(around) - taps) // stride + 1
        for size, around, taps, stride in zip(x.shape[1:3], padding, kernel.shape[:2], strides, strict=True)
    ]
    if sides[0] * sides[1] > PLACES:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, precision=precision, **usual)
    rows, columns = (
        [tap for tap in range(taps) if any(0 <= tap - before + stride * i < size for i in range(side))]
        for size, (before, _), taps, stride, side in zip(
            x.shape[1:3], padding, kernel.shape[:2], strides, sides, strict=True
        )
    )
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    spans = [stride * (side - 1) + 1 for stride, side in zip(strides, sides, strict=True)]
    seen = [
        padded[:, row : row + spans[0] : strides[0], column : column + spans[1] : strides[1]]
        for row in rows
        for column in columns
    ]
    weights = kernel[jnp.array(rows)][:, jnp.array(columns)].reshape(-1, kernel.shape[-1])
    return jnp.matmul(jnp.concatenate(seen, -1), weights, precision=precision)
