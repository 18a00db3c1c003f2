"""Trains all members of a sweep, a block of them at a time.

A block is as many members as the mesh has places, times `members_per_step` on each.
"""

import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Process
from memgen_jax.errors import InputError
from memgen_jax.models import Model
from memgen_jax.runs.checkpoints import MemberCheckpoints
from memgen_jax.runs.interrupts import deferred_interrupts
from memgen_jax.runs.progress import SILENT, Progress
from memgen_jax.sweep.blocks import (
    Watch,
    look_at,
    make_blocks,
    restore_block,
    save_block,
    save_snapshots,
    snapshot_steps,
    stack_inputs,
)
from memgen_jax.sweep.cost import model_cost, peak_flops
from memgen_jax.sweep.members import Member
from memgen_jax.sweep.mesh import MEMBER, stack_over_members
from memgen_jax.sweep.settings import SweepTrainSettings
from memgen_jax.sweep.step import make_advance, steps_per_call

PyTree = Any


class TrainingDiverged(InputError):
    """A loss stopped being finite."""


@takes_arrays
def train_members(
    members: Sequence[Member],
    data: np.ndarray,
    *,
    model: Model,
    process: Process,
    settings: SweepTrainSettings,
    mesh: Mesh,
    folder: epath.PathLike,
    progress: Progress = SILENT,
    start_from: Callable[[Member], PyTree] | None = None,
    watch: Watch | None = None,
) -> None:
    """Trains every member to its last step and leaves its checkpoint in `folder`/<member name>.

    The snapshots that `settings` asks for lie beside it, in `folder`/<member name>,snapshots.

    Args:
      data: training items in the sweep's order; a member sees those of its `items`.
      progress: told how many model-steps are done, and what is damaged; gets one record per `log_every` steps:
        the losses, and the speed since the record before.
      start_from: the parameters of a member before its first step; None draws them.
      watch: looks at the averaged parameters of every member at some steps, before a later checkpoint is begun.
    Raises:
      TrainingDiverged: a loss is not finite; names the member and the step. Good checkpoints stay.
      KeyboardInterrupt: after a signal, once the state has been saved.

    >>> import tempfile
    >>> from memgen_jax import diffusion, load, mlp, sweep, train_members
    >>> digits, model = load("digits").train[:40], mlp((8, 8, 1), width=16, num_blocks=1)
    >>> settings = sweep.SweepTrainSettings(num_steps=20, batch_size=8)
    >>> members = sweep.make_members((2, 8), total=len(digits), batch_size=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     train_members(members, digits, model=model, process=diffusion.DDPM(), settings=settings,
    ...                   mesh=sweep.member_mesh(), folder=folder)
    ...     params = sweep.load_ema(members[0], model, settings, folder)
    """
    if not members:
        return
    per_call = steps_per_call(settings.steps_per_call, model)
    snapshots = snapshot_steps(settings, per_call)
    block_size = mesh.shape[MEMBER] * settings.members_per_step
    speed_of = _speedometer(data, model, process, settings, mesh)
    data_on_devices = jax.device_put(data, NamedSharding(mesh, P()))

    with contextlib.ExitStack() as stack:
        checkpoints = {m: MemberCheckpoints(epath.Path(folder) / m.name, progress.note) for m in members}
        for checkpoint in checkpoints.values():
            stack.callback(checkpoint.close)
        interrupted = stack.enter_context(deferred_interrupts())
        saved = {m: checkpoints[m].steps() for m in members}
        finished = [m for m in members if settings.num_steps in saved[m]]
        progress.resume(settings.num_steps * len(finished))

        unfinished = [m for m in members if m not in finished]
        for wanted_start, block in make_blocks(unfinished, saved, block_size):
            states, start = restore_block(block, wanted_start, checkpoints, model, settings, start_from)
            places = [i % len(block) for i in range(block_size)]  # spare places repeat a member
            over_members = NamedSharding(mesh, P(MEMBER))
            states = [states[i] for i in places]
            state = stack_over_members(states, over_members, consume=True)
            inputs = jax.device_put(stack_inputs([block[i] for i in places], len(data)), over_members)
            progress.resume(start * len(block))
            if start in snapshots:  # where an earlier training ended, when it was to go no further
                save_snapshots(block, state, start, folder)
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
                progress.advance(count * len(block))
                now, stop = time.monotonic(), interrupted.is_set()
                finish = step == settings.num_steps
                save = finish or stop or now - last_save > settings.checkpoint_seconds

                if save or step // settings.log_every > logged_step // settings.log_every:
                    block_loss = np.concatenate([np.asarray(loss) for loss in losses], axis=1)[: len(block)]
                    _check_finite(block_loss, block, first_step=logged_step + 1)
                    progress.log(
                        {
                            "stage": "train",
                            "step": step,
                            "members": [m.name for m in block],
                            "loss": [round(float(x), 6) for x in block_loss.mean(axis=1)],
                            "busy_share": round(len(block) / block_size, 4),
                        }
                        | speed_of(block, (step - logged_step) / (time.monotonic() - last_log))
                    )
                    logged_step, last_log, losses = step, now, []
                if step in snapshots and not finish:
                    save_snapshots(block, state, step, folder)
                if watch is not None and step in watch.steps and not finish:
                    look_at(block, state, step, watch)
                if save:
                    save_block(block, state, step, checkpoints)
                    last_save = now
                if stop and not finish:
                    raise KeyboardInterrupt  # closing the checkpoints waits for the save


def _speedometer(
    data: np.ndarray, model: Model, process: Process, settings: SweepTrainSettings, mesh: Mesh
) -> Callable[[list[Member], float], dict[str, float]]:
    """(block, steps a second) -> what metrics.jsonl says of the speed.

    The share of peak counts the operations of whole batches, which a small K computes too, against the
    devices' bfloat16 peak; it is left out where the kind of device is not known.
    """
    peak = peak_flops(mesh.devices.ravel().tolist())
    flops = None
    if peak:
        cost = model_cost(model, process, settings, data.shape[1:], is_image=data.dtype == np.uint8)
        flops = settings.data_parallel * cost.train_flops

    def speed(block: list[Member], steps_per_second: float) -> dict[str, float]:
        record = {
            "model_steps_per_second": round(steps_per_second * len(block), 3),
            "images_per_second": round(steps_per_second * sum(m.batch_size for m in block), 1),
        }
        if peak and flops:
            record["share_of_peak"] = round(steps_per_second * len(block) * flops / peak, 4)
        return record

    return speed


def _check_finite(loss: np.ndarray, block: list[Member], first_step: int) -> None:
    if np.isfinite(loss).all():
        return
    place, offset = np.argwhere(~np.isfinite(loss))[0]
    raise TrainingDiverged(
        f"the loss of member {block[place].name} is {loss[place, offset]} at step {first_step + offset}: "
        "lower train.learning_rate or look at the training data, then start in a new workdir "
        "(the last good checkpoint is kept)."
    )
