"""A picture for every copy: the sample, and beside it the training item that it repeats."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from memgen_jax import phases
from memgen_jax.audit.concluding import Result
from memgen_jax.audit.folder import PAIR
from memgen_jax.files import write_whole

LEAST_SIDE = 128  # smaller pictures are enlarged by a whole factor
GAP = 8


def save_pairs(
    folder: Path,
    result: Result,
    train: UInt8[np.ndarray, "train height width channel"],
    samples: UInt8[np.ndarray, "sample height width channel"],
) -> int:
    """Writes pair-00000.png, … in the order of the samples, and takes away those of an earlier audit.

    The number is the sample's row of labels.csv, counted from 0. Left the sample, right the training item.

    Returns:
      How many were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(PAIR):
        old.unlink()
    copies = np.flatnonzero(result.labels == phases.MEMORIZED)
    digits = max(5, len(str(len(result.labels))))
    for row in copies.tolist():
        original = train[result.distances.train_index[row, 0]]
        write_whole(folder / f"pair-{row:0{digits}d}.png", _png(samples[row], original))
    return len(copies)


def _png(left: np.ndarray, right: np.ndarray) -> bytes:
    factor = max(1, -(-LEAST_SIDE // max(left.shape[:2])))
    both = [np.repeat(np.repeat(image, factor, axis=0), factor, axis=1) for image in (left, right)]
    gap = np.full((both[0].shape[0], GAP, left.shape[2]), 255, np.uint8)
    pixels = np.concatenate([both[0], gap, both[1]], axis=1)
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(stream, "PNG")
    return stream.getvalue()
