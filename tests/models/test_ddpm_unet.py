"""The U-Net is the paper's to the unit, handles one image, and batches as well as by hand."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import models
from memgen_jax.errors import InputError
from memgen_jax.models.ddpm_unet import Attention

TINY = {"width": 8, "multipliers": (1, 2), "num_blocks": 1, "dropout": 0.5}
QUICK = {"xla_backend_optimization_level": 0}  # compiles in half the time; nothing here runs long


def randomised(params, seed=0):
    """Adds noise to the zeros of the start, behind which mistakes would hide."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda p: np.float32(p + 0.1 * rng.standard_normal(p.shape)), params)


@pytest.fixture(scope="module")
def tiny():
    """A small model, its parameters and its batched forward pass, compiled once."""
    model = models.unet((8, 8, 1), **TINY)
    params = randomised(model.init_fn(jax.random.key(0)))
    return model, params, jax.jit(jax.vmap(model.apply_fn, (None, 0, 0)), compiler_options=QUICK)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(1)
    return np.float32(rng.standard_normal((3, 8, 8, 1))), np.float32([1, 500, 1000])


@pytest.mark.parametrize(
    ("item_shape", "width", "multipliers", "count"),
    [
        ((32, 32, 3), 128, (1, 2, 2, 2), 35_746_307),  # CIFAR10
        ((32, 32, 3), 96, (1, 2, 2, 2), 20_118_915),
        ((32, 32, 3), 64, (1, 2, 2, 2), 8_952_067),
        ((64, 64, 3), 96, (1, 1, 2, 2, 4, 4), 61_745_283),  # LSUN-Church
        ((64, 64, 3), 128, (1, 1, 2, 2, 4, 4), 109_733_379),
        ((64, 64, 3), 64, (1, 1, 2, 2, 4, 4), 27_460_355),
        ((28, 28, 1), 128, (1, 2, 2), 24_515_585),  # MNIST, Fashion-MNIST
    ],
)
def test_it_has_the_papers_number_of_parameters(item_shape, width, multipliers, count, key):
    params = jax.eval_shape(models.unet(item_shape, width, multipliers).init_fn, key)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_image_comes_out_in_its_own_shape_in_float32(dtype, key):
    item_shape = (4, 6, 3)
    model = models.unet(item_shape, **TINY, dtype=dtype)
    params = jax.eval_shape(model.init_fn, key)
    output = jax.eval_shape(model.apply_fn, params, jnp.ones(item_shape), jnp.asarray(3.0), key)
    assert output.shape == item_shape and output.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype("float32")}


def test_a_fresh_model_predicts_zero_and_a_randomised_one_does_not(tiny, batch, key):
    model, params, apply = tiny
    assert (apply(model.init_fn(key), *batch) == 0).all()
    assert (apply(params, *batch) != 0).any()


def test_an_image_does_not_feel_the_rest_of_its_batch_but_feels_its_own_time(tiny, batch):
    _, params, apply = tiny
    images, times = batch
    output = apply(params, images, times)
    np.testing.assert_allclose(apply(params, images[::-1], times[::-1])[::-1], output, atol=1e-5)
    other_times = apply(params, images, times[::-1])
    assert np.abs(other_times[0] - output[0]).max() > 1e-3
    np.testing.assert_allclose(other_times[1], output[1], atol=1e-5)


def test_a_vmapped_batch_costs_one_ordinary_convolution_per_layer(tiny, batch):
    model, params, apply = tiny
    images, times = batch

    def loss(params, images, times):
        return (jax.vmap(model.apply_fn, (None, 0, 0))(params, images, times) ** 2).mean()

    one = jax.jit(model.apply_fn).lower(params, images[0], times[0])
    training = jax.jit(jax.grad(loss)).lower(params, images, times).as_text()
    groups = re.findall(r"(?:feature|batch)_group_count = (\d+)", training)
    assert groups and set(groups) == {"1"}
    # Forward, gradient of the input, gradient of the kernel: no more than three for each layer.
    layers = one.as_text().count("stablehlo.convolution")
    assert layers <= training.count("stablehlo.convolution") <= 3 * layers
    flops = apply.lower(params, images, times).cost_analysis()["flops"]
    assert flops == pytest.approx(len(images) * one.cost_analysis()["flops"], rel=0.01)


def test_attention_is_a_softmax_average_of_values_over_all_positions(key):
    module = Attention(groups=4, dtype="float32")
    x = np.float32(np.random.default_rng(0).standard_normal((2, 3, 8)))
    shapes = jax.eval_shape(module.init, key, x)["params"]
    params = randomised(jax.tree.map(lambda leaf: np.zeros(leaf.shape), shapes))

    def dense(name, values):
        return values @ params[name]["kernel"] + params[name]["bias"]

    grouped = x.reshape(6, 4, 2)
    mean, variance = (f((0, 2), keepdims=True) for f in (grouped.mean, grouped.var))
    h = ((grouped - mean) / np.sqrt(variance + 1e-6)).reshape(6, 8)
    h = h * params["norm"]["scale"] + params["norm"]["bias"]
    query, keys, values = (dense(name, h) for name in ("query", "key", "value"))
    rows = []
    for position in range(6):
        weight = np.exp(keys @ query[position] / np.sqrt(8))
        rows.append(weight @ values / weight.sum())
    expected = x + dense("output", np.stack(rows)).reshape(x.shape)
    np.testing.assert_allclose(jax.jit(module.apply)({"params": params}, x), expected, atol=1e-5)


def test_dropout_acts_only_with_a_key_and_by_the_key_alone(key):
    model = models.unet((2, 2, 1), 4, (1,), 1, dropout=0.5)
    params = randomised(model.init_fn(key))
    image, time = np.ones((2, 2, 1), np.float32), np.float32(3)
    keys = jax.random.split(key, 2)[jnp.array([0, 1, 0])]
    train = jax.jit(jax.vmap(model.apply_fn, (None, None, None, 0)), compiler_options=QUICK)
    output = train(params, image, time, keys)
    np.testing.assert_allclose(output[0], output[2], atol=1e-6)
    assert np.abs(output[0] - output[1]).max() > 1e-3
    without = jax.jit(model.apply_fn, compiler_options=QUICK)(params, image, time)
    assert np.abs(output[0] - without).max() > 1e-3


@pytest.mark.slow
def test_bfloat16_activations_stay_near_float32(tiny, batch):
    _, params, apply = tiny
    half = models.unet((8, 8, 1), **TINY, dtype="bfloat16")
    full = apply(params, *batch)
    error = jax.jit(jax.vmap(half.apply_fn, (None, 0, 0)))(params, *batch) - full
    assert 0 < jnp.linalg.norm(error) < 0.05 * jnp.linalg.norm(full)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"item_shape": (2,)}, "MLP"),
        ({"multipliers": (1, 2, 2, 2, 2)}, "28×28 cannot be halved 4 times"),
        ({"width": 7}, "model.width=7 must be"),
        ({"width": 48, "groups": 32}, "groups=32.*width=48.*16"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dtype": "float16"}, "float16"),
        ({"multipliers": ()}, "at least one"),
    ],
)
def test_settings_that_cannot_work_are_named(settings, message):
    with pytest.raises(InputError, match=message):
        models.unet(**({"item_shape": (28, 28, 1), "multipliers": (1, 2)} | settings))
