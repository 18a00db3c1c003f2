"""All distances that an audit's answer rests on."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int, Shaped

from memgen_jax import metrics
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.data import Items, permutation


@dataclasses.dataclass(frozen=True)
class Distances:
    """All distances that the answer rests on, in the metric's own scale.

    Attributes:
      train: [sample, 1 or 2] to the nearest training items, and `train_index` which they are.
      synthetic: [sample] to the nearest other sample, and `synthetic_index`.
      train_own: [train] from every training item to its nearest other one.
      unseen: [held-out] to the nearest training item; None without a holdout.
      equal: [sample, 2] to the nearest of as many training items as held-out ones, and to the nearest of these; None
        without a holdout.
      real: distances from real items to their nearest other, in a set as large as the samples.
    """

    train: Float[np.ndarray, "sample near"]
    train_index: Int[np.ndarray, "sample near"]
    synthetic: Float[np.ndarray, " sample"]
    synthetic_index: Int[np.ndarray, " sample"]
    train_own: Float[np.ndarray, " train"]
    unseen: Float[np.ndarray, " unseen"] | None
    real: Float[np.ndarray, " real"] | None
    equal: Float[np.ndarray, "sample 2"] | None = None

    def of_samples(self) -> tuple[Float[np.ndarray, " sample"], Float[np.ndarray, " sample"]]:
        """See `phases.Evidence`."""
        return self.train[:, 0], self.synthetic

    def of_real(self) -> tuple[Float[np.ndarray, " unseen"], Float[np.ndarray, " real"]]:
        """See `phases.Evidence`; there with a holdout only."""
        assert self.unseen is not None and self.real is not None
        return self.unseen, self.real


def compare(
    settings: AuditSettings,
    metric: metrics.Metric,
    train: Shaped[np.ndarray, "train dim"],
    samples: Shaped[np.ndarray, "sample dim"],
    holdout: Items | None,
) -> Distances:
    """All nearest neighbours that the answer needs."""
    second = settings.ratio is not None
    near = metric.search(samples, train, k=1 + second, progress="samples in training set")
    other = metric.search(samples, samples, exclude_self=True, progress="samples among themselves")
    own = metric.search(train, train, exclude_self=True, progress="training set in itself").distance[:, 0]
    unseen = real = equal = None
    if holdout is not None:
        queries = metric.vectors(holdout.values, "embed holdout")
        unseen = metric.search(queries, train, progress="holdout in training set").distance[:, 0]
        few = min(len(train), len(queries))
        sets = [part[np.sort(permutation(len(part))[:few])] for part in (train, queries)]
        nearest = [metric.search(samples, part, progress="samples, two sets of one size") for part in sets]
        equal = np.concatenate([found.distance for found in nearest], axis=1)
        real = own
        if len(samples) < len(train):  # nearest distances shrink as a set grows: take one of like size
            part = train[np.sort(permutation(len(train))[: len(samples)])]
            real = metric.search(part, part, exclude_self=True, progress="real items").distance[:, 0]
    return Distances(
        train=near.distance,
        train_index=near.index,
        synthetic=other.distance[:, 0],
        synthetic_index=other.index[:, 0],
        train_own=own,
        unseen=unseen,
        real=real,
        equal=equal,
    )
