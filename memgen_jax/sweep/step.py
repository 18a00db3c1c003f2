"""One optimiser step of one member, and its compilation for a block of members on a mesh.

Members have the same shapes whatever their K: a small training set is a mask on the batch, never another
program. Every random number is named by (seed, purpose, member, step, slot in the batch), so an interrupted
run, or one on another number of devices, ends with the same bits.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from memgen_jax.data import decode
from memgen_jax.diffusion import Process, denoising_loss, draw_mixed_time
from memgen_jax.errors import InputError, require_at_least
from memgen_jax.models import Model
from memgen_jax.sweep.members import Member, Purpose
from memgen_jax.sweep.mesh import DATA, MEMBER
from memgen_jax.sweep.order import epoch_index

PyTree = Any


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How every member is trained.

    Attributes:
      num_steps: optimiser steps.
      batch_size: rows of the batch in the compiled step; a member uses its own `batch_size` of them.
      repeat_small: sets smaller than the batch fill it, each item several times with fresh noise, instead of
        the paper's batch of min(batch_size, K).
      prediction: what the network predicts: "noise" (the paper), "velocity", "denoised" or "score".
      times: law of the training times: "uniform" (the papers), or "mixed" with log-uniform ones, for VE and OU;
        see `diffusion.draw_mixed_time`.
      learning_rate, warmup_steps: Adam's rate, reached linearly.
      schedule: after the warm-up "constant" (the paper) or "cosine" (down to zero at `num_steps`).
      grad_clip: largest global norm of the gradient (Ho et al. 2020: 1).
      ema_decay: of the averaged parameters that samples are drawn from (the paper: 0.9999), warmed up as
        min(ema_decay, (1 + step) / (10 + step)) so that short runs are not an average over their start.
      data_parallel: devices that share one member's batch.
      members_per_step: members that one device advances together (vmap). 1 is fastest on CPU. Changes the
        compiled arithmetic, hence rounding and single labels, but no fraction beyond its interval.
      steps_per_call: steps inside one compiled call; 0 chooses 1 for convolutions on CPU (which XLA runs
        several times slower inside a loop) and 100 elsewhere. Changes rounding likewise.
      checkpoint_seconds: time between checkpoints.
      log_every: steps between lines of metrics.jsonl.
      num_snapshots: steps whose averaged parameters are kept for the axis of training time: the last, half of
        it, a quarter, …; 0 for none. They fall on whole calls and change no bit of the training.
    """

    num_steps: int
    batch_size: int
    repeat_small: bool = False
    prediction: str = "noise"
    times: str = "uniform"
    learning_rate: float = 2e-4
    warmup_steps: int = 5000
    schedule: str = "constant"
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    data_parallel: int = 1
    members_per_step: int = 1
    steps_per_call: int = 0
    checkpoint_seconds: float = 300.0
    log_every: int = 1000
    num_snapshots: int = 0

    def __post_init__(self):
        require_at_least("train", self, num_steps=1, batch_size=1, data_parallel=1, members_per_step=1)
        require_at_least("train", self, warmup_steps=0, steps_per_call=0, num_snapshots=0)
        require_at_least("train", self, checkpoint_seconds=0, log_every=1)
        for name in ("learning_rate", "grad_clip"):
            if not getattr(self, name) > 0:
                raise InputError(f"train.{name}={getattr(self, name)} must be positive.")
        if not 0 <= self.ema_decay < 1:
            raise InputError(f"train.ema_decay={self.ema_decay} must lie in [0, 1).")
        if self.schedule not in ("constant", "cosine"):
            raise InputError(f"train.schedule={self.schedule!r} must be 'constant' or 'cosine'.")
        if self.times not in ("uniform", "mixed"):
            raise InputError(f"train.times={self.times!r} must be 'uniform' or 'mixed'.")
        if self.batch_size % self.data_parallel:
            raise InputError(
                f"train.batch_size={self.batch_size} is not divisible by "
                f"train.data_parallel={self.data_parallel}."
            )


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
    order_key: jax.Array
    noise_key: jax.Array
    dropout_key: jax.Array


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with warm-up and gradient clipping (Ho et al. 2020, App. B)."""
    rate, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "cosine":
        # A run shorter than its warm-up ends before the decay, which needs at least one step.
        end = max(settings.num_steps, warmup + 1)
        schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, end)
    else:
        schedule = optax.warmup_constant_schedule(0.0, rate, warmup)
    return optax.chain(optax.clip_by_global_norm(settings.grad_clip), optax.adam(schedule))


def init_state(member: Member, model: Model, optimizer: optax.GradientTransformation) -> TrainState:
    """A member before its first step."""
    params = model.init_fn(member.key(Purpose.INITIALIZE))
    return TrainState(params, params, optimizer.init(params), jnp.int32(0))


def train_step(
    state: TrainState,
    member: MemberInputs,
    data: jax.Array,
    *,
    model: Model,
    process: Process,
    optimizer: optax.GradientTransformation,
    settings: TrainSettings,
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
    clean = decode(data[index])

    def slot_loss(params, item, slot):
        key = jax.random.fold_in(jax.random.fold_in(member.noise_key, state.step), slot)
        time_key, noise_key = jax.random.split(key)
        dropout_key = jax.random.fold_in(jax.random.fold_in(member.dropout_key, state.step), slot)

        def network(x, t):
            return model.apply_fn(params, x, t, dropout_key)

        noise = jax.random.normal(noise_key, item.shape, item.dtype)
        t = process.draw_time(time_key) if settings.times == "uniform" else draw_mixed_time(time_key, process)
        return denoising_loss(network, process, settings.prediction, item, noise, t)

    def batch_loss(params):
        losses = jax.vmap(slot_loss, (None, 0, 0))(params, clean, slots)
        mask = (slots < member.batch_size).astype(losses.dtype)
        return jnp.sum(mask * losses) / member.batch_size.astype(losses.dtype)

    loss, gradient = jax.value_and_grad(batch_loss)(state.params)
    loss, gradient = jax.lax.psum((loss, gradient), DATA)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    steps_taken = state.step.astype(jnp.float32)
    decay = jnp.minimum(settings.ema_decay, (1.0 + steps_taken) / (10.0 + steps_taken))
    ema = optax.incremental_update(params, state.ema, 1.0 - decay)
    return TrainState(params, ema, opt_state, state.step + 1), loss


@functools.lru_cache(maxsize=16)  # the usual number of steps and what is left at the end
def make_advance(
    mesh: Mesh, model: Model, process: Process, settings: TrainSettings, num_steps: int
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
        return jax.vmap(one_member, (0, 0, None))(state, members, data)

    sharded = jax.shard_map(
        one_device,
        mesh=mesh,
        in_specs=(P(MEMBER), P(MEMBER), P()),
        out_specs=(P(MEMBER), P(MEMBER)),
        check_vma=False,  # the sum over the data axis is written out in train_step
    )
    return jax.jit(sharded, donate_argnums=0)


def steps_per_call(wanted: int, model: Model | None) -> int:
    """Steps in one compiled call; `wanted` = 0 chooses by model (None: no network) and device."""
    if wanted < 0:
        raise InputError(f"steps_per_call={wanted} must be positive, or 0 to choose.")
    if wanted:
        return wanted
    slow_inside_loops = model is not None and model.convolutional and jax.default_backend() == "cpu"
    return 1 if slow_inside_loops else 100
