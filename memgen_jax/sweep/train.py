"""Trains all members of a sweep, a block of them at a time, by one compiled step.

A block is as many members as the mesh has places (times `members_per_step` on each). Members have the same
shapes whatever their K: a small training set is a mask on the batch, never another program. Every random
number is named by (seed, purpose, member, step, slot in the batch), so an interrupted run, or one on another
number of devices, ends with the same bits.
"""

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from etils import epath
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from memgen_jax.data import decode
from memgen_jax.diffusion import Process, denoising_loss
from memgen_jax.errors import InputError
from memgen_jax.models import Model
from memgen_jax.sweep.checkpoints import MemberCheckpoints
from memgen_jax.sweep.interrupts import deferred_interrupts
from memgen_jax.sweep.members import Member, Purpose
from memgen_jax.sweep.mesh import DATA, MEMBER, stack_over_members
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
    """

    num_steps: int
    batch_size: int
    repeat_small: bool = False
    prediction: str = "noise"
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


class TrainingDiverged(InputError):
    """A loss stopped being finite."""


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with warm-up and gradient clipping (Ho et al. 2020, App. B)."""
    rate, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "cosine":
        # A run shorter than its warm-up ends before the decay, which needs at least one step.
        end = max(settings.num_steps, warmup + 1)
        schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, end)
    elif settings.schedule == "constant":
        schedule = optax.warmup_constant_schedule(0.0, rate, warmup)
    else:
        raise InputError(f"train.schedule={settings.schedule!r} must be 'constant' or 'cosine'.")
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
        t = process.draw_time(time_key)
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
    if settings.batch_size % settings.data_parallel:
        raise InputError(
            f"train.batch_size={settings.batch_size} is not divisible by "
            f"train.data_parallel={settings.data_parallel}."
        )
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


def train_members(
    members: Sequence[Member],
    data: np.ndarray,
    *,
    model: Model,
    process: Process,
    settings: TrainSettings,
    mesh: Mesh,
    folder: epath.PathLike,
    log: Callable[[dict], None],
    advanced: Callable[[int], None] = lambda model_steps: None,
    warn: Callable[[str], None] = print,
) -> None:
    """Trains every member to its last step and leaves its checkpoint in `folder`/<member name>.

    Args:
      data: training items in the sweep's order; member m sees the first `num_train` of them.
      log: receives one record per `log_every` steps.
      advanced: told how many model-steps were finished since it was last called (those restored included).
      warn: receives sentences about damaged checkpoints.
    Raises:
      TrainingDiverged: a loss is not finite; names the member and the step. Good checkpoints stay.
      KeyboardInterrupt: after a signal, once the state has been saved.
    """
    if not members:
        return
    per_call = steps_per_call(settings.steps_per_call, model)
    block_size = mesh.shape[MEMBER] * settings.members_per_step
    data_on_devices = jax.device_put(data, NamedSharding(mesh, P()))

    with contextlib.ExitStack() as stack:
        checkpoints = {m: MemberCheckpoints(epath.Path(folder) / m.name, warn) for m in members}
        for checkpoint in checkpoints.values():
            stack.callback(checkpoint.close)
        interrupted = stack.enter_context(deferred_interrupts())
        saved = {m: checkpoints[m].steps() for m in members}
        finished = [m for m in members if settings.num_steps in saved[m]]
        advanced(settings.num_steps * len(finished))

        unfinished = [m for m in members if m not in finished]
        for wanted_start, block in make_blocks(unfinished, saved, block_size):
            states, start = _restore_block(block, wanted_start, checkpoints, model, settings)
            places = [i % len(block) for i in range(block_size)]  # spare places repeat a member
            over_members = NamedSharding(mesh, P(MEMBER))
            state = stack_over_members([states[i] for i in places], over_members)
            del states
            inputs = jax.device_put(_stack_inputs([block[i] for i in places]), over_members)
            advanced(start * len(block))
            step = logged_step = start
            last_save = last_log = time.monotonic()
            losses: list[jax.Array] = []

            while step < settings.num_steps:
                count = min(per_call, settings.num_steps - step)
                advance = make_advance(mesh, model, process, settings, count)
                state, loss = advance(state, inputs, data_on_devices)
                if losses:  # one call ahead keeps the device busy; more would hide the time
                    losses[-1].block_until_ready()
                losses.append(loss)
                step += count
                advanced(count * len(block))
                now, stop = time.monotonic(), interrupted.is_set()
                finish = step == settings.num_steps
                save = finish or stop or now - last_save > settings.checkpoint_seconds

                if save or step // settings.log_every > logged_step // settings.log_every:
                    block_loss = np.concatenate([np.asarray(loss) for loss in losses], axis=1)[: len(block)]
                    _check_finite(block_loss, block, first_step=logged_step + 1)
                    speed = (step - logged_step) * len(block) / (time.monotonic() - last_log)
                    log(
                        {
                            "stage": "train",
                            "step": step,
                            "members": [m.name for m in block],
                            "loss": [round(float(x), 6) for x in block_loss.mean(axis=1)],
                            "model_steps_per_second": round(speed, 3),
                        }
                    )
                    logged_step, last_log, losses = step, now, []
                if save:
                    _save_block(block, state, step, checkpoints)
                    last_save = now
                if stop and not finish:
                    raise KeyboardInterrupt  # closing the checkpoints waits for the save


