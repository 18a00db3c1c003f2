"""The share of repeats belongs to a set size: what it would be at another, without drawing, and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.special import gammaln, ndtri

from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.errors import InputError


@takes_arrays
def chance_of_neighbor(
    neighbors: Int[np.ndarray, " sample"], num_samples: int, size: int
) -> Float[np.ndarray, " sample"]:
    """Chance that a sample has a near one among `size` - 1 others, drawn from the `num_samples` - 1 there are.

    1 - C(N-1-r, n-1) / C(N-1, n-1), hypergeometric, of a sample with r near ones: rarefaction, as ecologists do it
    for species (Hurlbert 1971).

    Args:
      neighbors: r of each sample, 0..N-1.
      num_samples: N.
      size: n, 1..N.
    Raises:
      InputError: a size or a count is out of range.
    """
    if not 1 <= size <= num_samples:
        raise InputError.setting("size", size, f"a set size from 1 to the {num_samples} samples there are")
    neighbors = counts_of_others(neighbors, num_samples)
    rest = num_samples - 1 - np.asarray(neighbors, np.float64)  # samples that are not near, itself left out
    others = size - 1
    possible = rest >= others
    safe = np.where(possible, rest, others)

    # C(a, k) / C(b, k), in which k! cancels
    missing = np.exp(
        (gammaln(safe + 1) - gammaln(safe - others + 1))
        - (gammaln(num_samples) - gammaln(num_samples - others))
    )
    return np.where(neighbors == 0, 0.0, np.where(possible, 1 - missing, 1.0))


def counts_of_others(neighbors: Int[np.ndarray, " sample"], num_samples: int) -> Int[np.ndarray, " sample"]:
    """The counts as int64, in which none overflows.

    Raises:
      InputError: one is negative, or more than the other samples there are.
    """
    if len(neighbors) and not 0 <= int(neighbors.min()) <= int(neighbors.max()) < num_samples:
        wrong = next(count for count in neighbors.tolist() if not 0 <= count < num_samples)
        raise InputError(
            f"neighbors holds {wrong}, and of {num_samples} samples each has 0 to {num_samples - 1} others: count "
            "them within one set, the sample itself left out"
        )
    return neighbors.astype(np.int64)


class Share(NamedTuple):
    """A share of a set of samples, with the variance that redrawing the set would give it.

    Attributes:
      value: in [0, 1].
      variance: of the value, ≥ 0.
      num_samples: of the set.
    """

    value: float
    variance: float
    num_samples: int

    @property
    def effective(self) -> int:
        """How many independent samples would have this variance, at least 1; all there are where it is smaller."""
        spread = self.value * (1 - self.value)
        return (
            self.num_samples
            if self.variance * self.num_samples <= spread
            else max(1, round(spread / self.variance))
        )

    def interval(self, confidence: float = 0.95) -> tuple[float, float]:
        """Wilson's interval at as many independent samples as would have this variance."""
        share, effective = self.value, float(self.num_samples)
        if self.variance > 0:
            effective = min(effective, max(share * (1 - share) / self.variance, 1.0))
        z2 = float(ndtri(0.5 + confidence / 2)) ** 2
        centre = (share + z2 / (2 * effective)) / (1 + z2 / effective)
        half = (z2 * (share * (1 - share) / effective + z2 / (4 * effective**2))) ** 0.5 / (
            1 + z2 / effective
        )
        return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


@takes_arrays
def share_of_repeats(
    neighbors: Int[np.ndarray, " sample"],
    counted: Bool[np.ndarray, " sample"],
    size: int,
    *,
    repeated: bool = True,
) -> Share:
    """The share of samples that are `counted` and repeated, in a set of `size` of them.

    The share is unbiased at any size up to that of the set. Labels of repeats come in pairs and groups, so a
    binomial interval would be too narrow: the variance is the jackknife's, in which a sample that is left out takes
    itself away, and one near sample from each of its neighbours (which are taken to have as many as itself).

    Args:
      neighbors: of each sample, how many *other* samples lie within δ_s.
      counted: whether the sample may count at all: not memorized, for the spurious and the generalized share.
      size: n, the set size to speak of, 1..N.
      repeated: False for those that are counted and not repeated.
    Raises:
      InputError: a count or the size is out of range, or the two arrays are of different lengths.

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> neighbors = np.array([1, 1, 0, 0])  # the first two of four samples repeat each other
    >>> statistics.share_of_repeats(neighbors, np.ones(4, bool), size=4).value
    0.5
    >>> round(statistics.share_of_repeats(neighbors, np.ones(4, bool), size=2).value, 3)  # in sets of two
    0.167
    """
    total = len(neighbors)
    _require_alike(neighbors=neighbors, counted=counted)
    neighbors = counts_of_others(neighbors, total)

    def chance(of: Int[np.ndarray, " sample"], num_samples: int, at: int) -> Float[np.ndarray, " sample"]:
        near = chance_of_neighbor(of, num_samples, at)
        return near if repeated else 1 - near

    value = float(np.where(counted, chance(neighbors, total, size), 0.0).mean())
    if total < 3:
        return Share(value, value * (1 - value) / total, total)
    fewer, smaller = total - 1, min(size, total - 1)
    kept = chance(np.minimum(neighbors, fewer - 1), fewer, smaller)
    lost = kept - chance(np.maximum(neighbors - 1, 0), fewer, smaller)
    influence = np.where(counted, kept + neighbors * lost, 0.0)
    return Share(value, float(np.var(influence, ddof=1)) / total, total)


