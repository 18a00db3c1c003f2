"""The encoder of an audit, from its file; and the vectors that it made of a set, kept for the next audit."""

import contextlib
import functools
import hashlib
import os
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from memgen_jax import bridges, metrics
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import expanded
from memgen_jax.mapped import let_go

AT_ONCE = 16  # pictures: at 288 pixels a side a ResNet-50 takes some 30 MB for each
TORCHSCRIPT = (".pt", ".pth", ".ts", ".torchscript", ".jit")


def open_encoder(file: str, batch: int, memory: int | None = None) -> metrics.Encoder:
    """The encoder of an .onnx file or of a TorchScript one; see `metrics.Encoder` for `batch` and `memory`.

    Raises:
      InputError: there is no such file, it is of another kind, or its package is missing.
    """
    path = expanded(file)
    if not path.is_file():
        raise InputError(
            f"{FIELD[0]} {file}: there is no such file; give an .onnx or a TorchScript .pt", "encoder"
        )
    network = _network(path, path.stat().st_mtime_ns)
    return metrics.Encoder(path.name, network, min(batch, AT_ONCE), memory)


@functools.lru_cache(maxsize=1)
def _network(path: Path, changed: int) -> metrics.Network:
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return metrics.load_onnx(path)
    if suffix in TORCHSCRIPT:
        return bridges.load_torchscript(path)
    raise InputError(
        f"{FIELD[0]} {path} is neither an .onnx file nor a TorchScript one ({', '.join(TORCHSCRIPT)})",
        "encoder",
    )


def vectors_of_set(
    metric: metrics.Metric, encoder: str | None, items: Shaped[np.ndarray, "item ..."], progress: str
) -> Shaped[np.ndarray, "item dim"]:
    """The items as the metric compares them; an encoder's vectors are kept in the cache folder.

    They are found again by the contents of the encoder's file and of the set, whatever these are called.

    Args:
      encoder: the file, where the metric is one.
    """
    if encoder is None:
        return metric.vectors(items, progress)
    place = metrics.cache_folder() / "embeddings" / f"{_digest(encoder, items)}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):
        kept = np.load(place, mmap_mode="r", allow_pickle=False)
        if len(kept) == len(items):
            return kept
    made = metric.vectors(items, progress)
    with contextlib.suppress(OSError):  # then they are made anew next time
        _keep(place, made)
    return made


def _keep(place: Path, vectors: np.ndarray) -> None:
    """Writes an array whole or not at all, without a second copy in memory."""
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            np.save(stream, vectors)
        temporary.replace(place)
    finally:
        temporary.unlink(missing_ok=True)


def _digest(encoder: str, items: np.ndarray) -> str:
    digest = hashlib.blake2b(digest_size=20)
    with open(os.path.expanduser(encoder), "rb") as file:
        while piece := file.read(2**22):
            digest.update(piece)
    digest.update(str(items.shape).encode())
    step = max(1, 2**24 // items[:1].nbytes)
    for start in range(0, len(items), step):
        digest.update(np.ascontiguousarray(items[start : start + step]).data)
        let_go(items)
    return digest.hexdigest()