def load_ema(member: Member, model: Model, settings: TrainSettings, folder: epath.PathLike) -> PyTree:
    """The averaged parameters at the end of a member's training, as NumPy arrays.

    Raises:
      InputError: the member has not been trained to its last step.
    """
    checkpoint = MemberCheckpoints(epath.Path(folder) / member.name)
    restored = None
    if settings.num_steps in checkpoint.steps():
        like = model.init_fn(member.key(Purpose.INITIALIZE))
        restored = checkpoint.restore(settings.num_steps, like, None)
    checkpoint.close()
    if restored is None:
        raise InputError(
            f"member {member.name} has no whole checkpoint at step {settings.num_steps} in {folder}: "
            "run the training again with the same command, it continues."
        )
    return restored[0]


def steps_per_call(wanted: int, model: Model | None) -> int:
    """Steps in one compiled call; `wanted` = 0 chooses by model (None: no network) and device."""
    if wanted < 0:
        raise InputError(f"steps_per_call={wanted} must be positive, or 0 to choose.")
    if wanted:
        return wanted
    slow_inside_loops = model is not None and model.convolutional and jax.default_backend() == "cpu"
    return 1 if slow_inside_loops else 100


def make_blocks(
    members: Sequence[Member], saved: dict[Member, list[int]], block_size: int
) -> list[tuple[int, list[Member]]]:
    """Groups unfinished members into blocks that start from a common step: [(step, members), ...].

    Members advance in lockstep. After a kill in the middle of a save some hold a newer checkpoint than
    others: they go back to the oldest of the latest steps, which all still hold.
    """
    waiting = list(members)
    blocks = []
    while waiting:
        step = min(max(saved[m], default=0) for m in waiting)
        group = [m for m in waiting if (step in saved[m] if step else not saved[m])]
        waiting = [m for m in waiting if m not in group]
        blocks += [(step, group[i : i + block_size]) for i in range(0, len(group), block_size)]
    return sorted(blocks, key=lambda block: -block[0])


def _restore_block(
    block: list[Member],
    step: int,
    checkpoints: dict[Member, MemberCheckpoints],
    model: Model,
    settings: TrainSettings,
) -> tuple[list[TrainState], int]:
    """The block's states at `step`, or at the latest earlier step that every member can still read."""
    optimizer = make_optimizer(settings)
    held = set.intersection(*(set(checkpoints[m].steps()) for m in block))
    for candidate in sorted((s for s in held if s <= step), reverse=True):
        states = []
        for member in block:
            like = init_state(member, model, optimizer)
            rest = {"params": like.params, "opt_state": like.opt_state, "step": like.step}
            restored = checkpoints[member].restore(candidate, like.ema, rest)
            if restored is None:
                break
            ema, rest = restored
            states.append(TrainState(rest["params"], ema, rest["opt_state"], rest["step"]))
        if len(states) == len(block):
            return states, candidate
    return [init_state(member, model, optimizer) for member in block], 0


def _stack_inputs(members: Sequence[Member]) -> MemberInputs:
    keys = [
        jnp.stack([m.key(purpose) for m in members])
        for purpose in (Purpose.ORDER, Purpose.NOISE, Purpose.DROPOUT)
    ]
    return MemberInputs(
        jnp.asarray([m.num_train for m in members], jnp.int32),
        jnp.asarray([m.batch_size for m in members], jnp.int32),
        *keys,
    )


def _save_block(
    block: list[Member], state: TrainState, step: int, checkpoints: dict[Member, MemberCheckpoints]
) -> None:
    for member in block:  # the previous save has long finished, unless the disk is slower than training
        checkpoints[member].wait()
    host = jax.tree.map(lambda leaf: np.array(leaf), state)  # a copy: the device buffers are donated
    for place, member in enumerate(block):
        own: TrainState = jax.tree.map(lambda leaf, place=place: leaf[place], host)
        rest = {"params": own.params, "opt_state": own.opt_state, "step": np.asarray(own.step)}
        checkpoints[member].save(step, own.ema, rest)


def _check_finite(loss: np.ndarray, block: list[Member], first_step: int) -> None:
    if np.isfinite(loss).all():
        return
    place, offset = np.argwhere(~np.isfinite(loss))[0]
    raise TrainingDiverged(
        f"the loss of member {block[place].name} is {loss[place, offset]} at step {first_step + offset}: "
        "lower --config.train.learning_rate or look at the training data, then start in a new workdir "
        "(the last good checkpoint is kept)."
    )
