"""Blocks: the members that train together, where they start, and how they are kept and found again."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.models import Model
from memgen_jax.runs.checkpoints import MemberCheckpoints
from memgen_jax.sweep.members import Member, Purpose
from memgen_jax.sweep.settings import SweepTrainSettings
from memgen_jax.sweep.step import MemberInputs, TrainState, init_state, make_optimizer

PyTree = Any


class DamagedCheckpoint(InputError):
    """A checkpoint that is on disk and cannot be read.

    Attributes:
      folder: the checkpoint's.
    """

    def __init__(self, folder: epath.Path):
        super().__init__(
            f"the checkpoint {folder} is damaged: run the training again with the same command, it continues "
            "from the last good one."
        )
        self.folder = folder


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


def stack_inputs(members: Sequence[Member], total: int) -> MemberInputs:
    """What tells the members of a block apart, stacked; `total` is the number of items that there are."""
    keys = [
        jnp.stack([m.key(purpose) for m in members])
        for purpose in (Purpose.ORDER, Purpose.NOISE, Purpose.DROPOUT)
    ]
    return MemberInputs(
        jnp.asarray([m.num_train for m in members], jnp.int32),
        jnp.asarray([m.batch_size for m in members], jnp.int32),
        jnp.asarray(np.stack([m.order(total) for m in members]), jnp.int32),
        *keys,
    )


def restore_block(
    block: list[Member],
    step: int,
    checkpoints: dict[Member, MemberCheckpoints],
    model: Model,
    settings: SweepTrainSettings,
    start_from: Callable[[Member], PyTree] | None = None,
) -> tuple[list[TrainState], int]:
    """The block's states at `step`, or at the latest earlier step that every member can still read.

    At step 0 their parameters are drawn, or those that `start_from` gives.
    They are read into host memory, one copy each; nothing is drawn to learn their shapes.
    """
    optimizer = make_optimizer(settings)
    held = set.intersection(*(set(checkpoints[m].steps()) for m in block))
    for candidate in sorted((s for s in held if s <= step), reverse=True):
        states = []
        for member in block:
            like = jax.eval_shape(lambda member=member: init_state(member, model, optimizer))
            rest = {"params": like.params, "opt_state": like.opt_state, "step": like.step}
            restored = checkpoints[member].restore(candidate, ema=like.ema, rest=rest)
            if restored is None:
                break
            rest = restored["rest"]
            states.append(TrainState(rest["params"], restored["ema"], rest["opt_state"], rest["step"]))
        if len(states) == len(block):
            return states, candidate
    return [init_state(member, model, optimizer, start_from) for member in block], 0


def save_block(
    block: list[Member], state: TrainState, step: int, checkpoints: dict[Member, MemberCheckpoints]
) -> None:
    """Starts to write the states of a block's members."""
    for member in block:  # the previous save has long finished, unless the disk is slower than training
        checkpoints[member].wait()
    host = _to_host(state)
    for place, member in enumerate(block):
        own: TrainState = _slice(host, place)
        rest = {"params": own.params, "opt_state": own.opt_state, "step": np.asarray(own.step)}
        checkpoints[member].save(step, ema=own.ema, rest=rest)


@takes_arrays
def snapshot_steps(settings: SweepTrainSettings, per_call: int) -> tuple[int, ...]:
    """The steps of `settings.num_snapshots`, see `halved_steps`."""
    return halved_steps(settings.num_steps, settings.num_snapshots, per_call)


@takes_arrays
def halved_steps(num_steps: int, count: int, per_call: int) -> tuple[int, ...]:
    """num_steps, half of it, a quarter, …, `count` of them, earliest first.

    Each is brought up to a whole number of calls, so that taking it changes no compiled program.
    """
    wanted = (num_steps / 2**i for i in range(count))
    return tuple(sorted({min(num_steps, -int(-step // per_call) * per_call) for step in wanted}))


class Watch(NamedTuple):
    """What looks at networks while they train.

    Attributes:
      steps: at which it looks, whole numbers of calls; not at the last.
      look: (member, step, its averaged parameters as NumPy arrays) -> None; again, with the same, after a restart.
    """

    steps: tuple[int, ...]
    look: Callable[[Member, int, PyTree], None]


def look_at(block: list[Member], state: TrainState, step: int, watch: Watch) -> None:
    """Shows the averaged parameters of a block's members to `watch`."""
    host = _to_host(state.ema)
    for place, member in enumerate(block):
        watch.look(member, step, _slice(host, place))


def save_snapshots(block: list[Member], state: TrainState, step: int, folder: epath.PathLike) -> None:
    """Keeps the averaged parameters of a block's members; returns when they are on disk.

    They are whole before any later checkpoint begins, so a restart never has to go back for them.
    """
    host = _to_host(state.ema)
    for place, member in enumerate(block):
        snapshots = _snapshots(member, folder)
        if step not in snapshots.steps():
            snapshots.save(step, ema=_slice(host, place))
        snapshots.close()


@takes_arrays
def load_ema(member: Member, model: Model, settings: SweepTrainSettings, folder: epath.PathLike) -> PyTree:
    """The averaged parameters at the end of a member's training, or at its `step`, as NumPy arrays.

    Raises:
      DamagedCheckpoint: that of the last step cannot be read.
      InputError: the member has not been trained so far, or the step was not kept.
    """
    last = member.step is None or member.step == settings.num_steps
    step = settings.num_steps if member.step is None else member.step
    name = member.name.removesuffix(f",step={step:07d}")
    checkpoint = MemberCheckpoints(epath.Path(folder) / name) if last else _snapshots(member, folder)
    restored = None
    on_disk = step in checkpoint.steps()
    if on_disk:
        like = jax.eval_shape(lambda: model.init_fn(member.key(Purpose.INITIALIZE)))
        restored = checkpoint.restore(step, ema=like)
    checkpoint.close()
    if restored is None:
        if on_disk and last:
            raise DamagedCheckpoint(epath.Path(folder) / name / str(step))
        raise InputError(
            f"member {name} has no whole checkpoint at step {step} in {folder}: run the training again with "
            "the same command, it continues (after removing that member's folders where a file is damaged)."
        )
    return restored["ema"]


@takes_arrays
def set_aside(damaged: DamagedCheckpoint) -> epath.Path:
    """Moves a damaged checkpoint out of its member's folder, so that training continues from the one before.

    Returns where it lies now: beside the folder, for whoever can still read it.
    """
    member, step = damaged.folder.parent, damaged.folder.name
    place = member.parent / f"{member.name},damaged,step={int(step):07d}"
    if place.exists():
        place.rmtree()
    return damaged.folder.rename(place)


def _snapshots(member: Member, folder: epath.PathLike) -> MemberCheckpoints:
    name = member.name if member.step is None else member.name.removesuffix(f",step={member.step:07d}")
    return MemberCheckpoints(epath.Path(folder) / f"{name},snapshots", keep=None)


def _to_host(tree: PyTree) -> PyTree:
    return jax.tree.map(np.array, tree)  # a copy: the device buffers are donated to the next step


def _slice(tree: PyTree, place: int) -> PyTree:
    return jax.tree.map(lambda leaf: leaf[place], tree)
