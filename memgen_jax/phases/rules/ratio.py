"""Copies by the ratio of the distances to the two nearest training items, beside the phases."""

import numpy as np
from jaxtyping import Bool, Float

from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.errors import InputError


@takes_arrays
def copies_by_ratio(
    first: Float[np.ndarray, " sample"],
    second: Float[np.ndarray, " sample"],
    ratio: float = 1 / 3,
) -> Bool[np.ndarray, " sample"]:
    """Whether the nearest training item stands out from the second nearest: d1/d2 < ratio.

    The rule of Yoon et al. 2023. A sample at distance exactly 0 counts as a copy even
    where the training set holds the item twice (d1 = d2 = 0).

    Args:
      first, second: distances to the nearest and second-nearest training item, L2 (of a squared
        distance the ratio would be squared too).
      ratio: in (0, 1].
    Raises:
      InputError: the ratio or a distance is none, or the arrays are of different lengths.

    >>> import numpy as np
    >>> from memgen_jax import phases
    >>> phases.copies_by_ratio(np.array([0.1, 0.9]), np.array([1.0, 1.0])).tolist()
    [True, False]
    """
    if not 0 < ratio <= 1:
        raise InputError(f"ratio = {ratio} is outside (0, 1]; 0.333 is usual")
    require_distances(infinite=True, first=first, second=second)
    return (first < ratio * second) | (first == 0)
