"""LPIPS as a squared distance between fixed embeddings, so that all pairs are one matrix product.

LPIPS (Zhang et al. 2018), AlexNet, version 0.1: with φ_l the ReLU feature of layer l divided by
its norm over the channels, and w_l ≥ 0 the layer's learned channel weights,

    LPIPS(x, y) = Σ_l 1/(H_l W_l) Σ_hw Σ_c w_lc (φ_l(x) - φ_l(y))²  =  |e(x) - e(y)|²,

where e stacks √(w_lc / (H_l W_l)) φ_l. No root is taken before a threshold is applied.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Float32, Shaped
from tqdm import tqdm

from memgen_jax.annotations import FloatName, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.cores import available_cores, in_order
from memgen_jax.data.room import make_room
from memgen_jax.errors import InputError
from memgen_jax.mapped import let_go
from memgen_jax.metrics.convolution import convolve
from memgen_jax.metrics.metric import Metric, PairDistance
from memgen_jax.metrics.weights import Head, load_weights
from memgen_jax.neighbors.resident import Keeper
from memgen_jax.neighbors.rows import local_mesh

# AlexNet's maps are empty below 31 pixels, and LPIPS is then NaN without a word.
SMALLEST_SIDE = 28  # refused below; MNIST's size still carries meaning when brought up
WORKING_SIDE = 32  # sides below this are resized up to it
# How: the nearest pixel's value, as the code of Pham et al. 2025 does, or between the pixels.
RESIZES = {"nearest_exact": "nearest", "bilinear": "bilinear"}

IN_MEMORY = 2**31  # bytes of embeddings; more are kept in a temporary file
LET_GO = 2**24  # bytes of mapped files that are held at a time
BYTES_A_PIXEL = 150  # that embedding takes at most, measured
MOST_AT_ONCE = 8  # batches; one more than cores, so that none waits for the others at the end of a layer

# ImageNet's mean and standard deviation, for inputs in [-1, 1] (Zhang et al.'s ScalingLayer).
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)

# Per layer: features, kernel, stride, padding; a max-pool (3, stride 2) goes before layers 1 and 2.
LAYERS = ((64, 11, 4, 2), (192, 5, 1, 2), (384, 3, 1, 1), (256, 3, 1, 1), (256, 3, 1, 1))


# Channels of each layer whose weight is not 0.
USED = (29, 137, 347, 238, 251)


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Lpips(Metric):
    """LPIPS (AlexNet, version 0.1), a squared distance, between images of at least 28 pixels a side.

    Sides of 28..31 pixels become 32 as in the code of Pham et al. 2025, by the nearest pixel; see `LpipsBilinear`.

    Attributes:
      batch: images embedded together on each device.
      dtype: of the embeddings; "float16" halves their size and moves distances by about a thousandth
        (LSUN-Church's 126,227 images then take 5.2 GB, its largest synthetic set 21 GB).
      memory: bytes that embedding may take at a time, see `lpips_embedding`.
    """

    name: ClassVar[str] = "lpips"
    short: ClassVar[str] = "LPIPS"
    squared: ClassVar[bool] = True
    resize: ClassVar[str] = "nearest_exact"
    batch: Positive = 64
    dtype: str = "float32"
    memory: int | None = None

    @property
    def phrase(self) -> str:
        """What the distance is, for a sentence or an axis."""
        return "LPIPS (AlexNet v0.1, squared), pixels in [-1, 1]"

    @property
    def embeds(self) -> bool:
        """True: vectors are computed, kept and read anew."""
        return True

    def require_shape(self, item_shape: tuple[int, ...]) -> None:
        if len(item_shape) != 3:
            raise InputError("LPIPS compares images, and these items are vectors; use the metric l2")
        check_picture_shape(*item_shape)

    def require_ready(self) -> None:
        load_weights()

    def vectors(
        self, items: Shaped[np.ndarray, "item ..."], progress: str | None = None
    ) -> Shaped[np.ndarray, "item feature"]:
        return lpips_embedding(
            items,
            batch=self.batch,
            dtype=self.dtype,
            resize=self.resize,
            memory=self.memory,
            progress=progress,
            stay=True,
        )

    def num_features(self, item_shape: tuple[int, ...]) -> int:
        height, width = (max(side, WORKING_SIDE) for side in item_shape[:2])
        return count_features(AlexNet(), height, width, USED)

    def between(self, picture_of: Callable[[jax.Array], jax.Array] | None) -> PairDistance:
        if picture_of is None:
            raise InputError("LPIPS compares pictures, and these samples are points; use the metric l2")
        weights = load_weights()

        def distance(first: jax.Array, second: jax.Array) -> jax.Array:
            one, other = (embed_picture(weights, picture_of(item), self.resize) for item in (first, second))
            return jnp.sum((one - other) ** 2)

        return distance


@takes_arrays
@dataclasses.dataclass(frozen=True)
class LpipsBilinear(Lpips):
    """LPIPS whose images of 28..31 pixels a side become 32 by interpolation; of larger ones it is the same."""

    name: ClassVar[str] = "lpips_bilinear"
    resize: ClassVar[str] = "bilinear"

    @property
    def phrase(self) -> str:
        return "LPIPS (AlexNet v0.1, squared, small images enlarged bilinearly), pixels in [-1, 1]"


class AlexNet(nn.Module):
    """The five ReLU features of one image [height, width, 3]."""

    @nn.compact
    def __call__(self, image: Float[Array, "height width 3"]) -> list[Float[Array, "_ _ _"]]:
        features = []
        x = image
        for layer, (width, kernel, stride, padding) in enumerate(LAYERS):
            if layer in (1, 2):
                x = nn.max_pool(x, (3, 3), strides=(2, 2))
            x = nn.Conv(
                width,
                (kernel, kernel),
                strides=stride,
                padding=padding,
                precision="highest",
                conv_general_dilated=convolve,
                name=f"Conv_{layer}",
            )(x)
            x = nn.relu(x)
            features.append(x)
        return features


@functools.cache
def count_features(trunk: nn.Module, height: int, width: int, used: tuple[int, ...]) -> int:
    """Numbers in the vector of a picture: places of each layer's map times the channels used of it."""
    picture = jax.ShapeDtypeStruct((height, width, 3), jnp.float32)
    maps = jax.eval_shape(lambda x: trunk.init_with_output(jax.random.key(0), x)[0], picture)
    return sum(math.prod(own.shape[:2]) * channels for own, channels in zip(maps, used, strict=True))


@takes_arrays
def lpips_embedding(
    images: Shaped[np.ndarray | Array, "item height width channel"],
    *,
    batch: Positive = 64,
    dtype: FloatName = "float32",
    resize: str = "nearest_exact",
    memory: int | None = None,
    progress: str | None = None,
    stay: bool = False,
) -> Shaped[np.ndarray, "item feature"]:
    """Embeddings whose squared Euclidean distance is LPIPS (AlexNet, v0.1).

    Pass them to `search(..., squared=True)`. 3,490 numbers an image at 32×32, 20,762 at 64×64: of
    5,760 and 31,872, those of channels of weight 0 are left out. Where they take more than 2 GiB they
    lie in a file without a name in TMPDIR, which goes with the array; rows may be sliced all the same.

    Args:
      images: uint8 or float in [-1, 1]; one channel is repeated to three. A side of 28..31 pixels
        is resized to 32.
      batch: images embedded together on each device; a few batches are made beside each other.
      dtype: of the result; "float16" halves its size and changes distances by about a thousandth.
      resize: how: "nearest_exact", as in the code of Pham et al. 2025, or "bilinear".
      memory: bytes that batches may take, and above half of which the result lies in a file; by default batches are
        what `batch` says, and 2 GiB.
      progress: what a bar on the terminal calls this; no bar where not given.
      stay: whether they stay on accelerators too, where a search then finds them; the array cannot be written to then.

    Returns:
      Embeddings, in rows as the images.

    Raises:
      InputError: the weights are not there yet, a side is below 28 pixels, the channels are neither
        1 nor 3, float images leave [-1, 1], TMPDIR has no room, or there is no such resize.
    """
    _require_resize(resize)
    return embedded(
        images, load_weights(), _of_picture(resize), check_picture_shape, BYTES_A_PIXEL, batch=batch, dtype=dtype,
        memory=memory, progress=progress, stay=stay,
    )  # fmt: skip


EmbedPicture = Callable[[Any, Shaped[Array, "height width channel"]], Float[Array, " feature"]]
"""(weights, one image) → its vector, to jit and vmap."""


def embedded(
    images: Shaped[np.ndarray | Array, "item height width channel"],
    weights: Any,
    embed: EmbedPicture,
    check_shape: Callable[[int, int, int], None],
    bytes_a_pixel: int,
    *,
    batch: int,
    dtype: str,
    memory: int | None,
    progress: str | None,
    stay: bool = False,
) -> Shaped[np.ndarray, "item feature"]:
    """The vector of every image, a few batches beside each other; see `lpips_embedding`."""
    _check(images, check_shape)
    mesh = local_mesh()
    by_item = NamedSharding(mesh, PartitionSpec("query"))
    weights = jax.device_put(weights, NamedSharding(mesh, PartitionSpec()))
    devices = mesh.devices.size
    step = min(batch, 1 << (len(images) - 1).bit_length())
    takes = bytes_a_pixel * math.prod(images.shape[1:3]) * devices
    if memory is not None:
        step = max(1, min(step, memory // (2 * takes)))
    at_once = (memory or IN_MEMORY) // (takes * step)
    step *= devices

    def made_of(part: np.ndarray) -> Array:
        padded = np.concatenate([part, np.repeat(part[:1], step - len(part), axis=0)])
        return jax.block_until_ready(_embed(weights, jax.device_put(padded, by_item), embed))

    starts = range(0, len(images), step)
    parts = (np.asarray(images[start : start + step]) for start in starts)
    many = in_order(made_of, parts, max(1, min(at_once, available_cores() + 1, MOST_AT_ONCE)))
    out, held = None, 0
    keeper = Keeper(mesh, dtype) if stay else None
    hidden = None if progress else True  # None: shown on a terminal only
    with tqdm(total=len(images), desc=progress, unit="image", disable=hidden) as bar:
        for start, made in zip(starts, many, strict=True):
            rows = keeper.add(made, start, len(images)) if keeper else np.asarray(made)
            rows = rows[: len(images) - start]
            if out is None:
                most = IN_MEMORY if memory is None else memory // 2
                out = make_room((len(images), rows.shape[1]), np.dtype(dtype), most)
            out[start : start + len(rows)] = rows
            held += rows.nbytes + images[start : start + step].nbytes
            if held > LET_GO:
                held = 0
                for array in (images, out):
                    let_go(array)
            bar.update(len(rows))
    assert out is not None
    let_go(out)
    if keeper:
        keeper.keep(out)
    return out


@takes_arrays
def lpips_distance(
    first: Shaped[np.ndarray | Array, "item height width channel"],
    second: Shaped[np.ndarray | Array, "item height width channel"],
    *,
    batch: Positive = 64,
    resize: str = "nearest_exact",
) -> Float32[np.ndarray, " item"]:
    """LPIPS of pairs of images, row by row; arguments as `lpips_embedding`'s."""
    one, other = (lpips_embedding(images, batch=batch, resize=resize) for images in (first, second))
    difference = one - other
    return (difference**2).sum(1)


@takes_arrays
def check_picture_shape(height: int, width: int, channels: int) -> None:
    """Refuses pictures that are too small for AlexNet, or of another number of channels than 1 and 3."""
    if min(height, width) < SMALLEST_SIDE:
        raise InputError(
            f"LPIPS needs images of at least {SMALLEST_SIDE} pixels a side, got {height}×{width}; "
            "use the metric l2"
        )
    if channels not in (1, 3):
        raise InputError(f"LPIPS needs 1 or 3 channels, got {channels}")


def _check(images: np.ndarray | Array, check_shape: Callable[[int, int, int], None]) -> None:
    if len(images) == 0:
        raise InputError("there is no image to embed; give at least one")
    check_shape(*images.shape[1:])
    if images.dtype != np.uint8:
        low, high = float(images.min()), float(images.max())
        if not (low >= -1.001 and high <= 1.001):
            raise InputError(f"float images run from {low:g} to {high:g}; bring them to [-1, 1]")


def _require_resize(resize: str) -> None:
    if resize not in RESIZES:
        raise InputError.setting("resize", resize, f"one of {', '.join(RESIZES)}")


@functools.partial(jax.jit, static_argnums=2)
def _embed(weights: Any, images: Shaped[Array, "item height width channel"], embed: EmbedPicture):
    return jax.vmap(lambda image: embed(weights, image))(images)


@functools.cache
def _of_picture(resize: str) -> EmbedPicture:
    return functools.partial(embed_picture, resize=resize)


@takes_arrays
def embed_picture(
    weights: Any, image: Shaped[Array, "height width channel"], resize: str = "nearest_exact"
) -> Float[Array, " feature"]:
    """The embedding of one image, to jit, vmap and differentiate; see `lpips_embedding` for its input.

    Args:
      weights: from `load_weights`.
    """
    _require_resize(resize)
    check_picture_shape(*image.shape)
    height, width, _ = image.shape
    x = as_rgb(image)
    x = jax.image.resize(x, (max(height, WORKING_SIDE), max(width, WORKING_SIDE), 3), RESIZES[resize])
    features = AlexNet().apply({"params": weights["trunk"]}, normalised(x))
    return stacked(features, weights["heads"])  # type: ignore[arg-type]


def as_rgb(image: Shaped[Array, "height width channel"]) -> Float[Array, "height width 3"]:
    """An image in [-1, 1], grey repeated."""
    x = image.astype(jnp.float32)
    if image.dtype == jnp.uint8:
        x = x / 127.5 - 1
    return jnp.broadcast_to(x, (*image.shape[:2], 3))


def normalised(image: Float[Array, "height width 3"]) -> Float[Array, "height width 3"]:
    """By ImageNet's mean and deviation."""
    return (image - jnp.asarray(SHIFT)[None, None]) / jnp.asarray(SCALE)[None, None]


def stacked(features: Sequence[Float[Array, "_ _ _"]], heads: Sequence[Head]) -> Float[Array, " feature"]:
    """√(w_lc / (H_l W_l)) φ_l of all layers."""
    parts = []
    for feature, head in zip(features, heads, strict=True):
        norm = jnp.sqrt(jnp.sum(feature**2, axis=-1, keepdims=True))
        cells = feature.shape[0] * feature.shape[1]
        unit = feature / (norm + 1e-10)
        scale = jnp.sqrt(head.weight / cells)
        parts.append((unit[..., head.channel] * scale[None, None]).reshape(-1))
    return jnp.concatenate(parts)
