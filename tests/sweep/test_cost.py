import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from memgen_jax import diffusion, models
from memgen_jax.sweep import (
    Sampler,
    SweepTrainSettings,
    exact_score_bytes,
    exact_source,
    make_members,
    member_mesh,
    model_cost,
)
from memgen_jax.sweep.blocks import stack_inputs
from memgen_jax.sweep.cost import busy_share, count_flops, peak_flops
from memgen_jax.sweep.step import init_state, make_advance
from memgen_jax.sweep.synthesis import _make_draw
from memgen_jax.training import make_optimizer

PROCESS = diffusion.DDPM(num_steps=20)


def shape(*sizes):
    return jax.ShapeDtypeStruct(sizes, jnp.float32)


def test_a_product_costs_two_operations_per_multiply_add():
    assert count_flops(jnp.matmul, shape(3, 5), shape(5, 7)) == 2 * 3 * 5 * 7
    assert count_flops(lambda a, b: jnp.einsum("nij,njk->nik", a, b), shape(4, 3, 5), shape(4, 5, 7)) == 840


def test_a_loop_costs_its_body_times_its_length_and_a_branch_its_dearer_side():
    def loop(x, w):
        return jax.lax.scan(lambda x, _: (x @ w, None), x, length=6)[0]

    assert count_flops(loop, shape(3, 3), shape(3, 3)) == 6 * 2 * 27

    def branch(x, w):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ w @ w, lambda: x @ w)

    assert count_flops(branch, shape(3, 3), shape(3, 3)) == 2 * 2 * 27


@pytest.mark.parametrize("stride,padding,dilation", [(1, 1, 1), (2, 1, 1), (1, 0, 1), (1, 2, 2)])
def test_a_convolution_costs_its_kernel_at_every_position_that_lies_on_the_image(stride, padding, dilation):
    """Against a loop over all positions; `dilation` sets zeros between the items, as a gradient does."""
    side, kernel, channels, features = 6, 3, 2, 4

    def convolve(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (stride, stride), [(padding, padding)] * 2, lhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )  # fmt: skip

    out = jax.eval_shape(convolve, shape(1, side, side, channels), shape(kernel, kernel, channels, features))
    count = 0
    spread = (side - 1) * dilation
    for i, j, a, b in itertools.product(range(out.shape[1]), range(out.shape[2]), *[range(kernel)] * 2):
        at = [i * stride + a - padding, j * stride + b - padding]
        count += all(0 <= p <= spread and p % dilation == 0 for p in at)
    assert count_flops(
        convolve, shape(1, side, side, channels), shape(kernel, kernel, channels, features)
    ) == (2 * count * channels * features)


def compiled_step(model, settings, item_shape):
    member = make_members((5,), total=5, batch_size=settings.batch_size)
    state = init_state(member[0], model, make_optimizer(settings))
    state = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], state)
    advance = make_advance(member_mesh(jax.devices()[:1]), model, PROCESS, settings, 1)
    return advance.lower(state, stack_inputs(member, 5), jnp.zeros((5, *item_shape), jnp.uint8))


def xla_flops(stage):
    analysis = stage.cost_analysis()
    return (analysis[0] if isinstance(analysis, list) else analysis)["flops"]


@pytest.mark.slow
def test_a_training_step_costs_what_xla_counts_in_the_compiled_program():
    """XLA counts element-wise work and Adam besides, here a few per cent."""
    item_shape = (8, 8, 3)
    model = models.unet(item_shape, width=32, multipliers=(1, 2), num_blocks=1, attention_sides=(4,))
    settings = SweepTrainSettings(num_steps=10, batch_size=16)
    cost = model_cost(model, PROCESS, settings, item_shape, is_image=True)
    program = compiled_step(model, settings, item_shape).compile()
    assert 1.0 <= xla_flops(program) / cost.train_flops < 1.08
    memory = program.memory_analysis()
    # The state lives in place (donated); the activations are an upper bound, since XLA fuses.
    assert memory.alias_size_in_bytes == pytest.approx(cost.state_bytes, rel=0.01)
    used = memory.argument_size_in_bytes + memory.temp_size_in_bytes
    assert used < cost.train_bytes(settings.batch_size, 1) < 3 * used


