"""What every metric says of itself; to add one, write a file with a subclass and name it in `make.py`."""

import abc
import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax
import numpy as np
from jaxtyping import Array, Float, Shaped

from memgen_jax import neighbors
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.shapes import Scalar

PairDistance = Callable[[jax.Array, jax.Array], jax.Array]
"""(one item, another) → their distance, a scalar; to jit, vmap and differentiate."""


@dataclasses.dataclass(frozen=True)
class Metric(abc.ABC):
    """How near two items are: the Euclidean distance between their vectors, squared or not, times a scale.

    Attributes:
      name: what settings call it.
      short: what the axis of a figure calls it.
      squared: whether the distance is the square of the Euclidean one.
      phrase: what reports call it, with the range of the items' values.
      scale: factor from the vectors' distance to the metric's own.
    """

    name: ClassVar[str]
    short: ClassVar[str]
    squared: ClassVar[bool]

    @property
    @abc.abstractmethod
    def phrase(self) -> str:
        """What the distance is, for a sentence or an axis."""

    @property
    def scale(self) -> float:
        """Factor from the vectors' coordinates to the metric's own scale."""
        return 1.0

    @abc.abstractmethod
    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        """Raises InputError where items of this shape cannot be compared."""

    def require_ready(self) -> None:  # noqa: B027 (most metrics need nothing)
        """Raises InputError where something that the metric needs (weights) is not there."""

    @abc.abstractmethod
    def vectors(
        self, items: Shaped[np.ndarray, "item ..."], progress: str | None = None
    ) -> Shaped[np.ndarray, "item dim"]:
        """Items, as data sets hold them (uint8 images, or float vectors), as what `search` compares.

        Args:
          progress: what a bar on the terminal calls this; no bar where not given.
        """

    @abc.abstractmethod
    def num_features(self, item_shape: tuple[int, ...]) -> int:
        """Length of an item's vector; where it is only known by computing it, an estimate."""

    @abc.abstractmethod
    def between(self, picture_of: Callable[[jax.Array], jax.Array] | None) -> PairDistance:
        """The distance of two items inside a compiled program.

        Args:
          picture_of: item -> picture [height, width, channel] in [-1, 1]; None for items that are no pictures.
        Raises:
          InputError: the metric compares pictures, and there are none.
        """

    @property
    def embeds(self) -> bool:
        """Whether vectors are computed, kept and read anew: their room counts."""
        return False

    def search(self, queries: np.ndarray, references: np.ndarray, **options) -> neighbors.Neighbors:
        """`neighbors.search` on vectors; distances in the metric's own scale."""
        return neighbors.search(queries, references, squared=self.squared, scale=self.scale, **options)

    def count_within(
        self, queries: np.ndarray, references: np.ndarray, radius: float | np.ndarray, **options
    ) -> np.ndarray:
        """`neighbors.count_within` on vectors; the radius is in the metric's own scale."""
        return neighbors.count_within(
            queries, references, radius, squared=self.squared, scale=self.scale, **options
        )

    def nearest(
        self, items: Shaped[np.ndarray, "item ..."], references: Shaped[np.ndarray, "reference ..."]
    ) -> Float[np.ndarray, " item"]:
        """Distance of every item to the nearest reference, neither of them vectors yet."""
        return self.search(self.vectors(items), self.vectors(references)).distance[:, 0]

    def unsquared(self, distance: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """The distances as Euclidean ones, for rules about their ratio."""
        return np.sqrt(distance) if self.squared else distance


@takes_arrays
def euclidean(first: Float[Array, "*item"], second: Float[Array, "*item"]) -> Scalar:
    """Euclidean distance, not squared, over all coordinates."""
    return jax.numpy.sqrt(jax.numpy.sum((first - second) ** 2))
