"""A metric of one's own: the Euclidean distance between vectors that a function makes of items."""

import dataclasses
import math
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Shaped
from tqdm import tqdm

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.metrics.metric import Metric, PairDistance
from memgen_jax.neighbors.resident import Keeper
from memgen_jax.neighbors.rows import local_mesh
from memgen_jax.user_code import reason_of


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Embedding(Metric):
    """Euclidean distance between the vectors that a function makes of items, or its square, times a scale.

    The cosine distance 1 - cos is half the square between vectors of length 1:
    `Embedding("cosine", vectors_of, squared=True, factor=0.5, phrase="1 - cosine of pixels")`.

    Attributes:
      name: what settings and tables call it.
      vectors_of: items (uint8 [item, height, width, channel] or float32 [item, ...]) -> vectors [item, dim], finite.
      squared: whether the distance is the square of the Euclidean one.
      factor: from the vectors' distance to the metric's own, > 0.
      phrase: what reports call it; the name where not given.
      pair: the distance of two items inside a compiled program, for basins and gradients; see `Metric.between`.
      batch: items that are embedded at once.
    """

    name: str  # type: ignore[misc]
    vectors_of: Callable[[np.ndarray], np.ndarray]
    squared: bool = dataclasses.field(default=False, kw_only=True)  # type: ignore[misc]
    factor: float = 1.0
    phrase: str = ""  # type: ignore[assignment]
    pair: PairDistance | None = None
    batch: int = 256

    def __post_init__(self) -> None:
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise InputError.setting("factor", self.factor, "a positive number")
        object.__setattr__(self, "phrase", self.phrase or self.name)

    @property
    def short(self) -> str:  # type: ignore[override]
        """Its name in figures."""
        return self.name

    @property
    def scale(self) -> float:
        """Factor of the coordinates that makes `factor` one of the distance."""
        return math.sqrt(self.factor) if self.squared else self.factor  # of coordinates

    @property
    def embeds(self) -> bool:
        """True: vectors are computed, kept and read anew."""
        return True

    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        """Whether items can be compared, their function knows."""

    def vectors(
        self, items: Shaped[np.ndarray, "item ..."], progress: str | None = None
    ) -> Shaped[np.ndarray, "item dim"]:
        starts = tqdm(range(0, len(items), self.batch), desc=progress, disable=None if progress else True)
        keeper = Keeper(local_mesh(), "float32")
        parts = [
            self._embedded(items[start : start + self.batch], keeper, start, len(items)) for start in starts
        ]
        if len(lengths := {part.shape[1] for part in parts}) > 1:
            raise InputError(
                f"the metric {self.name} makes vectors of {min(lengths)} and of {max(lengths)} numbers: all must be of "
                "one length."
            )
        vectors = np.concatenate(parts)
        keeper.keep(vectors)
        return vectors

    def _embedded(self, items: np.ndarray, keeper: Keeper, start: int, total: int) -> np.ndarray:
        try:
            made = self.vectors_of(items)
            if isinstance(made, jax.Array) and made.ndim == 2 and len(made) == len(items):
                vectors = keeper.add(made, start, total)
            else:
                vectors = np.asarray(made, np.float32)
        except InputError:
            raise
        except Exception as error:  # whatever the user's function does
            raise InputError(f"the metric {self.name} does not work ({reason_of(error)}).") from error
        if vectors.ndim != 2 or len(vectors) != len(items):
            raise InputError(
                f"the metric {self.name} makes an array {vectors.shape} of {len(items)} items: it must make one vector "
                "of each, [item, dim]."
            )
        if not np.isfinite(vectors).all():
            raise InputError(
                f"the metric {self.name} makes vectors with NaN or infinity: they cannot be compared."
            )
        return vectors

    def num_features(self, item_shape: tuple[int, ...]) -> int:
        return math.prod(item_shape)

    def between(self, picture_of: Callable[[jax.Array], jax.Array] | None) -> PairDistance:
        if self.pair is None:
            raise InputError(
                f"the metric {self.name} has no distance for compiled programs: give it `pair`, or use another "
                "metric here."
            )
        return self.pair
