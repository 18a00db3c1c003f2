"""One optimiser step of one member, and its compilation for a block of members on a mesh.

Members have the same shapes whatever their K: a small training set is a mask on the batch, never another
program. Every random number is named by (seed, purpose, member, step, slot in the batch), so an interrupted
run, or one on another number of devices, ends with the same bits; on GPUs where kernels are chosen by rule
(`--deterministic`).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import decode
from memgen_jax.diffusion import Process, denoising_loss
from memgen_jax.errors import InputError
from memgen_jax.models import Model
from memgen_jax.sweep.members import Member, Purpose
from memgen_jax.sweep.mesh import DATA, MEMBER
from memgen_jax.sweep.order import epoch_index
from memgen_jax.sweep.settings import SweepTrainSettings
from memgen_jax.training import draw_training_time, make_optimizer, update_ema, weighted

PyTree = Any


class TrainState(NamedTuple):
    """One member in training; a block stacks its members' states along a leading axis.

    Attributes:
      params, ema: the network's parameters and their moving average, float32.
      opt_state: Adam's moments.
      step: int32, optimiser steps taken.
    """

    params: PyTree
    ema: PyTree
    opt_state: PyTree
    step: jax.Array


class MemberInputs(NamedTuple):
    """What distinguishes one member inside the compiled step."""

    num_train: jax.Array
    batch_size: jax.Array
    order: jax.Array
    order_key: jax.Array
    noise_key: jax.Array
    dropout_key: jax.Array


def init_state(
    member: Member,
    model: Model,
    optimizer: optax.GradientTransformation,
    start_from: Callable[[Member], PyTree] | None = None,
) -> TrainState:
    """A member before its first step, with parameters of its own or those that `start_from` gives."""
    if start_from is None:
        params = model.init_fn(member.key(Purpose.INITIALIZE))
    else:
        params = jax.tree.map(jnp.asarray, start_from(member))
    return TrainState(params, params, optimizer.init(params), jnp.int32(0))


def train_step(
    state: TrainState,
    member: MemberInputs,
    data: jax.Array,
    *,
    model: Model,
    process: Process,
    optimizer: optax.GradientTransformation,
    settings: SweepTrainSettings,
) -> tuple[TrainState, jax.Array]:
    """One optimiser step of one member; with `data_parallel` > 1, this device's share of its batch.

    Args:
      data: the whole training array, uint8 images or float vectors, in the sweep's order.
    Returns:
      The next state and the mean loss over the member's batch.
    """
    share = settings.batch_size // settings.data_parallel
    slots = jax.lax.axis_index(DATA) * share + jnp.arange(share)
    position = state.step * member.batch_size + slots
    index = jax.vmap(epoch_index, (None, 0, None))(member.order_key, position, member.num_train)
    clean = decode(data[member.order[index]])

    def slot_loss(params, item, slot):
        key = jax.random.fold_in(jax.random.fold_in(member.noise_key, state.step), slot)
        time_key, noise_key = jax.random.split(key)
        dropout_key = jax.random.fold_in(jax.random.fold_in(member.dropout_key, state.step), slot)

        def network(x, t):
            return model.apply_fn(params, x, t, dropout_key)

        noise = jax.random.normal(noise_key, item.shape, item.dtype)
        t = draw_training_time(time_key, process, settings)
        return weighted(denoising_loss(network, process, settings.prediction, item, noise, t), t, settings)

    def batch_loss(params):
        losses = jax.vmap(slot_loss, (None, 0, 0))(params, clean, slots)
        mask = (slots < member.batch_size).astype(losses.dtype)
        return jnp.sum(mask * losses) / member.batch_size.astype(losses.dtype)

    loss, gradient = jax.value_and_grad(batch_loss)(state.params)
    loss, gradient = jax.lax.psum((loss, gradient), DATA)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    ema = update_ema(
        state.ema, params, state.step.astype(jnp.float32), settings.ema_decay, settings.ema_warmup
    )
    return TrainState(params, ema, opt_state, state.step + 1), loss


@functools.lru_cache(maxsize=16)  # the usual number of steps and what is left at the end
def make_advance(
    mesh: Mesh, model: Model, process: Process, settings: SweepTrainSettings, num_steps: int
) -> Callable[[TrainState, MemberInputs, jax.Array], tuple[TrainState, jax.Array]]:
    """Compiles (block state, block members, data) -> (block state, loss [block member, num_steps])."""
    optimizer = make_optimizer(settings)

    def one_member(state, member, data):
        def step(state, _):
            return train_step(
                state, member, data, model=model, process=process, optimizer=optimizer,
                settings=settings,
            )  # fmt: skip

        if num_steps == 1:
            state, loss = step(state, None)
            return state, loss[None]
        return jax.lax.scan(step, state, length=num_steps)

    def one_device(state, members, data):
        if members.num_train.shape == (1,):  # no batch axis at all: vmap of one is not free
            state, members = jax.tree.map(lambda leaf: leaf[0], (state, members))
            return jax.tree.map(lambda leaf: leaf[None], one_member(state, members, data))
        if settings.members_in_sequence:
            return jax.lax.map(lambda own: one_member(*own, data), (state, members))
        return jax.vmap(one_member, (0, 0, None))(state, members, data)

    sharded = jax.shard_map(
        one_device,
        mesh=mesh,
        in_specs=(P(MEMBER), P(MEMBER), P()),
        out_specs=(P(MEMBER), P(MEMBER)),
        check_vma=False,  # the sum over the data axis is written out in train_step
    )
    return jax.jit(sharded, donate_argnums=0)


@takes_arrays
def steps_per_call(wanted: int, model: Model | None) -> int:
    """Steps in one compiled call; `wanted` = 0 chooses by model (None: no network) and device."""
    if wanted < 0:
        raise InputError.setting("steps_per_call", wanted, "positive, or 0 to choose")
    if wanted:
        return wanted
    slow_inside_loops = model is not None and model.convolutional and jax.default_backend() == "cpu"
    return 1 if slow_inside_loops else 100
