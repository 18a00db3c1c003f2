"""The distance files that the authors of Pham et al. 2025 released, one K.npz per training-set size."""

import os
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from memgen_jax.arrays_in import require_distances, takes_arrays
from memgen_jax.data.numpy_files import NumpyFile
from memgen_jax.errors import InputError
from memgen_jax.files import expanded

# their arrays -> ours
NAMES = {
    "data-dists": "train_distance",
    "data-indices": "train_index",
    "synth-dists": "synthetic_distance",
    "synth-indices": "synthetic_index",
}


class ReleasedDistances(NamedTuple):
    """The nearest neighbours of each sample of one network, nearest first.

    Attributes:
      num_train: K, from the file's name; None where that has no number.
      train_distance, train_index: to the training items, places in S.
      synthetic_distance, synthetic_index: to the other samples, places in S'.
    """

    num_train: int | None
    train_distance: Float[np.ndarray, "sample neighbor"]
    train_index: Int[np.ndarray, "sample neighbor"]
    synthetic_distance: Float[np.ndarray, "sample other"]
    synthetic_index: Int[np.ndarray, "sample other"]


@takes_arrays
def read_distances(path: str | os.PathLike) -> ReleasedDistances:
    """Reads one distance file; objects that are pickled in it, such as `args`, are left alone.

    LPIPS stands there as the squared distance that it is, to label with `phases.classify`. What the released code
    calls L2 is 1 / (distance + 1e-8), and its first neighbours are the farthest: labels need the samples themselves.

    Raises:
      InputError: the file lacks one of the four arrays, they do not fit together, or one holds what is no distance.
    """
    path = expanded(path)
    stored = NumpyFile(path)
    missing = [name for name in NAMES if name not in stored.headers]
    if missing:
        objects = f", and {', '.join(stored.objects)} as Python objects" if stored.objects else ""
        raise InputError(
            f"{path} is no distance file of the released code: it lacks {', '.join(missing)} and holds "
            f"{', '.join(stored.headers)}{objects}."
        )
    found = {ours: np.array(stored.array(theirs)) for theirs, ours in NAMES.items()}
    shapes = {theirs: found[ours].shape for theirs, ours in NAMES.items()}
    kinds = "".join(found[ours].dtype.kind for ours in NAMES.values())
    if (
        kinds.replace("u", "i") != "fifi"
        or any(len(shape) != 2 for shape in shapes.values())
        or len({shape[0] for shape in shapes.values()}) != 1
        or shapes["data-dists"] != shapes["data-indices"]
        or shapes["synth-dists"] != shapes["synth-indices"]
    ):
        said = ", ".join(f"{name} {found[NAMES[name]].dtype}{list(shape)}" for name, shape in shapes.items())
        raise InputError(
            f"{path}: its arrays do not fit together, distances and places of the same neighbours for the same "
            f"samples ({said})."
        )
    number = re.search(r"(\d+)$", path.stem)
    num_train = int(number[1]) if number else None
    for name, bound in (("train_index", num_train), ("synthetic_index", shapes["synth-dists"][0])):
        places = found[name]
        if places.size and (places.min() < 0 or (bound is not None and places.max() >= bound)):
            what = "training items" if name == "train_index" else "samples"
            raise InputError(f"{path}: it names {what} {places.min()} to {places.max()}, of {bound}.")
        found[name] = places.astype(np.int64)
    for name in ("train_distance", "synthetic_distance"):
        try:
            require_distances(infinite=False, **{name: found[name]})
        except InputError as error:
            raise InputError(f"{path}: its {error}") from None
    return ReleasedDistances(num_train, **found)
