"""A network from a file as a metric: 2 − 2cos between the vectors that it makes of images.

Any image descriptor will do: SSCD (Pizzi et al. 2022) is made for copies, DINOv2 and CLIP for content.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar, Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Shaped, UInt8
from tqdm import tqdm

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import room
from memgen_jax.errors import FIELD, InputError
from memgen_jax.mapped import let_go
from memgen_jax.metrics.metric import Metric, PairDistance

Pictures = UInt8[np.ndarray, "item height width channel"]
Network = Callable[[Pictures], Float[np.ndarray, "item dim"]]
"""Images, uint8 → a vector of each."""

# For networks that take floats: what ImageNet's are normalised by, and the shorter side that SSCD's authors advise.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
USUAL_SIDE = 288


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Encoder(Metric):
    """2 − 2cos between vectors, in 0..4: a cosine similarity s is the distance 2 − 2s.

    Attributes:
      file: what reports call the network.
      network: uint8 pictures [item, height, width, channel] -> vectors [item, dim], of any length; None where
        distances are at hand and nothing is embedded.
      batch: pictures at a time.
      memory: bytes that a batch may take, and above half of which the vectors of a set lie in a file. What the network
        takes for a picture is measured on two of noise, once. By default batches are as asked for, and the vectors in
        a file above a third of the free memory.
    """

    name: ClassVar[str] = "encoder"
    short: ClassVar[str] = "2 − 2cos"
    squared: ClassVar[bool] = True
    file: str
    network: Network | None = None
    batch: int = 16
    memory: int | None = None

    @property
    def phrase(self) -> str:
        return f"2 − 2cos between the vectors that {self.file} makes of images"

    @property
    def embeds(self) -> bool:
        return True

    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        """Tries the network on two pictures of noise.

        Raises:
          InputError: the items are vectors, or the network does not make one vector of each such picture.
        """
        if len(item_shape) != 3:
            raise InputError(
                f"{FIELD[0]} takes images, and these items are vectors; use {FIELD[1]} l2",
                "encoder",
                "metric",
            )
        if self.network is not None:
            self._unit(_noise(tuple(item_shape)))

    def vectors(
        self, items: Shaped[np.ndarray, "item ..."], progress: str | None = None
    ) -> Float[np.ndarray, "item dim"]:
        step = self._at_once(items.shape[1:])
        made: np.ndarray | None = None
        hidden = None if progress else True  # None: shown on a terminal only
        with tqdm(total=len(items), desc=progress, unit="image", disable=hidden) as bar:
            for start in range(0, len(items), step):
                part = self._unit(np.ascontiguousarray(items[start : start + step]))
                if made is None:
                    most = None if self.memory is None else self.memory // 2
                    made = room.make_room((len(items), part.shape[1]), part.dtype, most)
                made[start : start + len(part)] = part
                let_go(items)
                let_go(made)
                bar.update(len(part))
        return np.zeros((0, 0), np.float32) if made is None else made

    def _at_once(self, item_shape: tuple[int, ...]) -> int:
        """Pictures of a batch: as asked for, fewer where they would take more than the memory allowed, never none."""
        if self.memory is None or self.network is None:
            return self.batch
        fit = self.memory // max(1, _bytes_a_picture(self.network, tuple(item_shape)))
        return min(self.batch, 2 ** max(0, fit.bit_length() - 1))  # a power of two: measures differ a little

    def _unit(self, items: Pictures) -> Float[np.ndarray, "item dim"]:
        assert self.network is not None
        made = np.asarray(self.network(items), np.float32)
        if made.ndim != 2 or len(made) != len(items):
            raise InputError(
                f"{FIELD[0]} {self.file} makes an array {made.shape} of {len(items)} images; it must make one vector "
                "of each",
                "encoder",
            )
        length = np.linalg.norm(made, axis=1, keepdims=True)
        if not (np.isfinite(made).all() and length.all()):
            raise InputError(
                f"{FIELD[0]} {self.file} makes vectors of zeros, NaN or infinity, which cannot be compared",
                "encoder",
            )
        return made / length

    def num_features(self, item_shape: tuple[int, ...]) -> int:
        return 512  # SSCD's

    def between(self, picture_of: Callable[[jax.Array], jax.Array] | None) -> PairDistance:
        raise InputError("an encoder's distance cannot be compiled; use the metric l2 or lpips here")


def _noise(item_shape: tuple[int, ...]) -> Pictures:
    return np.random.default_rng(0).integers(0, 256, (2, *item_shape), dtype=np.uint8)


@functools.lru_cache(maxsize=8)  # later a network holds what it took before, and nothing is to be seen
def _bytes_a_picture(network: Network, item_shape: tuple[int, ...]) -> int:
    pictures = _noise(item_shape)
    return room.most_held_by(lambda: network(pictures)) // len(pictures)


class EncoderInput(NamedTuple):
    """How a network takes pictures.

    Attributes:
      dtype: "uint8", 0..255; or "float32", in [0, 1] and then normalised by ImageNet's mean and deviation.
      layout: where the channels stand.
      side: the shorter side to which pictures are resized (bilinear); both sides (height, width); None as they are.
      channels: 3, or 1 for a network of grey pictures.
    """

    dtype: str
    layout: Literal["nhwc", "nchw"]
    side: int | tuple[int, int] | None = None
    channels: int = 3

    def of(self, pictures: Pictures) -> Shaped[np.ndarray, "item ..."]:
        """Pictures as the network takes them; grey ones are repeated to three channels.

        Raises:
          InputError: coloured pictures for a network of grey ones.
        """
        if self.channels == 1 and pictures.shape[-1] == 3:
            raise InputError(
                f"{FIELD[0]} takes grey images, and these are RGB; give {FIELD[1]}=1", "encoder", "channels"
            )
        pictures = _resized(pictures, self.side)
        if self.channels == 3:
            pictures = np.broadcast_to(pictures, (*pictures.shape[:3], 3))
        if self.dtype != "uint8":
            mean, std = np.asarray(MEAN, np.float32), np.asarray(STD, np.float32)
            if self.channels == 1:
                mean, std = mean.mean(), std.mean()
            pictures = ((pictures / np.float32(255) - mean) / std).astype(self.dtype)
        return np.ascontiguousarray(pictures if self.layout == "nhwc" else np.moveaxis(pictures, -1, 1))


def _resized(pictures: Pictures, side: int | tuple[int, int] | None) -> UInt8[np.ndarray, "item _ _ channel"]:
    from PIL import Image

    height, width = pictures.shape[1:3]
    if side is None:
        return pictures
    if isinstance(side, int):
        factor = side / min(height, width)
        side = round(height * factor), round(width * factor)
    if side == (height, width):
        return pictures
    grey = pictures.shape[-1] == 1
    made = [
        np.asarray(
            Image.fromarray(picture[..., 0] if grey else picture).resize(
                side[::-1], Image.Resampling.BILINEAR
            )
        )
        for picture in pictures
    ]
    return np.stack(made).reshape(len(pictures), *side, pictures.shape[-1])
