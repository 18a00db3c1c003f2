"""Trains the circle's networks, one per training-set size, as one vmapped ensemble.

Why not `sweep.train_members`: six small networks take thousands of steps a second together, so they live in
one array program rather than in blocks with checkpoints of their own, and the recipe that reaches the exact
landscape in minutes weighs the loss by time.
"""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Int

from memgen_jax import diffusion, models
from memgen_jax.errors import InputError
from memgen_jax.runs import SILENT, Progress, Workdir
from memgen_jax.training import TrainSettings, draw_training_time, make_optimizer, update_ema, weighted

PyTree = Any

STEPS_PER_CALL = 100  # where the settings leave it open


class TrainState(NamedTuple):
    """The ensemble in training; every leaf has a leading axis of members.

    Attributes:
      params: parameters of the networks.
      ema: their running average, from which everything is measured.
      opt_state: of Adam.
    """

    params: PyTree
    ema: PyTree
    opt_state: PyTree


def ensemble_mesh(num_members: int) -> Mesh:
    """As many devices as divide the members evenly, along one axis `member`."""
    devices = jax.local_devices()
    count = max(n for n in range(1, len(devices) + 1) if num_members % n == 0)
    return jax.make_mesh(
        (count,), ("member",), axis_types=(jax.sharding.AxisType.Auto,), devices=devices[:count]
    )


def over_members(function: Callable, num_members: int, shared: int = 0) -> Callable:
    """jit(vmap(function)) over the leading axis of every argument, the members spread over the devices.

    Each device runs its own members: a loop that ends by a condition waits for nobody on other devices.

    Args:
      shared: so many of the last arguments are the same for all members, as they are.
    """
    by_member = P("member")

    @jax.jit
    def all_members(*arguments):
        own = len(arguments) - shared
        return jax.shard_map(
            jax.vmap(function, (0,) * own + (None,) * shared),
            mesh=ensemble_mesh(num_members),
            in_specs=(by_member,) * own + (P(),) * shared,
            out_specs=by_member,
            check_vma=False,
        )(*arguments)

    return all_members


def member_keys(sizes: tuple[int, ...], seed: int) -> jax.Array:
    """One key per member, named by (seed, K)."""
    return jnp.stack([jax.random.fold_in(jax.random.key(seed), size) for size in sizes])


def sampling_keys(sizes: tuple[int, ...], seed: int) -> jax.Array:
    """One key per member for its generated points; no training step has this number."""
    beyond_every_step = 2**31 - 1
    return jax.vmap(jax.random.fold_in, (0, None))(member_keys(sizes, seed), beyond_every_step)


def draw_rows(key: jax.Array, num_train: Int[Array, ""], batch_size: int) -> Int[Array, " {batch_size}"]:
    """Rows of the training array for one step: a small set as often as it fits, else K at random."""
    place = jnp.arange(batch_size)
    return jnp.where(
        num_train <= batch_size, place % num_train, jax.random.randint(key, place.shape, 0, num_train)
    )


def make_train_step(
    model: models.Model, process: diffusion.Process, settings: TrainSettings
) -> tuple[Callable, Callable]:
    """For one member: init(key) -> state and step(key, state, number, num_train, train) -> (state, loss)."""
    optimizer = make_optimizer(settings)

    def init(key: jax.Array) -> TrainState:
        params = model.init_fn(key)
        return TrainState(params, jax.tree.map(jnp.copy, params), optimizer.init(params))

    def batch_loss(params, key, num_train, train):
        row_key, time_key, noise_key = jax.random.split(key, 3)
        size = settings.batch_size
        clean = train[draw_rows(row_key, num_train, size)]
        time_keys = jax.random.split(time_key, size)
        times = jax.vmap(lambda key: draw_training_time(key, process, settings))(time_keys)
        noise = jax.random.normal(noise_key, clean.shape)

        def loss(clean, noise, t):
            network = lambda x, t: model.apply_fn(params, x, t)  # noqa: E731
            at_t = diffusion.denoising_loss(network, process, settings.prediction, clean, noise, t)
            return weighted(at_t, t, settings)

        losses = jax.vmap(loss)(clean, noise, times)
        counts = (
            jnp.ones(size) if settings.repeat_small else (jnp.arange(size) < num_train).astype(jnp.float32)
        )
        return jnp.sum(losses * counts) / jnp.sum(counts)

    def step(key, state, number, num_train, train):
        value, gradient = jax.value_and_grad(batch_loss)(
            state.params, jax.random.fold_in(key, number), num_train, train
        )
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        ema = update_ema(
            state.ema, params, number.astype(jnp.float32), settings.ema_decay, settings.ema_warmup
        )
        return TrainState(params, ema, opt_state), value

    return init, step


