"""Numbers that others report for a whole set of samples: AuthPct and C_T, in one cell or in several."""

import math

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.stats import rankdata

from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.errors import InputError


@takes_arrays
def auth_pct(
    train_distance: Float[np.ndarray, " sample"],
    train_index: Int[np.ndarray, " sample"],
    train_own_distance: Float[np.ndarray, " train"],
) -> float:
    """Percent of samples farther from their nearest training item than that item from its own nearest.

    AuthPct, 0..100 (Alaa et al. 2022; Stein et al. 2023): it needs no threshold, and is near 0 for
    copies. It grows for any sample that is far off the data, good or bad.

    Args:
      train_distance: distance to the nearest training item.
      train_index: which one it is.
      train_own_distance: from every training item to its nearest *other* one.

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> own = np.array([1.0, 2.0])  # of two training items to each other's nearest
    >>> statistics.auth_pct(np.array([0.1, 3.0]), np.array([0, 1]), own)
    50.0
    """
    require_distances(infinite=True, train_distance=train_distance, train_own_distance=train_own_distance)
    _require_one_each(train_distance=train_distance, train_index=train_index)
    if not 0 <= train_index.min() <= train_index.max() < len(train_own_distance):
        raise InputError(
            f"train_index holds {train_index.min()} to {train_index.max()}, and there are {len(train_own_distance)} "
            "training items: give the place of each sample's nearest among them"
        )
    return 100 * float((train_distance > train_own_distance[train_index]).mean())


@takes_arrays
def nearer_to_train(
    train_distance: Float[np.ndarray, " sample"], unseen_distance: Float[np.ndarray, " sample"]
) -> float:
    """The share of samples that lie nearer to the training set than to unseen items; ties count half.

    The "distance to closest record" of synthetic tables (Platzer & Reutterer 2021). One half is expected of a model
    that has not copied, where both sets are of one size.

    Args:
      train_distance, unseen_distance: from each sample to the nearest item of either set.

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> statistics.nearer_to_train(np.array([0.1, 2.0, 1.0]), np.array([1.0, 1.0, 1.0]))
    0.5
    """
    require_distances(infinite=True, train_distance=train_distance, unseen_distance=unseen_distance)
    _require_one_each(train_distance=train_distance, unseen_distance=unseen_distance)
    nearer, tied = train_distance < unseen_distance, train_distance == unseen_distance
    return float((nearer + 0.5 * tied).mean())


@takes_arrays
def data_copying(
    unseen_distance: Float[np.ndarray, " unseen"],
    train_distance: Float[np.ndarray, " sample"],
) -> float:
    """The data-copying statistic C_T with one cell: below about -3, samples are too near to S.

    The z-score of the Mann-Whitney test between the distances to the training set of samples and of
    unseen real items (Meehan, Chaudhuri & Dasgupta 2020, section 3.1, here without a partition of
    space): 0 where both are alike, negative for copying, positive for samples far off the data.

    Args:
      unseen_distance: from held-out real items to their nearest training item.
      train_distance: from samples to theirs.

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> unseen = np.linspace(1, 2, 100)
    >>> statistics.data_copying(unseen, unseen)
    0.0
    >>> statistics.data_copying(unseen, unseen - 1) < -3  # nearer to the training set than unseen items are
    True
    """
    for name, distance in (("unseen_distance", unseen_distance), ("train_distance", train_distance)):
        if np.isnan(distance).any():
            raise InputError(
                f"{name} holds NaN at place {np.argmax(np.isnan(distance))}: remove it, it has no rank"
            )
    unseen, samples = len(unseen_distance), len(train_distance)
    if min(unseen, samples) < 2:
        raise InputError(f"C_T needs two items of each kind, got {unseen} unseen, {samples} samples")
    ranks = rankdata(np.concatenate([train_distance, unseen_distance]))
    above = ranks[:samples].sum() - samples * (samples + 1) / 2
    spread = math.sqrt(unseen * samples * (unseen + samples + 1) / 12)
    return float((above - unseen * samples / 2) / spread)


def _require_one_each(*, fewest: int = 1, **arrays: np.ndarray) -> None:
    """Refuses two arrays that have fewer entries than that, or not one for each sample."""
    (first, ours), (second, theirs) = arrays.items()
    if len(ours) < fewest or len(ours) != len(theirs):
        raise InputError(
            f"{first} has {len(ours)} entries and {second} {len(theirs)}: give one of each for every sample"
        )


@takes_arrays
def lowest_cell(
    unseen_distance: Float[np.ndarray, " unseen"],
    train_distance: Float[np.ndarray, " sample"],
    unseen_cell: Int[np.ndarray, " unseen"],
    sample_cell: Int[np.ndarray, " sample"],
    fewest: int = 20,
) -> float | None:
    """The lowest C_T of all cells of space that hold enough: a mode that is copied shows, whatever the others do.

    Of one cell C_T is `data_copying`. The lowest of many lies below 0 by chance: of twenty cells without copying
    near -1.9.

    Args:
      unseen_cell, sample_cell: which cell each item lies in.
      fewest: items of each kind that a cell must hold to count.
    Returns:
      None where no cell holds enough.
    """
    _require_one_each(fewest=0, unseen_distance=unseen_distance, unseen_cell=unseen_cell)
    _require_one_each(fewest=0, train_distance=train_distance, sample_cell=sample_cell)
    found = []
    for cell in np.unique(sample_cell):
        unseen, own = unseen_distance[unseen_cell == cell], train_distance[sample_cell == cell]
        if min(len(unseen), len(own)) >= fewest:
            found.append(data_copying(unseen, own))
    return min(found, default=None)


class Cells:
    """Cells of space around the means of the training items, by k-means (Meehan et al. 2020, section 3.2).

    Args:
      train: training items as vectors.
      num_cells: k; cut to a tenth of the training items.
      seed: of k-means.
    """

    @takes_arrays
    def __init__(self, train: Shaped[np.ndarray, "train dim"], num_cells: int = 10, seed: int = 0):
        from sklearn.cluster import KMeans  # seconds to import, so only where it is used

        count = max(1, min(num_cells, len(train) // 10))
        self._fitted = KMeans(count, n_init=4, random_state=seed).fit(np.asarray(train, np.float64))

    @takes_arrays
    def of(self, items: Shaped[np.ndarray, "item dim"]) -> Int[np.ndarray, " item"]:
        """The cell of each item, that of the nearest mean."""
        return self._fitted.predict(np.asarray(items, np.float64))
