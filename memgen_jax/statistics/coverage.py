"""Density and coverage: whether samples lie where unseen data lie, and reach all of them (Naeem et al. 2020).

Around every unseen item stands a ball that reaches to its k-th nearest other. Both numbers hold for any distance, and
what honest data would give is known whatever their distribution, so that no other data are needed beside them.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from memgen_jax.annotations import Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.statistics.repeats import chance_of_neighbor

BALL = 5
"""k of the k-th nearest neighbour to which a ball reaches (Naeem et al. 2020)."""


class Coverage(NamedTuple):
    """Both sides of quality.

    Attributes:
      density: how many balls a sample lies in, over k; 1 for honest data, less off the data, more where the samples
        crowd among the data.
      coverage: share of the balls that hold a sample, in a set of the size asked for: of a collapsed model near 0.
    """

    density: float
    coverage: float


@takes_arrays
def density_and_coverage(
    inside: Int[np.ndarray, " unseen"], num_samples: int, size: int, ball: int = BALL
) -> Coverage:
    """Both numbers, from how many samples lie in the ball of each unseen item.

    More samples cover more, so coverage belongs to a set size: it is the mean over all sets of `size` that could be
    drawn from the samples, in closed form, so that sets of different sizes can be compared.

    Args:
      inside: of each unseen item, the samples within the distance to its `ball`-th nearest other unseen item.
      num_samples: that there are.
      size: of the sets to speak of, 1..num_samples.
      ball: k.
    Raises:
      InputError: the size, a count or `ball` is out of range, or there is no unseen item.

    >>> import numpy as np
    >>> from memgen_jax import statistics
    >>> statistics.density_and_coverage(np.array([0, 4]), num_samples=4, size=1, ball=1)
    Coverage(density=1.0, coverage=0.5)
    """
    if not 1 <= size <= num_samples:
        raise InputError.setting("size", size, f"a set size from 1 to the {num_samples} samples there are")
    if not len(inside):
        raise InputError("inside is empty: give at least one unseen item")
    if ball < 1:
        raise InputError.setting("ball", ball, "at least 1")
    if not 0 <= inside.min() <= inside.max() <= num_samples:
        raise InputError(
            f"inside holds {inside.min()} to {inside.max()}, and there are {num_samples} samples: count those in the "
            "ball of each unseen item"
        )
    # A sample in the ball among `size` of them: as a neighbour among the others of a set with one item more.
    reached = chance_of_neighbor(inside, num_samples + 1, size + 1)
    return Coverage(float(inside.sum()) / (ball * num_samples), float(np.mean(reached)))


@takes_arrays
def expected_coverage(num_unseen: Positive, size: Positive, ball: Positive = BALL) -> float:
    """The coverage of a set of `size` honest items: 1 - Π_{i=1..k} (N - i) / (M + N - i) (Naeem et al. 2020, Eq. 9).

    The k nearest of an item, among the N - 1 other unseen ones and M samples in any order, are all unseen ones.

    >>> from memgen_jax import statistics
    >>> round(statistics.expected_coverage(10_000, 10_000), 3)
    0.969
    """
    return 1 - math.prod((num_unseen - i) / (size + num_unseen - i) for i in range(1, ball + 1))
