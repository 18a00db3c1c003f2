"""How the transition compares items: L2, or LPIPS between images."""

import numpy as np

from memgen_jax import neighbors
from memgen_jax.errors import InputError
from memgen_jax.metrics.lpips import check_picture_shape, lpips_embedding
from memgen_jax.metrics.weights import load_weights

METRICS = ("l2", "lpips")


class Metric:
    """One distance, and how items are made ready for it.

    Attributes:
      name: "l2" or "lpips".
      phrase: what reports call it, with the range of the values.
    """

    def __init__(self, name: str, is_image: bool):
        if name not in METRICS:
            raise InputError(f"phases.metric={name!r} is not one of {', '.join(METRICS)}.")
        if name == "lpips" and not is_image:
            raise InputError("phases.metric='lpips' compares images, and these data are vectors: take l2.")
        self.name = name
        self._lpips = name == "lpips"
        # Images are compared as they lie on disk, in uint8; distances are those in [-1, 1].
        self._scale = 1 / 127.5 if is_image and not self._lpips else 1.0
        place = "pixels in [-1, 1]" if is_image else "in the data's own units"
        self.phrase = f"LPIPS (AlexNet v0.1, squared), {place}" if self._lpips else f"L2, {place}"

    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        """Raises InputError where LPIPS is asked for and the images are too small for it."""
        if self._lpips:
            check_picture_shape(*item_shape)

    def require_weights(self) -> None:
        """Raises InputError where LPIPS is asked for and its weights are not there yet, or damaged."""
        if self._lpips:
            load_weights()

    def prepare(self, items: np.ndarray) -> np.ndarray:
        """What `search` takes: the items themselves, or their LPIPS embeddings.

        Embeddings are float16, which moves LPIPS by about a thousandth of it; LSUN-Church's 126,227 images
        take 5.2 GB, its largest synthetic set 21 GB.
        """
        return lpips_embedding(items, dtype="float16") if self._lpips else items

    def search(self, queries: np.ndarray, references: np.ndarray, **options) -> neighbors.Neighbors:
        """`neighbors.search` on prepared items; distances in the metric's own scale."""
        return neighbors.search(queries, references, squared=self._lpips, scale=self._scale, **options)

    def nearest(self, items: np.ndarray, references: np.ndarray) -> np.ndarray:
        """Distance of every item to the nearest reference, neither of them prepared."""
        return self.search(self.prepare(items), self.prepare(references)).distance[:, 0]
