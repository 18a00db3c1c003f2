"""All distances that an audit's answer rests on."""

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from memgen_jax import metrics
from memgen_jax.audit import budget
from memgen_jax.audit.encoding import vectors_of_set
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.data import SUBSET_SEED, Items, permutation, room
from memgen_jax.neighbors import Neighbors

USUAL_DRAWS = 16  # of real sets as large as the samples
FEWEST_DRAWN = 800  # items of all such sets together: of small ones so many are drawn
MOST_DRAWN = 4096  # items, after which no further sets are drawn


@dataclasses.dataclass(frozen=True)
class Distances:
    """All distances that the answer rests on, in the metric's own scale.

    Attributes:
      train: [sample, near] to the nearest training items, nearest first, and `train_index` which they are.
      synthetic: [sample] to the nearest other sample, and `synthetic_index` which it is.
      synthetic_second: [sample] to the second nearest other sample, infinite where there is none; None in files of
        before.
      train_own: [train] from every training item to its nearest other one; None where that was not asked for.
      unseen: [held-out] to the nearest training item; None without a holdout.
      equal: [sample, 2] to the nearest of as many training items as held-out ones, and to the nearest of these; None
        without a holdout.
      real: [real, draw] distances from real items to their nearest other, in sets as large as the samples, or in all
        real items where these are fewer. The sets are drawn from training and held-out items, several where they are
        small; None without a holdout.
    """

    train: Float[np.ndarray, "sample near"]
    train_index: Int[np.ndarray, "sample near"]
    synthetic: Float[np.ndarray, " sample"]
    synthetic_index: Int[np.ndarray, " sample"]
    train_own: Float[np.ndarray, " train"] | None
    unseen: Float[np.ndarray, " unseen"] | None
    real: Float[np.ndarray, "real draw"] | None
    equal: Float[np.ndarray, "sample 2"] | None = None
    synthetic_second: Float[np.ndarray, " sample"] | None = None

    def of_samples(self) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """See `phases.Evidence`."""
        return self.train[:, 0], self.synthetic

    def of_real(self) -> tuple[Float[np.ndarray, " unseen"], Float[np.ndarray, "real draw"]]:
        """See `phases.Evidence`; there with a holdout only."""
        assert self.unseen is not None and self.real is not None
        return self.unseen, self.real


class Side(NamedTuple):
    """One of the sets that are compared: its items as read, and as vectors."""

    items: Shaped[np.ndarray, "item ..."]
    rows: Shaped[np.ndarray, "item dim"]

    def part(self, chosen: Int[np.ndarray, " part"], memory: int | None = None) -> "Side":
        """Some of the items; above `memory` bytes they lie in a file."""
        items = room.taken(self.items, chosen, memory)
        if self.is_flat:
            return Side(items, flat(items))
        return Side(items, room.taken(self.rows, chosen, memory))

    def with_part_of(
        self, other: "Side", chosen: Int[np.ndarray, " part"], memory: int | None = None
    ) -> "Side":
        """Some of the items of both, counted through, in their order."""
        first, second = chosen[chosen < len(self.rows)], chosen[chosen >= len(self.rows)] - len(self.rows)
        both = self.part(first, memory), other.part(second, memory)
        items = room.copied([side.items for side in both], memory)
        if self.is_flat:
            return Side(items, flat(items))
        return Side(items, room.copied([side.rows for side in both], memory))

    @property
    def is_flat(self) -> bool:
        """Whether the vectors are the items themselves, in a row."""
        return np.may_share_memory(self.items, self.rows)


def flat(items: Shaped[np.ndarray, "item ..."]) -> Shaped[np.ndarray, "item dim"]:
    """Each item in a row, however many there are: none too."""
    return items.reshape(len(items), math.prod(items.shape[1:]))


def side_of(settings: AuditSettings, metric: metrics.Metric, items: Items, called: str) -> Side:
    """A set with its vectors.

    Args:
      called: by the bar on the terminal.
    """
    return Side(items.values, vectors_of_set(metric, settings.encoder, items.values, f"embed {called}"))


