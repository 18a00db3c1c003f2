"""Items that two sets have in common: told before anything is compared, for they decide what a threshold means."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from memgen_jax import neighbors
from memgen_jax.data import Items, room
from memgen_jax.mapped import let_go

SIDE = 8  # pictures are looked for by their means over a grid of that many fields a side
TRIED = 4  # as many nearest are held against each item in full
LEVELS = 8.0  # root mean square difference, of 255, up to which two pictures may be one saved twice
LEAST = 1.0  # up to which, of 255, they may be so however flat they are
CONTRAST = 0.1  # and that difference as a share of the item's own spread
PAIRS = (("holdout", "train"), ("samples", "train"), ("samples", "holdout"))


@dataclasses.dataclass(frozen=True)
class Shared:
    """How many items of one set are in another.

    Attributes:
      identical: number for number.
      near: not identical, but as near as the same picture saved anew; None where it is not looked for.
      total: items of the first set.
    """

    first: str
    second: str
    identical: int
    near: int | None
    total: int

    def sentence(self, rate: float) -> str:
        """In words, with a warning where held-out items are concerned and their share comes near the rate."""
        called = {"holdout": "held-out items", "samples": "samples", "train": "training items"}
        place = {"train": "the training set", "holdout": "the held-out set"}[self.second]
        count = self.identical + (self.near or 0)
        share = f"{float(f'{100 * count / self.total:.2g}'):g}%"  # two digits, and 100 as such
        how = (
            ", identical"
            if not self.near
            else f", {self.identical:,} of them identical and the others nearly so"
        )
        if self.near and not self.identical:
            how = ", nearly identical"
        lead = f"{count:,} of {self.total:,} {called[self.first]} ({share}) are in {place}{how}"
        if (self.first, self.second) == ("samples", "train"):
            return f"{lead}."
        if self.first == "samples":
            return f"Warning: {lead}: is the held-out set unseen, and are the samples generated?"
        left = "; the identical ones are left out of the calibration" if self.identical else ""
        far = self.near is not None and count / self.total >= rate / 2
        warned = (
            " So many say that the two sets were not kept apart: a threshold calibrated on them may be too small, and "
            "copies pass for new."
            if far
            else ""
        )
        return f"Warning: {lead}{left}.{warned}"


def find(sets: Mapping[str, Items]) -> tuple[list[Shared], Bool[np.ndarray, " holdout"] | None]:
    """What the sets share, and which held-out items are in the training set, identical; None without a holdout.

    Near ones are looked for among held-out items only: which samples are near training items is the audit's answer.

    Args:
      sets: "train", "samples" and perhaps "holdout", of one shape.
    """
    prints = {name: _fingerprints(items.values) for name, items in sets.items()}
    inside = None
    found = []
    for first, second in PAIRS:
        if first not in sets or second not in sets:
            continue
        identical = np.isin(prints[first], prints[second])
        near = None
        if "holdout" in (first, second):
            near = int((_near(sets[first].values, sets[second].values) & ~identical).sum())
        if (first, second) == ("holdout", "train"):
            inside = identical
        if identical.any() or near:
            found.append(Shared(first, second, int(identical.sum()), near, len(identical)))
    return found, inside


def identical_in(
    train: Shaped[np.ndarray, "train ..."], held_out: Shaped[np.ndarray, "item ..."]
) -> Bool[np.ndarray, " item"]:
    """Which held-out items are in the training set, number for number."""
    return np.isin(_fingerprints(held_out), _fingerprints(train))


def _fingerprints(values: Shaped[np.ndarray, "item ..."]) -> Int[np.ndarray, " item"]:
    """Eight bytes an item, equal for equal items; one pair in 10^19 of others agrees by chance."""
    digests = []
    for rows in room.blocks(len(values), values[:1].nbytes):
        for item in values[rows]:
            digests.append(hashlib.blake2b(np.ascontiguousarray(item).tobytes(), digest_size=8).digest())
        let_go(values)
    return np.frombuffer(b"".join(digests), np.int64)


def _near(
    first: Shaped[np.ndarray, "item ..."], second: Shaped[np.ndarray, "other ..."]
) -> Bool[np.ndarray, " item"]:
    """Which items have one in the other set that may be the same picture saved anew.

    A mean over fields brings two pictures no farther apart, so the nearest by means are the candidates.
    """
    means = [_field_means(values) for values in (first, second)]
    candidates: Int[np.ndarray, "item tried"] = neighbors.search(*means, k=min(TRIED, len(second))).index
    near = np.zeros(len(first), bool)
    for i, others in enumerate(candidates):
        item = np.asarray(first[i], np.float32)
        spread = float(item.std())
        limit = CONTRAST * spread if first.ndim == 2 else min(LEVELS, max(LEAST, CONTRAST * spread))
        differences = np.asarray(second[np.sort(others)], np.float32) - item
        near[i] = np.sqrt((differences**2).mean(axis=tuple(range(1, second.ndim)))).min() <= limit
        if i % 16 == 15:
            let_go(first)
            let_go(second)
    return near


def _field_means(values: Shaped[np.ndarray, "item ..."]) -> Float[np.ndarray, "item field"]:
    """Means of pictures over a grid, all channels together; vectors as they are."""
    if values.ndim == 2:
        return np.asarray(values, np.float32)
    _, height, width, _ = values.shape
    rows, columns = (np.unique(np.linspace(0, n, min(SIDE, n) + 1).astype(int)) for n in (height, width))
    area = np.diff(rows)[:, None] * np.diff(columns)
    means = np.empty((len(values), area.size), np.float32)
    step = max(1, 2**24 // values[:1].size)
    for start in range(0, len(values), step):
        grey = values[start : start + step].mean(axis=-1, dtype=np.float32)
        sums = np.add.reduceat(np.add.reduceat(grey, rows[:-1], axis=1), columns[:-1], axis=2)
        means[start : start + step] = (sums / area).reshape(len(grey), -1)
        let_go(values)
    return means
