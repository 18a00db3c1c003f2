"""Shift-tolerant LPIPS, a squared distance between fixed embeddings as LPIPS is.

Ghildyal & Liu 2022: an AlexNet that does not stride. Its first convolution moves by one pixel; what halves the maps is
a blur, [1, 2, 1] ⊗ [1, 2, 1] / 16 at every second place (Zhang 2019), on maps that are mirrored beyond their edges.
Heads are ≥ 0, so the distance is that between embeddings; see `lpips`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.metrics import lpips
from memgen_jax.metrics.metric import Metric, PairDistance
from memgen_jax.metrics.weights import load_weights

SMALLEST_SIDE = 21  # of smaller pictures nothing is left to mirror before the third layer
BYTES_A_PIXEL = 1000  # that embedding takes at most, measured

# Per layer: features, kernel, padding.
LAYERS = ((64, 11, 2), (192, 5, 2), (384, 3, 1), (256, 3, 1), (256, 3, 1))

# Channels of each layer whose weight is not 0.
USED = (38, 187, 384, 256, 255)


@takes_arrays
@dataclasses.dataclass(frozen=True)
class ShiftTolerantLpips(Metric):
    """Shift-tolerant LPIPS (AlexNet, version ST0.0), a squared distance, between images of at least 21 pixels a side.

    Its numbers are not LPIPS's: no threshold of the paper belongs to them.

    Attributes:
      batch, dtype, memory: as of `Lpips`.
    """

    name: ClassVar[str] = "stlpips"
    short: ClassVar[str] = "ST-LPIPS"
    squared: ClassVar[bool] = True
    batch: int = 64
    dtype: str = "float32"
    memory: int | None = None

    @property
    def phrase(self) -> str:
        """What the distance is, for a sentence or an axis."""
        return "shift-tolerant LPIPS (AlexNet vST0.0, squared), pixels in [-1, 1]"

    @property
    def embeds(self) -> bool:
        """True: vectors are computed, kept and read anew."""
        return True

    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        if len(item_shape) != 3:
            raise InputError(
                "shift-tolerant LPIPS compares images, and these items are vectors; use the metric l2"
            )
        check_picture_shape(*item_shape)

    def require_ready(self) -> None:
        load_weights("stlpips")

    def vectors(
        self, items: Shaped[np.ndarray, "item ..."], progress: str | None = None
    ) -> Shaped[np.ndarray, "item feature"]:
        return lpips.embedded(
            items, load_weights("stlpips"), embed_picture, check_picture_shape, BYTES_A_PIXEL, batch=self.batch,
            dtype=self.dtype, memory=self.memory, progress=progress, stay=True,
        )  # fmt: skip

    def num_features(self, item_shape: tuple[int, ...]) -> int:
        return lpips.count_features(ShiftTolerantAlexNet(), *item_shape[:2], USED)

    def between(self, picture_of: Callable[[jax.Array], jax.Array] | None) -> PairDistance:
        if picture_of is None:
            raise InputError("shift-tolerant LPIPS compares pictures, and these samples are points; use l2")
        weights = load_weights("stlpips")

        def distance(first: jax.Array, second: jax.Array) -> jax.Array:
            one, other = (embed_picture(weights, picture_of(item)) for item in (first, second))
            return jnp.sum((one - other) ** 2)

        return distance


class ShiftTolerantAlexNet(nn.Module):
    """The five ReLU features of one image [height, width, 3]."""

    @nn.compact
    def __call__(self, image: Float[Array, "height width 3"]) -> list[Float[Array, "_ _ _"]]:
        features: list[Float[Array, "_ _ _"]] = []
        x = image
        for layer, (width, kernel, padding) in enumerate(LAYERS):
            if layer in (1, 2):
                x = blurred(nn.max_pool(x, (3, 3)))
            x = nn.Conv(width, (kernel, kernel), padding=padding, precision="highest", name=f"Conv_{layer}")(
                x
            )
            x = nn.relu(blurred(x) if layer == 0 else x)
            features.append(x)
        return features


def blurred(x: Float[Array, "height width channel"]) -> Float[Array, "_ _ channel"]:
    """A map, mirrored by two pixels beyond its edges, blurred and taken at every second place, axis by axis."""
    for axis in (0, 1):
        padding = [(2, 2) if a == axis else (0, 0) for a in range(3)]
        wide = jnp.pad(x, padding, mode="reflect")
        length = wide.shape[axis]
        taps = [jax.lax.slice_in_dim(wide, i, length - 2 + i, stride=2, axis=axis) for i in range(3)]
        x = (taps[0] + 2 * taps[1] + taps[2]) / 4
    return x


def embed_picture(weights: Any, image: Shaped[Array, "height width channel"]) -> Float[Array, " feature"]:
    """The embedding of one image, uint8 or float in [-1, 1], grey or RGB, to jit, vmap and differentiate.

    Args:
      weights: from `load_weights("stlpips")`.
    """
    check_picture_shape(*image.shape)
    x = lpips.normalised(lpips.as_rgb(image))
    features = ShiftTolerantAlexNet().apply({"params": weights["trunk"]}, x)
    return lpips.stacked(features, weights["heads"])  # type: ignore[arg-type]


def check_picture_shape(height: int, width: int, channels: int) -> None:
    """Refuses pictures that are too small for the network, or of another number of channels than 1 and 3."""
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"shift-tolerant LPIPS needs images of at least {SMALLEST_SIDE} pixels a side, got {height}×{width}; "
            "use the metric l2"
        )
    if channels not in (1, 3):
        raise InputError(f"shift-tolerant LPIPS needs 1 or 3 channels, got {channels}")
