"""A residual multilayer perceptron for vectors and small images, one item at a time."""

import math

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.models.embeddings import gaussian_fourier, sinusoidal
from memgen_jax.models.model import KERNEL_INIT, ZEROS, Model, from_module
from memgen_jax.shapes import Scalar

TIME_FEATURES = ("sinusoidal", "fourier", "log_fourier")


class MLP(nn.Module):
    """Flattens the item, adds residual blocks of width `width`, and gives back the item's shape.

    Attributes:
      width: hidden units.
      num_blocks: residual blocks h + Dense(swish(Dense(swish(h)))).
      time_features: "sinusoidal" for t in 0..1000; "fourier" (Gaussian Fourier features of t, scale
        16) for t in [0, 1]; "log_fourier" (of log t, scale 0.2) for t in [1e-5, 1] where the
        smallest times matter as much as the largest.
      num_features: number of time features.
      time_in_blocks: True passes the features through two layers into every block, as the U-Net
        does; False only concatenates them with the item (Pham et al. 2025, App. B).
    """

    width: int = 256
    num_blocks: int = 3
    time_features: str = "sinusoidal"
    num_features: int = 64
    time_in_blocks: bool = True

    @nn.compact
    def __call__(self, x: Float[Array, "*item"], t: Scalar, train: bool = False) -> Float[Array, "*item"]:
        time = self._embed(t)
        h = x.reshape(-1)
        if self.time_in_blocks:
            time = nn.Dense(self.width, kernel_init=KERNEL_INIT, name="time_0")(time)
            time = nn.Dense(self.width, kernel_init=KERNEL_INIT, name="time_1")(nn.swish(time))
        else:
            h = jnp.concatenate([h, time])
        h = nn.Dense(self.width, kernel_init=KERNEL_INIT, name="input")(h)
        for i in range(self.num_blocks):
            update = nn.Dense(self.width, kernel_init=KERNEL_INIT, name=f"block_{i}_in")(nn.swish(h))
            if self.time_in_blocks:
                update += nn.Dense(self.width, kernel_init=KERNEL_INIT, name=f"block_{i}_time")(
                    nn.swish(time)
                )
            h += nn.Dense(self.width, kernel_init=ZEROS, name=f"block_{i}_output")(nn.swish(update))
        h = nn.Dense(x.size, kernel_init=ZEROS, name="output")(nn.swish(h))
        return h.reshape(x.shape)

    def _embed(self, t: Scalar) -> Float[Array, " features"]:
        if self.time_features == "sinusoidal":
            return sinusoidal(t, self.num_features)
        if self.time_features == "fourier":
            return gaussian_fourier(t, self.num_features, scale=16.0)
        return gaussian_fourier(jnp.log(t), self.num_features, scale=0.2)


@takes_arrays
def mlp(
    item_shape: tuple[int, ...],
    width: int = 256,
    num_blocks: int = 3,
    time_features: str = "sinusoidal",
    num_features: int = 64,
    time_in_blocks: bool = True,
) -> Model:
    """An `MLP` for items of one shape: 0.71M parameters for 64 pixels with the defaults.

    The circle's network (Pham et al. 2025, App. B) is `mlp((2,), width=256, num_blocks=8,
    time_features="fourier", time_in_blocks=False)`.

    Raises:
      InputError: for sizes below one or time features that do not exist.

    >>> import jax, jax.numpy as jnp
    >>> from memgen_jax import mlp
    >>> model = mlp((2,), width=32, num_blocks=2)
    >>> model.apply_fn(model.init_fn(jax.random.key(0)), jnp.zeros(2), jnp.float32(10)).shape
    (2,)
    """
    for name, value, least in (
        ("width", width, 1),
        ("num_blocks", num_blocks, 0),
        ("num_features", num_features, 1),
    ):
        if value < least:
            raise InputError.setting(f"model.{name}", value, f"at least {least}")
    if math.prod(item_shape) < 1:
        raise InputError(f"an MLP cannot be built on items of shape {item_shape}: they hold no numbers.")
    if time_features not in TIME_FEATURES:
        raise InputError.setting("model.time_features", time_features, f"one of {', '.join(TIME_FEATURES)}")
    module = MLP(width, num_blocks, time_features, num_features, time_in_blocks)
    return from_module(module, item_shape, convolutional=False, quick=True)
