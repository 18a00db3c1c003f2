"""The models of one sweep: one member per (training-set size, seed, width).

Members never exchange anything, so the member is the unit of work, of checkpointing and of naming:
every file of a member carries its name, and every random number its identity.
"""

import dataclasses
import enum
import itertools
from collections.abc import Sequence

import jax
import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import SUBSET_SEED, permutation
from memgen_jax.errors import FIELD, InputError


class Purpose(enum.IntEnum):
    """What a random key is for; a part of the key's name, so that no two purposes share bits."""

    INITIALIZE = 0
    ORDER = 1
    NOISE = 2
    DROPOUT = 3
    SAMPLE = 4


@dataclasses.dataclass(frozen=True, order=True)
class Member:
    """One model: its training set is the first `num_train` items of an order of all items; see `order`.

    Attributes:
      num_train: K, the training-set size.
      seed: of the initialisation, the order of items, the noise and the samples.
      width: base width of the network; None stands for the exact score, which has no parameters.
      batch_size: items per step, at most K where small sets are not repeated within a batch.
      name: unique in the sweep; the stem of the member's files.
      step: the training step whose parameters are meant; None for the last.
      subset: the order that its training set is a prefix of; 0 for the sweep's own.
      key_width: the width in its random keys where that is not `width`: 0 for a network that was trained when the
        sweep had one width, which then had no part in them.
      half: 1 for the twin whose training set is the *next* `num_train` items of that order, and whose samples start
        from the same noise; everything else it draws is its own.
    """

    num_train: int
    seed: int
    width: int | None
    batch_size: int
    name: str
    step: int | None = None
    subset: int = 0
    key_width: int | None = None
    half: int = 0

    @property
    def nested(self) -> bool:
        """Whether its training set is a prefix of the sweep's order."""
        return not self.subset and not self.half

    def twin(self) -> "Member":
        """The same model of the next `num_train` items, which share none with this one's."""
        return dataclasses.replace(self, half=1, name=f"{self.name},half=2")

    def order(self, total: int) -> np.ndarray:
        """int64 [total]: places in the sweep's order, of which the first `num_train` are this member's training set."""
        order = permutation(total, (SUBSET_SEED, self.subset)) if self.subset else np.arange(total)
        return np.roll(order, -self.num_train) if self.half else order

    def items(self, total: int) -> np.ndarray:
        """int64 [num_train]: the places of its training items in the sweep's order."""
        return self.order(total)[: self.num_train]

    def at(self, step: int) -> "Member":
        """The same member as it was after `step` optimiser steps; its samples start from the same noise."""
        return dataclasses.replace(self, step=step, name=f"{self.name},step={step:07d}")

    def key(self, purpose: Purpose) -> jax.Array:
        """The key of everything this member draws for one purpose."""
        key = jax.random.key(self.seed)
        width = self.width if self.key_width is None else self.key_width
        for part in (int(purpose), self.num_train, width or 0):
            key = jax.random.fold_in(key, part)
        return jax.random.fold_in(key, self.half) if self.half and purpose != Purpose.SAMPLE else key


@takes_arrays
def make_members(
    num_train: Sequence[int],
    *,
    total: int,
    batch_size: int,
    seeds: Sequence[int] = (0,),
    widths: Sequence[int | None] = (None,),
    repeat_small: bool = False,
    prefix: str = "",
    own_subsets: bool = False,
) -> tuple[Member, ...]:
    """Every combination of training-set size, seed and width, smallest sets first.

    Args:
      num_train: the sizes K; duplicates count once.
      total: number of items that there are to train on.
      batch_size: of the largest sets. Smaller sets use min(batch_size, K) (Pham et al. 2025, App. D), or
        the full batch with `repeat_small`: the same items several times with fresh noise.
      prefix: put before every name.
      own_subsets: whether each seed draws its training sets from an order of its own (seed 0 from the sweep's);
        else all are prefixes of that one.
    Raises:
      InputError: a size outside 1..total, or nothing to train.

    >>> from memgen_jax import sweep
    >>> members = sweep.make_members((16, 64), total=100, batch_size=32, seeds=(0, 1))
    >>> [member.name for member in members]
    ['num_train=000016,seed=0', 'num_train=000016,seed=1', 'num_train=000064,seed=0', 'num_train=000064,seed=1']
    """
    sizes = sorted(set(num_train))
    if not sizes or not seeds or not widths:
        raise InputError(
            f"the sweep has no members: {FIELD[0]} and {FIELD[1]} each need one value.", "num_train", "seeds"
        )
    for size in sizes:
        if not 1 <= size <= total:
            allowed = f"in 1..{total}, the number of training items of this data set"
            raise InputError.setting("num_train", size, allowed)
    if batch_size < 1:
        raise InputError.setting("train.batch_size", batch_size, "at least 1")
    members = []
    for size, width, seed in itertools.product(sizes, dict.fromkeys(widths), sorted(set(seeds))):
        name = f"{prefix}num_train={size:06d}"
        if len(set(widths)) > 1:
            name += f",width={width:03d}"
        if len(set(seeds)) > 1:
            name += f",seed={seed}"
        batch = batch_size if repeat_small else min(batch_size, size)
        subset = seed if own_subsets else 0
        members.append(Member(size, seed, width, batch, name, subset=subset))
    return tuple(members)


@takes_arrays
def take_shard(members: Sequence[Member], index: int, count: int) -> tuple[Member, ...]:
    """The share of one process or of one array job: every `count`-th member, turning at the ends.

    The members are dealt out from the largest training set down as cards are, 0, 1, 2, 2, 1, 0, 0, …, so that
    no share has the largest of every round: synthetic sets grow with K.
    """
    if not 0 <= index < count:
        raise InputError.setting("shard", f"{index}/{count}", f"i/n with i in 0..{count - 1}")
    turns = (index, 2 * count - 1 - index)
    own = {place for place in range(len(members)) if place % (2 * count) in turns}
    return tuple(member for place, member in enumerate(reversed(members)) if place in own)[::-1]
