"""L2 between pixels in [-1, 1], or between vectors in their own units."""

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.metrics.metric import Metric, PairDistance, euclidean


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Pixels(Metric):
    """Euclidean distance, not squared.

    Images are compared as they lie on disk, in uint8; distances are those in [-1, 1].

    Attributes:
      is_image: whether items are uint8 images, or float vectors.
    """

    name: ClassVar[str] = "l2"
    short: ClassVar[str] = "L2"
    squared: ClassVar[bool] = False
    is_image: bool

    @property
    def phrase(self) -> str:
        """What the distance is, for a sentence or an axis."""
        return "L2, pixels in [-1, 1]" if self.is_image else "L2, in the data's own units"

    @property
    def scale(self) -> float:
        """1 / 127.5 for pixels, which are searched as uint8 and told in [-1, 1]; 1 for vectors."""
        return 1 / 127.5 if self.is_image else 1.0

    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        """Items of any shape can be compared."""

    def vectors(
        self, items: Shaped[np.ndarray, "item ..."], progress: str | None = None
    ) -> Shaped[np.ndarray, "item dim"]:
        return items.reshape(len(items), -1)

    def num_features(self, item_shape: tuple[int, ...]) -> int:
        return math.prod(item_shape)

    def between(self, picture_of: Callable[[jax.Array], jax.Array] | None) -> PairDistance:
        """Between the items themselves: of a latent diffusion model, between latents."""
        return euclidean
