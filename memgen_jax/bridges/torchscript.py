"""Networks saved as TorchScript, such as SSCD's released ones, as functions from pictures to vectors; needs PyTorch."""

import contextlib
import os
from typing import Any

import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import FIELD, InputError
from memgen_jax.metrics.encoder import USUAL_SIDE, EncoderInput, Network, Pictures

# A TorchScript file does not say how it takes pictures, so these are tried; the first that gives vectors counts. One
# of floats refuses bytes, and one that takes bytes converts them itself, so bytes come first.
SIDES = (USUAL_SIDE, 224, 256, 336, 384, 518)
TRIED = (
    *(EncoderInput("uint8", layout, side) for side in (None, *SIDES) for layout in ("nchw", "nhwc")),  # type: ignore[arg-type]
    *(EncoderInput("float32", "nchw", side) for side in SIDES),
)


@takes_arrays
def load_torchscript(path: str | os.PathLike) -> Network:
    """The network of a file that `torch.jit.save` wrote, on the CPU.

    How it takes pictures is found out on two pictures of noise, see `TRIED`: as bytes in their own size, as bytes of a
    usual size, or as floats normalised like ImageNet's, the shorter side 288 (SSCD's) or another usual one.

    Raises:
      InputError: PyTorch is missing, or the file is no TorchScript.
    """
    try:
        import torch
    except ImportError as error:
        raise InputError(f"{FIELD[0]} {path} needs PyTorch: pip install torch==2.13.0", "encoder") from error
    try:
        module = torch.jit.load(os.fspath(path), map_location="cpu").eval()
    except (RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"{FIELD[0]} {path} is no TorchScript: save the network, not its weights alone, with "
            "torch.jit.script(network).save(FILE)",
            "encoder",
        ) from error
    found: dict[tuple[int, ...], EncoderInput] = {}

    def network(pictures: Pictures) -> np.ndarray:
        shape = pictures.shape[1:]
        if shape not in found:
            found[shape] = _taken(module, shape, path)
        return _vectors(module, found[shape].of(pictures))

    return network


def _taken(module: Any, shape: tuple[int, ...], path: str | os.PathLike) -> EncoderInput:
    """The first way in which the network makes vectors of pictures of a shape, as long for others of that way."""
    noise = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    said = ""
    for way in TRIED:
        try:
            made = _vectors(module, way.of(noise))
        except Exception as error:  # whatever a network says of what it does not take
            said = (str(error).strip().splitlines() or [type(error).__name__])[-1][:160]
            continue
        if (
            made.ndim == 2
            and len(made) == 2
            and made.shape[1] > 1
            and _keeps_length(module, way, noise, made)
        ):
            return way
        said = f"it makes an array {made.shape} of two"
    raise InputError(
        f"{FIELD[0]} {path} makes no vectors of images {'×'.join(map(str, shape))}, neither given as bytes nor as "
        f"floats normalised like ImageNet's ({said})",
        "encoder",
    )


def _keeps_length(module: Any, way: EncoderInput, noise: Pictures, made: np.ndarray) -> bool:
    """Whether larger pictures get vectors as long: else an axis of the picture was taken for one of the vector."""
    if way.side is not None:
        return True
    larger = np.tile(noise, (1, 2, 3, 1))
    with contextlib.suppress(Exception):  # it takes pictures of one size alone
        return _vectors(module, way.of(larger)).shape[1:] == made.shape[1:]
    return True


def _vectors(module: Any, given: np.ndarray) -> np.ndarray:
    import torch

    with torch.inference_mode():
        made = module(
            torch.from_numpy(np.require(given, requirements="W"))
        )  # torch warns of what is read-only
    made = made[0] if isinstance(made, tuple | list) and made else made
    if not isinstance(made, torch.Tensor):
        raise ValueError(f"it makes a {type(made).__name__}")
    return made.float().numpy()