def test_a_forward_pass_costs_what_xla_counts():
    item_shape = (8, 8, 1)
    model = models.unet(item_shape, width=16, multipliers=(1, 2), num_blocks=1, attention_sides=(4,))
    params = jax.eval_shape(model.init_fn, jax.random.key(0))
    cost = model_cost(
        model, PROCESS, SweepTrainSettings(num_steps=1, batch_size=4), item_shape, is_image=True
    )
    lowered = jax.jit(lambda params, x, t: model.apply_fn(params, x, t)).lower(
        params, shape(*item_shape), shape()
    )
    assert 1.0 <= xla_flops(lowered) / cost.forward_flops < 1.15
    assert cost.parameters == sum(leaf.size for leaf in jax.tree.leaves(params))


def test_a_training_step_costs_about_three_forward_passes_per_item():
    model = models.mlp((16,), width=64, num_blocks=2)
    settings = SweepTrainSettings(num_steps=1, batch_size=8)
    cost = model_cost(model, PROCESS, settings, (16,), is_image=False)
    assert 2.5 < cost.train_flops / (8 * cost.forward_flops) <= 3.0
    assert cost.state_bytes == pytest.approx(4 * 4 * cost.parameters, abs=64)


def test_the_data_axis_shares_a_steps_cost_among_devices():
    model = models.mlp((16,), width=64, num_blocks=2)
    whole, half = (
        model_cost(
            model, PROCESS, SweepTrainSettings(num_steps=1, batch_size=8, data_parallel=n), (16,), False
        )
        for n in (1, 2)
    )
    assert whole.train_flops == 2 * half.train_flops


def test_blocks_leave_idle_only_the_places_that_the_last_one_does_not_fill():
    assert busy_share(38, 8) == pytest.approx(38 / 40)
    assert busy_share(40, 8) == 1.0
    assert busy_share(3, 8) == pytest.approx(3 / 8)


def test_a_cpu_has_no_stated_peak():
    assert peak_flops(jax.devices()) is None
    assert peak_flops([]) is None


@pytest.mark.parametrize("reordered", [False, True])
def test_the_exact_score_holds_what_its_compiled_program_takes(reordered):
    """A TPU's program, which test_ahead_of_time.py compares, has besides the copy without the first tile, and a tile's
    copies for its product."""
    total, item_shape, chunk = 12_000, (16, 16, 3), 64
    mesh = jax.make_mesh(
        (1,), ("member",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1]
    )
    over, everywhere = jax.NamedSharding(mesh, jax.P("member")), jax.NamedSharding(mesh, jax.P())
    order_of = (lambda member: np.arange(total)) if reordered else None
    source = exact_source(np.zeros((2, *item_shape), np.float32), PROCESS, order_of)
    sampler = Sampler(PROCESS, diffusion.make_step("ddim"), 20, item_shape, images=True, chunk_size=chunk)

    def of(sharding, dtype, *sizes):
        return jax.ShapeDtypeStruct(sizes, dtype, sharding=sharding)

    number = of(over, jnp.int32, 1)
    own = (number, of(over, jnp.int32, 1, total)) if reordered else number
    x, patterns = (
        of(over, jnp.float32, 1, chunk, *item_shape),
        of(everywhere, jnp.float32, total, *item_shape),
    )
    key = of(over, jax.eval_shape(lambda: jax.random.key(0)).dtype, 1)
    times = of(everywhere, jnp.asarray(diffusion.time_grid(PROCESS, 20)).dtype, 2)
    program = _make_draw(mesh, source, sampler).advance.lower(
        own, patterns, key, number, x, times, of(everywhere, jnp.int32)
    )
    used = program.compile().memory_analysis()
    held = used.argument_size_in_bytes + used.temp_size_in_bytes
    counted = exact_score_bytes(total, math.prod(item_shape), chunk, reordered)
    whole_tiles, tile = 3 * 4096, 4096
    for_a_tpu = math.prod(item_shape) * (4 * whole_tiles + 10 * tile)
    assert held < counted and counted - for_a_tpu == pytest.approx(held, rel=0.1)
    more = counted - exact_score_bytes(total, math.prod(item_shape), chunk, False)
    assert more == reordered * 4 * total * (math.prod(item_shape) + 1)  # the set once more, and its order
