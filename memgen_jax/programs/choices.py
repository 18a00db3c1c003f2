"""What a config chooses by name: the data, the network, the process; each with the settings of that name alone.

To add a network or a process: a class here with its own `name`, and one more in the union below it.
"""

import dataclasses
import math

import jax.numpy as jnp

from memgen_jax import data, diffusion, models
from memgen_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class DataSettings:
    """A data set; see `data.load`.

    Attributes:
      name: "digits", "circle", "gaussian_pixels"; or a folder of images, an .npz or .npy file, "tfds:NAME",
        "idx:FOLDER".
      data_dir: where tensorflow-datasets has prepared its sets.
      size: crop and resize all images to one square.
      channels: 1 makes all images grey, 3 RGB.
      num_held_out: items to set aside where a source has none of its own.
      skip_bad: leave out unreadable images and count them.
      value_range: of float images, "0,1", "-1,1" or "0,255", where it cannot be told from the values.
      order: of which every training set is a prefix: "numpy" (ours), "torch" (that of the networks which the paper's
        authors released: `torch.randperm` with seed 3407) or "given" (the items as they are stored).
    """

    name: str
    data_dir: str | None = None
    size: int | None = None
    channels: int | None = None
    num_held_out: int = 0
    skip_bad: bool = False
    value_range: str | None = None
    order: str = "numpy"

    def __post_init__(self):
        if self.order not in data.ORDERS:
            raise InputError.setting("data.order", self.order, f"one of {', '.join(data.ORDERS)}")
        if self.order == "torch" and self.name.startswith("tfds:"):
            raise InputError(
                f"data.order=torch counts items as the original files have them, and {self.name} has them in another "
                "order: give the original files, as idx:FOLDER (MNIST, Fashion-MNIST) or cifar:FOLDER."
            )

    def load(self) -> data.Dataset:
        given = dataclasses.asdict(self)
        del given["order"]
        try:
            return data.load(**given)
        except InputError as error:
            raise error.within("data") from None


@dataclasses.dataclass(frozen=True)
class MLPSettings:
    """See `models.mlp`."""

    name: str = "mlp"
    width: int = 256
    num_blocks: int = 3
    time_features: str = "sinusoidal"
    num_features: int = 64
    time_in_blocks: bool = True

    def build(self, item_shape: tuple[int, ...]) -> models.Model:
        return models.mlp(item_shape, **_arguments(self))


@dataclasses.dataclass(frozen=True)
class UNetSettings:
    """See `models.unet`."""

    name: str = "unet"
    width: int = 128
    multipliers: tuple = (1, 2, 2, 2)
    num_blocks: int = 2
    attention_sides: tuple = (16,)
    dropout: float = 0.0
    groups: int | None = None
    dtype: str = "float32"

    def build(self, item_shape: tuple[int, ...]) -> models.Model:
        return models.unet(item_shape, **_arguments(self))


@dataclasses.dataclass(frozen=True)
class ExactSettings:
    """The exact score of the training set in place of a network."""

    name: str = "exact"


ModelSettings = MLPSettings | UNetSettings | ExactSettings


@dataclasses.dataclass(frozen=True)
class DDPMSettings:
    """See `diffusion.DDPM`."""

    name: str = "ddpm"
    num_steps: int = 1000
    beta_first: float = 1e-4
    beta_last: float = 2e-2

    def build(self) -> diffusion.Process:
        return diffusion.DDPM(**_arguments(self))


@dataclasses.dataclass(frozen=True)
class VESettings:
    """See `diffusion.VE`."""

    name: str = "ve"
    sigma: float = 1.0
    t_min: float = 1e-5
    t_max: float = 1.0

    def build(self) -> diffusion.Process:
        return diffusion.VE(**_arguments(self))


@dataclasses.dataclass(frozen=True)
class OUSettings:
    """See `diffusion.OU`."""

    name: str = "ou"
    t_min: float = 1e-4
    t_max: float = 5.0

    def build(self) -> diffusion.Process:
        return diffusion.OU(**_arguments(self))


ProcessSettings = DDPMSettings | VESettings | OUSettings


def network_on(
    process: diffusion.Process, settings: ModelSettings, item_shape: tuple[int, ...], width: int | None = None
) -> models.Model | None:
    """The network as it looks at a process, see `on_process`; None for the exact score.

    Args:
      width: in place of the settings' own.
    """
    if isinstance(settings, ExactSettings):
        return None
    if width is not None:
        settings = dataclasses.replace(settings, width=width)
    raw_time = isinstance(settings, MLPSettings) and settings.time_features in ("fourier", "log_fourier")
    return on_process(settings.build(item_shape), process, raw_time=raw_time)


def on_process(model: models.Model, process: diffusion.Process, *, raw_time: bool = False) -> models.Model:
    """The network as it looks at a process in continuous time; nothing changes for DDPM.

    Networks embed a time from 0 to 1000, as the DDPM schedule counts. Of VE and OU they are shown log t spread
    over that range (or t itself with `raw_time`), and x_t over sqrt(m^2 + s^2), which is of the clean items' size.
    """
    if isinstance(process, diffusion.DDPM):
        return model
    low, high = math.log(process.t_min), math.log(process.t_max)

    def apply_fn(params, x, t, dropout_key=None):
        size = jnp.sqrt(process.mean_coefficient(t) ** 2 + process.std(t) ** 2)
        time = t if raw_time else 1000.0 * (jnp.log(t) - low) / (high - low)
        return model.apply_fn(params, x / size, time, dropout_key)

    return model._replace(apply_fn=apply_fn)


def _arguments(settings) -> dict:
    return {name: value for name, value in dataclasses.asdict(settings).items() if name != "name"}