@takes_arrays
def share_by_nearest(
    counted: Bool[np.ndarray, " sample"],
    nearest_index: Int[np.ndarray, " sample"],
    nearest: Float[np.ndarray, " sample"],
    second: Float[np.ndarray, " sample"],
    radius: float,
    *,
    repeated: bool = True,
) -> Share:
    """The share of a set that is `counted` and repeated, from the two nearest others of every sample.

    The variance is the jackknife's, exactly: a sample that is left out takes itself away, and those of whom it is the
    only near one stop being repeats.

    Args:
      counted: whether the sample may count at all: not memorized.
      nearest_index, nearest: the nearest other sample of each, and its distance.
      second: distance to the second nearest.
      radius: δ_s, ≥ 0.
      repeated: False for those that are counted and not repeated.
    Raises:
      InputError: an index, a distance or the radius is none, or the arrays are of different lengths.

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> pair = np.arange(200) ^ 1  # 1, 0, 3, 2, …: the first hundred come in pairs, the others stand alone
    >>> nearest = np.where(np.arange(200) < 100, 0.0, 5.0)
    >>> found = statistics.share_by_nearest(np.ones(200, bool), pair, nearest, np.full(200, 9.0), radius=1.0)
    >>> found.value, found.effective  # pairs tell less than as many samples one by one
    (0.5, 50)
    """
    total = len(nearest)
    _require_alike(nearest=nearest, counted=counted, nearest_index=nearest_index, second=second)
    require_distances(infinite=True, nearest=nearest, second=second)
    if not radius >= 0:
        raise InputError.setting("radius", radius, "a distance ≥ 0")
    if not 0 <= nearest_index.min() <= nearest_index.max() < total:
        raise InputError(
            f"nearest_index holds {nearest_index.min()} to {nearest_index.max()}, and there are {total} samples: give "
            "the place of each one's nearest among them"
        )
    near = nearest <= radius
    held = counted & near & (second > radius)  # by one other sample alone
    lost = np.bincount(nearest_index[held], minlength=total)
    found = counted & near if repeated else counted & ~near
    influence = found + (lost if repeated else -lost)
    return Share(float(found.mean()), float(np.var(influence, ddof=1)) / total if total > 1 else 0.25, total)


def _require_alike(**arrays: np.ndarray) -> None:
    """Refuses arrays that are empty, or not one entry for each sample."""
    first, *others = arrays
    if not len(arrays[first]):
        raise InputError(f"{first} is empty: give at least one sample")
    for name in others:
        if len(arrays[name]) != len(arrays[first]):
            raise InputError(
                f"{first} has {len(arrays[first])} samples and {name} {len(arrays[name])}: give one entry of each for "
                "every sample"
            )


@takes_arrays
def mean_share(shares: Sequence[Share]) -> Share:
    """The mean of independent shares, of several trainings for instance, with what sampling alone leaves open.

    Raises:
      InputError: there is none.
    """
    count = len(shares)
    if not count:
        raise InputError("shares is empty: give at least one")
    return Share(
        sum(share.value for share in shares) / count,
        sum(share.variance for share in shares) / count**2,
        sum(share.num_samples for share in shares),
    )


@takes_arrays
def powers_of_two(largest: int, smallest: int = 128) -> list[int]:
    """Set sizes at which repeats of sets of different sizes are compared.

    >>> from memgen_jax import statistics
    >>> statistics.powers_of_two(1000)
    [128, 256, 512]
    """
    return [2**power for power in range(largest.bit_length()) if smallest <= 2**power <= largest]
