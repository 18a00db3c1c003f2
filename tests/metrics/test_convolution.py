"""A convolution as one matrix product is the convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax.metrics import convolution

LAYOUT = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "precision": "highest"}


@pytest.mark.parametrize(
    ("size", "taps", "stride", "padding"),
    [
        ((3, 3), (5, 5), (1, 1), ((2, 2), (2, 2))),
        ((1, 1), (3, 3), (1, 1), ((1, 1), (1, 1))),  # one tap of nine meets the picture
        ((1, 3), (3, 5), (1, 1), ((1, 1), (2, 2))),
        ((3, 2), (5, 4), (2, 1), ((2, 2), (1, 2))),
        ((2, 2), (3, 3), (1, 1), ((2, 0), (0, 2))),
        ((1, 2), (5, 5), (1, 1), ((4, 4), (3, 3))),  # places that see nothing of the picture
        ((3, 3), (3, 3), (1, 1), ((1, 1), (1, 1))),
        ((9, 7), (5, 3), (4, 3), ((2, 1), (0, 1))),
        ((11, 11), (11, 11), (4, 4), ((2, 2), (2, 2))),
        ((7, 7), (5, 5), (1, 1), ((2, 2), (2, 2))),  # 49 places: XLA's own
    ],
)
def test_a_small_map_is_what_xla_makes_of_it(size, taps, stride, padding):
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(4, *size, 6)), np.float32)
    kernel = jnp.asarray(rng.normal(size=(*taps, 6, 5)), np.float32)
    theirs = jax.lax.conv_general_dilated(x, kernel, stride, padding, **LAYOUT)
    ours = convolution.convolve(x, kernel, stride, padding, **LAYOUT)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(jnp.abs(theirs).max()))


def test_its_gradient_is_that_of_the_convolution():
    rng = np.random.default_rng(1)
    x = jnp.asarray(rng.normal(size=(1, 3, 3, 4)), np.float32)
    kernel = jnp.asarray(rng.normal(size=(5, 5, 4, 3)), np.float32)

    def square(make):
        return jax.grad(lambda x: (make(x, kernel, (1, 1), ((2, 2), (2, 2)), **LAYOUT) ** 2).sum())(x)

    ours, theirs = square(convolution.convolve), square(jax.lax.conv_general_dilated)
    np.testing.assert_allclose(ours, theirs, atol=1e-5 * float(jnp.abs(theirs).max()))