def start_ensemble(
    sizes: tuple[int, ...],
    train: Float[np.ndarray, "num_train dim"],
    model: models.Model,
    process: diffusion.Process,
    settings: TrainSettings,
    seed: int = 0,
) -> tuple[TrainState, Callable]:
    """The untrained ensemble on its devices, and advance(state, first, count) -> (state, losses).

    Member m sees the first `sizes[m]` rows of `train`; `losses` is [count, member]. The state that is given
    to `advance` is used up.
    """
    init, step = make_train_step(model, process, settings)
    mesh = ensemble_mesh(len(sizes))
    by_member, everywhere = NamedSharding(mesh, P("member")), NamedSharding(mesh, P())
    keys = jax.device_put(member_keys(sizes, seed), by_member)
    num_train = jax.device_put(jnp.asarray(sizes, jnp.int32), by_member)
    rows = jax.device_put(jnp.asarray(train), everywhere)

    def some_steps(state, keys, num_train, rows, first, count):
        def body(state, number):
            return jax.vmap(step, (0, 0, None, 0, None))(keys, state, number, num_train, rows)

        return jax.lax.scan(body, state, first + jnp.arange(count))

    call = jax.jit(some_steps, static_argnames="count", donate_argnums=0)
    state = jax.device_put(jax.vmap(init)(keys), by_member)
    return state, lambda state, first, count: call(state, keys, num_train, rows, first, count=count)


def train_ensemble(
    sizes: tuple[int, ...],
    train: Float[np.ndarray, "num_train dim"],
    model: models.Model,
    process: diffusion.Process,
    settings: TrainSettings,
    *,
    seed: int = 0,
    workdir: Workdir | None = None,
    progress: Progress = SILENT,
) -> PyTree:
    """Trains one network per size and returns their averaged parameters, stacked along a member axis.

    Every random number is named by (seed, K, step), so a run continued from the workdir's `training.npz`
    ends with the same bits; on GPUs where kernels are chosen by rule (`--deterministic`).
    """
    state, advance = start_ensemble(sizes, train, model, process, settings, seed)
    done = 0
    saved = workdir.read_npz("training.npz", "step") if workdir else None
    if saved is not None:
        done = int(saved.pop("step"))
        leaves, tree = jax.tree.flatten(state)
        read = [saved[f"leaf_{i:03d}"] for i in range(len(leaves))]
        state = jax.tree.unflatten(tree, jax.device_put(read, [leaf.sharding for leaf in leaves]))
        progress.resume(done * len(sizes))

    last_save = time.monotonic()
    while done < settings.num_steps:
        count = min(settings.steps_per_call or STEPS_PER_CALL, settings.num_steps - done)
        state, losses = advance(state, done, count)
        losses = np.asarray(losses)
        if not np.isfinite(losses).all():
            member = int(np.argwhere(~np.isfinite(losses))[0, 1])
            raise InputError(
                f"the loss of K={sizes[member]} is not finite between steps {done} and {done + count}: "
                "lower --config.train.learning_rate and start in a new workdir."
            )
        done += count
        progress.advance(count * len(sizes))
        progress.log({"step": done, "loss": [round(float(x), 6) for x in losses.mean(axis=0)]})
        due = time.monotonic() - last_save > settings.checkpoint_seconds
        if workdir and (due or done == settings.num_steps):
            arrays = {f"leaf_{i:03d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
            workdir.write_npz("training.npz", step=np.asarray(done), **arrays)
            last_save = time.monotonic()
    return state.ema
