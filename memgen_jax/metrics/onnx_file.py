"""Networks stored as ONNX, run by onnxruntime, an optional package."""

import os
from typing import Any

import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import FIELD, InputError
from memgen_jax.metrics.encoder import USUAL_SIDE, EncoderInput, Network, Pictures

DTYPES = {"tensor(uint8)": "uint8", "tensor(float)": "float32", "tensor(float16)": "float16"}


@takes_arrays
def load_onnx(path: str | os.PathLike) -> Network:
    """The network of an .onnx file, on the CPU; how it takes pictures its graph says.

    Its one input has four axes, with 3 channels (or 1) last or first. Pictures of bytes are given as they are, and
    floats as `EncoderInput` says; a graph of a fixed size gets that. Of its outputs the first [image, dim] counts.

    Raises:
      InputError: onnxruntime is missing, the file is none of its networks, or its input is no picture.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"{FIELD[0]} {path} needs the package onnxruntime: pip install onnxruntime", "encoder"
        ) from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it says, its exceptions say
    try:
        session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise InputError(f"{FIELD[0]} {path} is no ONNX network ({_reason(error)})", "encoder") from error
    inputs = session.get_inputs()
    if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in DTYPES:
        told = ", ".join(f"{one.name}: {one.type} {one.shape}" for one in inputs)
        raise InputError(
            f"{FIELD[0]} {path} takes {told or 'nothing'}; one input of pictures is wanted, uint8 or float, [image, "
            "height, width, 3] or [image, 3, height, width]",
            "encoder",
        )
    taken = _input_of(inputs[0], path)
    (output,) = [one.name for one in session.get_outputs() if len(one.shape) == 2][:1] or [None]
    if output is None:
        told = ", ".join(f"{one.name}: {one.shape}" for one in session.get_outputs())
        raise InputError(
            f"{FIELD[0]} {path} makes {told}; one vector an image is wanted, [image, dim]", "encoder"
        )
    at_once = inputs[0].shape[0]

    def network(pictures: Pictures) -> np.ndarray:
        given = taken.of(pictures)
        step = at_once if isinstance(at_once, int) else len(given)
        parts = []
        for start in range(0, len(given), step):
            part = given[start : start + step]
            whole = np.concatenate([part, np.repeat(part[:1], step - len(part), axis=0)])
            try:
                (made,) = session.run([output], {inputs[0].name: whole})
            except Exception as error:
                raise InputError(
                    f"{FIELD[0]} {path} fails on images {'×'.join(map(str, pictures.shape[1:]))} ({_reason(error)})",
                    "encoder",
                ) from error
            parts.append(made[: len(part)])
        return np.concatenate(parts)

    return network


def _input_of(declared: Any, path: str | os.PathLike) -> EncoderInput:
    """How the graph takes pictures: the axis of 1 or 3 says where channels stand, last where both could be."""
    shape, dtype = declared.shape, DTYPES[declared.type]
    last = shape[3] in (1, 3)
    if not last and shape[1] not in (1, 3):
        raise InputError(
            f"{FIELD[0]} {path} takes {shape}, in which no axis is that of 1 or 3 channels", "encoder"
        )
    sides = shape[1:3] if last else shape[2:4]
    fixed = all(isinstance(side, int) for side in sides)
    usual = None if dtype == "uint8" else USUAL_SIDE
    return EncoderInput(
        dtype, "nhwc" if last else "nchw", tuple(sides) if fixed else usual, shape[3] if last else shape[1]
    )


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:200] or type(error).__name__
