"""Convolutions of maps of a few places, as one matrix product: there a processor's own take many times as long."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
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

    Args:
      strides, padding: down and across; pairs of numbers of places before and after.
      usual: what flax gives besides: no dilation, no groups, channels last.
    """
    size, taps = x.shape[1:3], kernel.shape[:2]
    sides = [
        (length + sum(around) - span) // stride + 1
        for length, around, span, stride in zip(size, padding, taps, strides, strict=True)
    ]
    if sides[0] * sides[1] > PLACES:
        return jax.lax.conv_general_dilated(x, kernel, strides, padding, precision=precision, **usual)
    if 2 * size[0] * size[1] <= taps[0] * taps[1]:
        rows, weights = _whole(x, kernel, strides, padding, sides)
    else:
        rows, weights = _windows(x, kernel, strides, padding, sides)
    made = jnp.matmul(rows, weights, precision=precision)
    return made.reshape(len(x), *sides, kernel.shape[-1])


def _windows(
    x: Array, kernel: Array, strides: tuple[int, int], padding: Any, sides: list[int]
) -> tuple[Array, Array]:
    """What each place sees of the picture, one row each, and the kernel."""
    padded = jnp.pad(x, ((0, 0), *padding, (0, 0)))
    spans = [stride * (side - 1) + 1 for stride, side in zip(strides, sides, strict=True)]
    seen = [
        padded[:, row : row + spans[0] : strides[0], column : column + spans[1] : strides[1]]
        for row, column in np.ndindex(*kernel.shape[:2])
    ]
    return jnp.concatenate(seen, -1), kernel.reshape(-1, kernel.shape[-1])


def _whole(
    x: Array, kernel: Array, strides: tuple[int, int], padding: Any, sides: list[int]
) -> tuple[Array, Array]:
    """The picture as one row, and what it is multiplied by for each place: the kernel, moved there."""
    height, width = x.shape[1:3]
    above, left = (stride * (side - 1) for stride, side in zip(strides, sides, strict=True))
    wide = jnp.pad(kernel, ((above, height), (left, width), (0, 0), (0, 0)))
    moved = []
    for row, column in np.ndindex(*sides):
        top = above + padding[0][0] - strides[0] * row
        start = left + padding[1][0] - strides[1] * column
        moved.append(wide[top : top + height, start : start + width].reshape(-1, kernel.shape[-1]))
    return x.reshape(len(x), -1), jnp.concatenate(moved, 1)
