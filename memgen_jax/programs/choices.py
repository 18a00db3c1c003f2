"""What a config chooses by name: the data, the network, the process; each with the settings of that name alone.

A network, process or data set of one's own is FILE.py:FUNCTION, see `own_code`. To add one to the project: a class here
with its own `name`, and one more in the union below it.
"""

import dataclasses
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax import data, diffusion, models
from memgen_jax.arrays_in import as_array
from memgen_jax.errors import FIELD, InputError
from memgen_jax.programs.own_code import OwnCode, settings_of_function
from memgen_jax.user_code import reason_of


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
      layout: "nhwc" or "nchw", of arrays in which the channels may be first or last.
      scale: "spread" centres vectors and divides them by their standard deviation, one number for all coordinates.
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
    layout: str | None = None
    scale: str = ""
    order: str = "numpy"

    def __post_init__(self):
        if self.order not in data.ORDERS:
            raise InputError.setting("data.order", self.order, f"one of {', '.join(data.ORDERS)}")
        if self.order == "torch" and self.name.startswith("tfds:"):
            raise InputError(
                f"data.order=torch counts items as the original files have them, and {self.name} has them in another "
                "order: give the original files, as idx:FOLDER (MNIST, Fashion-MNIST) or cifar:FOLDER."
            )

    @property
    def reading(self) -> dict:
        """What counts for other items of the same kind too: options of `data.read`."""
        names = ("data_dir", "size", "channels", "skip_bad", "value_range")
        return {name: getattr(self, name) for name in names}

    def load(self) -> data.Dataset:
        given = {f.name: getattr(self, f.name) for f in dataclasses.fields(DataSettings)}
        del given["order"]
        try:
            return self._read(given)
        except InputError as error:
            raise error if error.field.startswith("data.") else error.within("data") from None

    def _read(self, given: dict) -> data.Dataset:
        return data.load(**given)


@dataclasses.dataclass(frozen=True)
class OwnDataSettings(OwnCode, DataSettings):
    """A data set that FUNCTION() of a user's file makes: the items, or a pair (items, held-out items), as arrays.

    What an array may be, `data.read_array` says, and `arrays_in.as_array` what may stand for one; the settings of
    stored data apply.
    """

    code: str = ""

    @classmethod
    def for_function(cls, name: str) -> type["OwnDataSettings"]:
        return settings_of_function(cls, name, 0, "data.name")

    def __post_init__(self):
        super().__post_init__()
        self.check_code()

    def _read(self, given: dict) -> data.Dataset:
        wanted = "an array of items, or a pair of arrays: items, and held-out items"
        made = self.make((object,), wanted)
        if isinstance(made, data.Dataset):
            return made
        is_pair = isinstance(made, list) and len(made) == 2 and all(np.ndim(part) > 1 for part in made)
        parts = tuple(made) if isinstance(made, tuple) or is_pair else (made,)
        try:
            arrays = tuple(as_array(f"what {self.name} gives", part) for part in parts)
        except InputError as error:
            raise InputError(f"{FIELD[0]} must give {wanted}, and {error}.", self.setting) from None
        if not 1 <= len(arrays) <= 2:
            raise InputError(f"{FIELD[0]} must give {wanted}.", self.setting)
        return data.load(**given, arrays=arrays)


AnyDataSettings = DataSettings | OwnDataSettings


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
    nin_scale: float = 1.0
    dtype: str = "float32"

    def build(self, item_shape: tuple[int, ...]) -> models.Model:
        return models.unet(item_shape, **_arguments(self))


@dataclasses.dataclass(frozen=True)
class ExactSettings:
    """The exact score of the training set in place of a network."""

    name: str = "exact"


@dataclasses.dataclass(frozen=True)
class OwnModelSettings(OwnCode):
    """A network that FUNCTION(item_shape) of a user's file makes: a Flax module, or a `models.Model`."""

    name: str = ""
    code: str = ""

    @classmethod
    def for_function(cls, name: str) -> type["OwnModelSettings"]:
        return settings_of_function(cls, name, 1, "model.name")

    def __post_init__(self):
        self.check_code()

    def build(self, item_shape: tuple[int, ...]) -> models.Model:
        wanted = "a Flax (linen) module or a memgen_jax.models.Model"
        made = self.make((nn.Module, models.Model), wanted, item_shape)
        model = models.from_module(made, item_shape) if isinstance(made, nn.Module) else made
        self._check_shapes(model, item_shape)
        return model

    def _check_shapes(self, model: models.Model, item_shape: tuple[int, ...]) -> None:
        x, t = jax.ShapeDtypeStruct(item_shape, jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
        try:
            params = jax.eval_shape(model.init_fn, jax.random.key(0))
            output = jax.eval_shape(model.apply_fn, params, x, t)
        except InputError:
            raise
        except Exception as error:
            raise InputError(
                f"the network of {FIELD[0]}={self.name} does not take one item of shape {item_shape} and a scalar time "
                f"({reason_of(error)}).",
                self.setting,
            ) from error
        if output.shape != tuple(item_shape):
            raise InputError(
                f"the network of {FIELD[0]}={self.name} makes {output.shape} of an item of shape {item_shape}: it "
                "must keep the shape.",
                self.setting,
            )
        if not jnp.issubdtype(output.dtype, jnp.floating):
            raise InputError(
                f"the network of {FIELD[0]}={self.name} makes {output.dtype} of an item: it must make floats.",
                self.setting,
            )
        kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(params)}
        if not kinds:
            raise InputError(
                f"the network of {FIELD[0]}={self.name} has no parameters: there is nothing to train.",
                self.setting,
            )
        if kinds - {"float32"}:
            raise InputError(
                f"the network of {FIELD[0]}={self.name} has parameters of type {', '.join(sorted(kinds))}: all must be "
                "float32.",
                self.setting,
            )


ModelSettings = MLPSettings | UNetSettings | ExactSettings | OwnModelSettings


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


@dataclasses.dataclass(frozen=True)
class OwnProcessSettings(OwnCode):
    """A process that FUNCTION() of a user's file makes, a `diffusion.Process`."""

    name: str = ""
    code: str = ""

    @classmethod
    def for_function(cls, name: str) -> type["OwnProcessSettings"]:
        return settings_of_function(cls, name, 0, "process.name")

    def __post_init__(self):
        self.check_code()

    def build(self) -> diffusion.Process:
        return self.make((diffusion.Process,), "a memgen_jax.diffusion.Process")


ProcessSettings = DDPMSettings | VESettings | OUSettings | OwnProcessSettings


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
        if not any(field.name == "width" for field in dataclasses.fields(settings)):
            raise InputError(
                f"widths are those of a network, and {settings.name} has no argument width.", "widths"
            )
        settings = dataclasses.replace(settings, width=width)  # type: ignore[arg-type]
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