def num_draws(size: int, count: int) -> int:
    """How many sets of a size are drawn from so many real items; one where it is all of them."""
    if size >= count:
        return 1
    return max(1, min(max(USUAL_DRAWS, math.ceil(FEWEST_DRAWN / size)), MOST_DRAWN // size))


def _real_sets(train: Side, holdout: Side, size: int) -> Iterator[Int[np.ndarray, " part"]]:
    """Items of several sets drawn from both, counted through; one where it is all of them."""
    count = len(train.rows) + len(holdout.rows)
    for draw in range(num_draws(size, count)):
        yield np.sort(permutation(count, (SUBSET_SEED, draw))[:size])


def compare(
    settings: AuditSettings,
    metric: metrics.Metric,
    train: Side,
    samples: Side,
    holdout: Items | Side | None,
    part: tuple[int, int] = (0, 1),
    before: Distances | None = None,
) -> Distances:
    """All nearest neighbours that the answer needs, over the versions that `settings.up_to` asks for.

    Args:
      holdout: as read, or as vectors too.
      part: (i, n): only those of the i-th of n shares of the samples, and of the other items that are searched for.
      before: of other samples against the same training and held-out set: what depends on these alone is taken from it.
    """
    near_wanted = min(max(settings.top, 1 + (settings.ratio is not None)), len(train.rows))
    allowed = budget.of(settings.memory)

    def search(
        queries: Side, references: Side, k: int = 1, exclude_self: bool = False, progress: str = ""
    ) -> Neighbors:
        rows = share(len(queries.rows), part)
        if rows.start == rows.stop:
            return Neighbors(np.empty((0, k), np.float32), np.empty((0, k), np.int32))
        exclude = np.arange(rows.start, rows.stop) if exclude_self else None
        return metrics.least_search(
            metric, settings.orbit, queries.rows[rows], references.items, references.rows,
            k=k, exclude=exclude, memory=allowed.tiles, progress=progress,
        )  # fmt: skip

    near = search(samples, train, k=near_wanted, progress="samples in training set")
    others = min(2, len(samples.rows) - 1)
    other = search(samples, samples, k=others, exclude_self=True, progress="samples among themselves")
    own = unseen = real = equal = None
    if before is not None:
        own = before.train_own
    elif not settings.skip_duplicates_check:
        own = search(train, train, exclude_self=True, progress="training set in itself").distance[:, 0]
    if holdout is not None:
        queries = holdout if isinstance(holdout, Side) else side_of(settings, metric, holdout, "holdout")
        if before is not None:
            unseen = before.unseen
        else:
            unseen = search(queries, train, progress="holdout in training set").distance[:, 0]
        few = min(len(train.rows), len(queries.rows))
        sets = [
            side.part(np.sort(permutation(len(side.rows))[:few]), allowed.items) for side in (train, queries)
        ]
        nearest = [search(samples, side, progress="samples, two sets of one size") for side in sets]
        equal = np.concatenate([found.distance for found in nearest], axis=1)
        # Nearest distances shrink as a set grows: sets of like size. Both of a pair have one distance, and of a small
        # set the nearest pair alone would decide: many sets.
        size = min(len(samples.rows), len(train.rows) + len(queries.rows))
        if before is not None and before.real is not None and len(before.real) == size:
            real = before.real
        else:
            drawn = _real_sets(train, queries, size)
            mixed = (train.with_part_of(queries, chosen, allowed.items) for chosen in drawn)
            nearest = [search(some, some, exclude_self=True, progress="real items") for some in mixed]
            real = np.concatenate([found.distance for found in nearest], axis=1)
    return Distances(
        train=near.distance,
        train_index=near.index,
        synthetic=other.distance[:, 0],
        synthetic_index=other.index[:, 0],
        train_own=own,
        unseen=unseen,
        real=real,
        equal=equal,
        synthetic_second=other.distance[:, 1]
        if others > 1
        else np.full(len(other.distance), np.inf, np.float32),
    )


def share(count: int, part: tuple[int, int]) -> slice:
    """The i-th of n shares of so many rows, as alike as can be."""
    index, number = part
    return slice(index * count // number, (index + 1) * count // number)
