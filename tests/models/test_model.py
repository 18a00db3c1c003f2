"""Parameters are drawn as the modules declare them, and by the key alone."""

import re

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import models
from memgen_jax.errors import InputError


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


def test_the_1x1_layers_start_smaller_where_that_is_asked_for_and_nothing_else_does(key):
    one, tenth = (
        models.unet((8, 8, 3), width=32, multipliers=(1, 2), attention_sides=(8,), nin_scale=scale).init_fn(
            key
        )
        for scale in (1.0, 0.1)
    )
    changed = set()
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(tenth), strict=True):
        if (a != b).any():
            np.testing.assert_allclose(b, np.sqrt(0.1) * a, rtol=1e-6)
            changed.add(path[-2].key)
    assert changed == {"shortcut", "query", "key", "value"}
    shortcut = tenth["down_1_0"]["shortcut"]["kernel"]
    np.testing.assert_allclose(shortcut.var(), 0.1 * 2 / (32 + 64), rtol=0.1)


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


def test_a_module_of_ones_own_is_drawn_by_its_own_initialisers():
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x, t):
            gain = self.param("gain", nn.initializers.constant(0.5), (x.size,))
            offset = self.param("offset", nn.initializers.ones_init(), ())
            return (gain * x.ravel() + offset * t).reshape(x.shape)

    model = models.from_module(Own(), (2, 3))
    params = model.init_fn(jax.random.key(0))
    np.testing.assert_array_equal(params["gain"], 0.5)
    np.testing.assert_array_equal(params["offset"], 1.0)
    output = model.apply_fn(params, jnp.ones((2, 3)), jnp.float32(2))
    np.testing.assert_array_equal(output, 2.5)


@pytest.mark.parametrize("form", ["positional", "keyword", "none", "any"])
def test_a_module_is_told_whether_it_trains_where_it_takes_that(form):
    class Positional(nn.Module):
        def __call__(self, x, t, train):
            return x + (1.0 if train else 0.0)

    class Keyword(nn.Module):
        def __call__(self, x, t, *, train=True):
            return x + (1.0 if train else 0.0)

    class Nothing(nn.Module):
        def __call__(self, x, t):
            return x

    class Anything(nn.Module):
        def __call__(self, x, t, **options):
            return x + (1.0 if options["train"] else 0.0)

    module = {"positional": Positional, "keyword": Keyword, "none": Nothing, "any": Anything}[form]()
    model = models.from_module(module, (2,))
    params = model.init_fn(jax.random.key(0))
    x, t = jnp.zeros(2), jnp.float32(1)
    assert float(model.apply_fn(params, x, t)[0]) == 0
    assert float(model.apply_fn(params, x, t, jax.random.key(1))[0]) == (0 if form == "none" else 1)


@pytest.mark.parametrize("convolves", [True, False])
def test_whether_a_module_of_ones_own_convolves_is_found_out(convolves):
    class Own(nn.Module):
        @nn.compact
        def __call__(self, x, t):
            return nn.Conv(1, (3, 3))(x) if convolves else nn.Dense(1)(x)

    assert models.from_module(Own(), (4, 4, 1)).convolutional is convolves
    assert models.from_module(Own(), (4, 4, 1), convolutional=False).convolutional is False


def test_a_module_with_batch_statistics_is_refused():
    class Normalised(nn.Module):
        @nn.compact
        def __call__(self, x, t, train):
            return nn.BatchNorm(use_running_average=not train)(x)

    with pytest.raises(InputError, match="keeps batch_stats beside its parameters"):
        models.from_module(Normalised(), (2,)).init_fn(jax.random.key(0))


def test_a_module_that_cannot_be_given_an_item_and_a_time_is_refused_by_what_it_takes():
    class OnlyItem(nn.Module):
        @nn.compact
        def __call__(self, x):
            return x

    class WantsMore(nn.Module):
        @nn.compact
        def __call__(self, x, t, label):
            return x

    for module, takes in ((OnlyItem(), "(x)"), (WantsMore(), "(x, t, label)")):
        with pytest.raises(InputError, match=re.escape(f"takes {takes}, and must take (x, t)")):
            models.from_module(module, (2,))
    with pytest.raises(InputError, match="module is int, and Module is wanted"):
        models.from_module(3, (2,))
