"""Parameters are drawn as the modules declare them, and by the key alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import models


@pytest.mark.slow
def test_parameters_have_the_distribution_that_the_flax_modules_declare(key):
    module = models.UNet(width=32, multipliers=(1,), num_blocks=1)
    ours = models.from_module(module, (4, 4, 3)).init_fn(key)
    flax = module.init(jax.random.key(1), jnp.zeros((4, 4, 3)), jnp.zeros(()))["params"]
    assert jax.tree.structure(ours) == jax.tree.structure(flax)
    compared = 0
    for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(flax), strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        if other.size > 500 and other.any():
            np.testing.assert_allclose(one.std(), other.std(), rtol=0.1)
            np.testing.assert_allclose(abs(one).max(), abs(other).max(), rtol=0.02)
            compared += 1
        elif other.std() == 0:
            np.testing.assert_array_equal(one, other)
    assert compared > 5


def test_kernels_are_uniform_with_the_variance_of_the_fans(key):
    params = models.mlp((64,), width=128, num_blocks=1).init_fn(key)
    kernel = params["input"]["kernel"]
    assert kernel.shape == (64, 128)
    np.testing.assert_allclose(kernel.var(), 2 / (64 + 128), rtol=0.05)
    np.testing.assert_allclose(abs(kernel).max(), np.sqrt(6 / (64 + 128)), rtol=0.01)
    assert not params["block_0_output"]["kernel"].any() and not params["input"]["bias"].any()


def test_parameters_depend_on_the_key_alone_not_on_jit_or_vmap(key):
    model = models.mlp((2,), width=8, num_blocks=1)
    alone = model.init_fn(key)
    keys = jnp.stack([jax.random.key(7), key])
    together = jax.jit(jax.vmap(model.init_fn))(keys)
    jax.tree.map(lambda one, many: np.testing.assert_array_equal(one, many[1]), alone, together)
    kernel = together["input"]["kernel"]
    assert (kernel[0] != kernel[1]).all()
    assert jax.tree.map(jnp.shape, alone) == jax.tree.map(
        lambda leaf: leaf.shape, jax.eval_shape(model.init_fn, key)
    )
