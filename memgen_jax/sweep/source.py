"""What synthetic sets are drawn from, and how."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import Denoiser, Process, Step, clipped, denoiser_from_network
from memgen_jax.memory import exact_denoiser
from memgen_jax.models import Model
from memgen_jax.sweep.blocks import load_ema
from memgen_jax.sweep.members import Member
from memgen_jax.sweep.settings import SweepTrainSettings

PyTree = Any


class Source(NamedTuple):
    """Where members' samples come from.

    Attributes:
      params_of: loads what `denoiser_of` needs for one member: NumPy or JAX arrays of the same shapes for every
        member; called when the member's first samples are due.
      denoiser_of: (these, `shared`) -> the denoiser, inside the compiled program.
      shared: arrays that are the same for all members; arguments of the program, on every device once.
    """

    params_of: Callable[[Member], PyTree]
    denoiser_of: Callable[[PyTree, PyTree], Denoiser]
    shared: PyTree = None


@takes_arrays
@dataclasses.dataclass(frozen=True)
class Sampler:
    """How samples are drawn, whatever they are drawn from.

    Attributes:
      process, step, num_steps, spacing: see `diffusion.sample`.
      item_shape: of one sample.
      images: whether items are images, to be kept as uint8.
      clip: clip the predicted clean image to [-1, 1].
      chunk_size: samples that one device draws at once. Changes rounding, hence single samples, only.
      steps_per_call: sampler steps in one compiled call.
    """

    process: Process
    step: Step
    num_steps: int
    item_shape: tuple[int, ...]
    images: bool
    spacing: str = "uniform"
    clip: bool = False
    chunk_size: int = 256
    steps_per_call: int = 1

    def denoiser(self, denoiser: Denoiser) -> Denoiser:
        """The denoiser as the sampler uses it."""
        return clipped(denoiser) if self.clip else denoiser


@takes_arrays
def network_source(
    model: Model, process: Process, settings: SweepTrainSettings, checkpoints: epath.PathLike
) -> Source:
    """The trained networks of one architecture, by their averaged parameters.

    Args:
      checkpoints: the folder that `train_members` filled.
    """

    def denoiser_of(params: PyTree, _) -> Denoiser:
        return denoiser_from_network(lambda x, t: model.apply_fn(params, x, t), process, settings.prediction)

    return Source(lambda member: load_ema(member, model, settings, checkpoints), denoiser_of)


@takes_arrays
def exact_source(
    patterns: np.ndarray, process: Process, order_of: Callable[[Member], np.ndarray] | None = None
) -> Source:
    """The exact score of each member's training set: a perfect memorizer.

    Args:
      patterns: the training items, decoded, in the sweep's order.
      order_of: a member's own order of them, which costs a copy of the items in memory; None where all have this one.
    """
    if order_of is not None:
        return Source(
            lambda member: (np.int32(member.num_train), order_of(member).astype(np.int32)),
            lambda own, patterns: exact_denoiser(_rows(patterns)[own[1]], process, num_valid=own[0]),
            patterns,
        )
    return Source(
        lambda member: np.int32(member.num_train),
        lambda num_train, patterns: exact_denoiser(jnp.asarray(patterns), process, num_valid=num_train),
        patterns,
    )


def _rows(patterns: np.ndarray | Array) -> Array:
    """Items as flat rows: to put images of three channels in order a TPU makes copies of several times their size."""
    return jnp.asarray(patterns).reshape(len(patterns), -1)
