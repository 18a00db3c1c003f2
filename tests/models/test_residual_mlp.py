"""The MLP takes vectors and images, learns, and has the sizes of the two recipes."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from memgen_jax import models
from memgen_jax.errors import InputError


def num_parameters(model):
    return sum(leaf.size for leaf in jax.tree.leaves(jax.eval_shape(model.init_fn, jax.random.key(0))))


def test_the_demo_recipe_has_0_71_million_parameters():
    dense = lambda n, m: n * m + m  # noqa: E731
    count = dense(64, 256) + dense(64, 256) + dense(256, 256) + 3 * 3 * dense(256, 256) + dense(256, 64)
    assert num_parameters(models.mlp((8, 8, 1))) == count
    assert round(count / 1e6, 2) == 0.71


def test_the_circles_network_sees_time_only_beside_the_point():
    model = models.mlp((2,), num_blocks=8, time_features="fourier", time_in_blocks=False)
    dense = lambda n, m: n * m + m  # noqa: E731
    assert num_parameters(model) == dense(2 + 64, 256) + 8 * 2 * dense(256, 256) + dense(256, 2)


@pytest.mark.parametrize(
    ("item_shape", "time_features", "time_in_blocks"),
    [
        ((8, 8, 1), "sinusoidal", True),
        ((2,), "fourier", False),
        ((2,), "log_fourier", True),
    ],
)
def test_an_item_comes_out_in_its_own_shape_and_time_matters(item_shape, time_features, time_in_blocks, key):
    model = models.mlp(
        item_shape, 16, 1, time_features=time_features, num_features=8, time_in_blocks=time_in_blocks
    )
    rng = np.random.default_rng(0)
    params = jax.tree.map(
        lambda leaf: np.float32(rng.standard_normal(leaf.shape)), jax.eval_shape(model.init_fn, key)
    )
    apply = jax.jit(jax.vmap(model.apply_fn, (None, None, 0)))
    first, second = apply(params, jnp.ones(item_shape), jnp.array([0.1, 0.9]))
    assert first.shape == item_shape
    assert np.abs(first - second).max() > 1e-3


def test_it_learns_a_function_of_both_item_and_time(key):
    model = models.mlp((2,), width=32, num_blocks=2, time_features="fourier", num_features=16)
    optimizer = optax.adam(3e-3)

    def loss(params, x, t):
        target = x[:, ::-1] * jnp.cos(3 * t)[:, None]
        return ((jax.vmap(model.apply_fn, (None, 0, 0))(params, x, t) - target) ** 2).mean()

    def step(carry, key):
        params, state = carry
        x = jax.random.normal(key, (128, 2))
        t = jax.random.uniform(jax.random.fold_in(key, 1), (128,))
        value, gradient = jax.value_and_grad(loss)(params, x, t)
        update, state = optimizer.update(gradient, state)
        return (optax.apply_updates(params, update), state), value

    train = jax.jit(lambda carry: jax.lax.scan(step, carry, jax.random.split(key, 1500)))
    params = model.init_fn(key)
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes a float with its step counter
        _, losses = train((params, optimizer.init(params)))
    assert losses[0] > 0.4 and losses[-100:].mean() < 0.05 * losses[0]


def test_settings_that_cannot_work_are_named():
    with pytest.raises(InputError, match=r"'sine'.*log_fourier"):
        models.mlp((2,), time_features="sine")
    with pytest.raises(InputError, match=r"model\.width=0 must be at least 1"):
        models.mlp((2,), width=0)
