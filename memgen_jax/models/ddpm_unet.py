"""The U-Net of denoising diffusion (Ho et al. 2020), for one image; `vmap` it over a batch."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.models.embeddings import sinusoidal
from memgen_jax.models.model import KERNEL_INIT, ZEROS, Model, from_module
from memgen_jax.shapes import Scalar

# The 1×1 layers that do not start at zero ("network in network"), by their names.
NIN = ("shortcut", "query", "key", "value")


class UNet(nn.Module):
    """Predicts noise (or velocity, or the clean image) from a noisy image and its time.

    Residual blocks with GroupNorm and swish at every resolution, self-attention after each block
    of the levels whose side is in `attention_sides` and once in the middle, skip connections from
    the way down to the way up (Pham et al. 2025, App. D; their widths and multipliers in Table 1).

    Attributes:
      width: channels of the first level.
      multipliers: channels of each level in units of `width`; the side halves from one to the next.
      num_blocks: residual blocks per level on the way down; one more on the way up.
      attention_sides: sides of the levels with attention.
      dropout: rate inside residual blocks, while training.
      groups: groups of every GroupNorm; must divide `width`.
      dtype: of the activations; parameters and the output are float32.
    """

    width: int = 128
    multipliers: tuple[int, ...] = (1, 2, 2, 2)
    num_blocks: int = 2
    attention_sides: tuple[int, ...] = (16,)
    dropout: float = 0.0
    groups: int = 32
    dtype: str = "float32"

    @nn.compact
    def __call__(
        self, x: Float[Array, "height width channel"], t: Scalar, train: bool = False
    ) -> Float[Array, "height width channel"]:
        time = _dense(4 * self.width, self.dtype, name="time_0")(sinusoidal(t, self.width))
        time = _dense(4 * self.width, self.dtype, name="time_1")(nn.swish(time))

        def block(h, channels, name):
            h = ResidualBlock(channels, self.dropout, self.groups, self.dtype, name=name)(h, time, train)
            if h.shape[0] in self.attention_sides:
                h = Attention(self.groups, self.dtype, name=f"{name}_attention")(h)
            return h

        h = _conv(self.width, self.dtype, name="input")(x)
        skips = [h]
        for level, multiplier in enumerate(self.multipliers):
            for i in range(self.num_blocks):
                h = block(h, self.width * multiplier, f"down_{level}_{i}")
                skips.append(h)
            if level + 1 < len(self.multipliers):
                h = _conv(h.shape[-1], self.dtype, strides=2, name=f"down_{level}_half")(h)
                skips.append(h)

        channels = h.shape[-1]
        h = ResidualBlock(channels, self.dropout, self.groups, self.dtype, name="middle_0")(h, time, train)
        h = Attention(self.groups, self.dtype, name="middle_attention")(h)
        h = ResidualBlock(channels, self.dropout, self.groups, self.dtype, name="middle_1")(h, time, train)

        for level, multiplier in reversed(list(enumerate(self.multipliers))):
            for i in range(self.num_blocks + 1):
                h = jnp.concatenate([h, skips.pop()], axis=-1)
                h = block(h, self.width * multiplier, f"up_{level}_{i}")
            if level > 0:
                h = h.repeat(2, axis=0).repeat(2, axis=1)  # nearest neighbour
                h = _conv(h.shape[-1], self.dtype, name=f"up_{level}_double")(h)

        h = nn.swish(_norm(h, self.groups, name="output_norm"))
        h = _conv(x.shape[-1], self.dtype, kernel_init=ZEROS, name="output")(h)
        return h.astype(jnp.float32)


class ResidualBlock(nn.Module):
    """norm-swish-conv, plus the time, norm-swish-dropout-conv, added to the (projected) input."""

    channels: int
    dropout: float
    groups: int
    dtype: str

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "height width channel"],
        time: Float[Array, " features"],
        train: bool,
    ) -> Float[Array, "height width {self.channels}"]:
        h = nn.swish(_norm(x, self.groups, name="norm_0"))
        h = _conv(self.channels, self.dtype, name="input")(h)
        shift = _dense(self.channels, self.dtype, name="time")(nn.swish(time))
        h = h + shift[None, None, :]
        h = nn.swish(_norm(h, self.groups, name="norm_1"))
        h = nn.Dropout(self.dropout, deterministic=not train)(h)
        # Zero at the start, so that every block begins as the identity.
        h = _conv(self.channels, self.dtype, kernel_init=ZEROS, name="output")(h)
        if x.shape[-1] != self.channels:
            x = _dense(self.channels, self.dtype, name="shortcut")(x)
        return x + h


class Attention(nn.Module):
    """Single-head self-attention over the positions of the image, added to its input."""

    groups: int
    dtype: str

    @nn.compact
    def __call__(self, x: Float[Array, "height width channel"]) -> Float[Array, "height width channel"]:
        height, width, channels = x.shape
        h = _norm(x, self.groups, name="norm").reshape(height * width, channels)
        query, key, value = (_dense(channels, self.dtype, name=name)(h) for name in ("query", "key", "value"))
        logits = jnp.einsum("qc,kc->qk", query, key, preferred_element_type=jnp.float32)
        weights = jax.nn.softmax(logits / math.sqrt(channels)).astype(self.dtype)
        h = jnp.einsum("qk,kc->qc", weights, value)
        h = _dense(channels, self.dtype, kernel_init=ZEROS, name="output")(h)
        return x + h.reshape(x.shape)


@takes_arrays
def unet(
    item_shape: tuple[int, ...],
    width: int = 128,
    multipliers: tuple[int, ...] = (1, 2, 2, 2),
    num_blocks: int = 2,
    attention_sides: tuple[int, ...] = (16,),
    dropout: float = 0.0,
    groups: int | None = None,
    nin_scale: float = 1.0,
    dtype: str = "float32",
) -> Model:
    """A `UNet` for images of one shape; the defaults are the paper's for CIFAR10 but for dropout.

    Args:
      item_shape: (height, width, channel) of one image.
      groups: of every GroupNorm, a divisor of `width`; by default the largest common divisor of
        `width` and the paper's 32, so 32 itself for every width of the paper.
      nin_scale: the 1×1 layers, shortcuts and attention's query, key and value, start with this times the variance of
        the others: 1 in Ho et al. 2020, 0.1 in Song et al. 2021 and in the released code of Pham et al. 2025.
      dtype: of the activations, "float32" or "bfloat16".
      The other settings are those of `UNet`.
    Raises:
      InputError: when the settings and the image do not fit together.

    >>> import jax, jax.numpy as jnp
    >>> from memgen_jax import unet
    >>> model = unet((8, 8, 1), width=16, multipliers=(1, 2), num_blocks=1, attention_sides=())
    >>> params = model.init_fn(jax.random.key(0))
    >>> model.apply_fn(params, jnp.zeros((8, 8, 1)), jnp.float32(10)).shape
    (8, 8, 1)
    """
    if len(item_shape) != 3:
        raise InputError(
            f"the U-Net needs images (height, width, channel), not items of shape {item_shape}: "
            "use the MLP for vectors."
        )
    if not multipliers or min(multipliers) < 1:
        raise InputError.setting("model.multipliers", tuple(multipliers), "at least one, and all positive")
    if num_blocks < 1:
        raise InputError.setting("model.num_blocks", num_blocks, "at least 1")
    halved = 2 ** (len(multipliers) - 1)
    if item_shape[0] % halved or item_shape[1] % halved:
        raise InputError(
            f"images of {item_shape[0]}×{item_shape[1]} cannot be halved {len(multipliers) - 1} times "
            f"as multipliers {tuple(multipliers)} ask: use fewer levels or sides divisible by {halved}."
        )
    if width < 4 or width % 2:
        raise InputError.setting("model.width", width, "an even number from 4 on")
    groups = math.gcd(32, width) if groups is None else groups
    if groups < 1 or width % groups:
        allowed = f"a divisor of model.width={width}, or left out for {math.gcd(32, width)}"
        raise InputError.setting("model.groups", groups, allowed)
    if not 0 <= dropout < 1:
        raise InputError.setting("model.dropout", dropout, "in [0, 1)")
    if not nin_scale > 0:
        raise InputError.setting("model.nin_scale", nin_scale, "positive")
    if dtype not in ("float32", "bfloat16"):
        raise InputError.setting("model.dtype", dtype, "one of float32, bfloat16")
    module = UNet(width, tuple(multipliers), num_blocks, tuple(attention_sides), dropout, groups, dtype)
    scales = dict.fromkeys(NIN, nin_scale)
    return from_module(module, tuple(item_shape), convolutional=True, quick=True, scales=scales)


def _norm(
    x: Float[Array, "height width channel"], groups: int, name: str
) -> Float[Array, "height width channel"]:
    """GroupNorm, computed in float32 whatever the activations are."""
    # The axes are given because an item has no batch axis for GroupNorm to leave out.
    norm = nn.GroupNorm(groups, epsilon=1e-6, reduction_axes=(-3, -2, -1), name=name)
    return norm(x.astype(jnp.float32)).astype(x.dtype)


def _dense(channels: int, dtype: str, name: str, kernel_init=KERNEL_INIT) -> nn.Dense:
    return nn.Dense(channels, dtype=dtype, kernel_init=kernel_init, name=name)


def _conv(channels: int, dtype: str, name: str, kernel_init=KERNEL_INIT, strides: int = 1) -> nn.Conv:
    return nn.Conv(channels, (3, 3), strides=strides, dtype=dtype, kernel_init=kernel_init, name=name)
