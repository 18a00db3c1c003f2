"""Files of `torch.save`, read without PyTorch and without running what they ask for.

Such a file is a zip: a pickle that says what there is, and one stored block of numbers per tensor. A pickle may name
any function to be called; here only those that build a tensor are known, and every other name becomes an inert
record of what it was given. Nothing is imported. Tensors stay in the file until they are asked for.
"""

import collections
import io
import math
import os
import pickle
import pickletools
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np

from memgen_jax.errors import InputError
from memgen_jax.files import expanded

DTYPES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "BFloat16Storage": np.dtype(ml_dtypes.bfloat16),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("i1"),
    "ByteStorage": np.dtype("u1"),
    "BoolStorage": np.dtype("?"),
}
_MOST_PICKLE = 2**24  # bytes of the description, which has a few hundred a tensor
_MOST_PARTS = 100_000  # of what is described beside the tensors, and how deep one may lie in others
_DEEPEST = 100


class Storage(NamedTuple):
    """One block of numbers in the zip."""

    path: Path
    member: str
    dtype: np.dtype
    length: int


class Tensor(NamedTuple):
    """A tensor that is still in its file; `array` reads it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def array(self) -> np.ndarray:
        """The numbers, in the tensor's shape.

        Raises:
          InputError: the block is missing, of another length than the file says, or too short for the shape.
        """
        storage = self.storage
        last = self.offset + sum((n - 1) * s for n, s in zip(self.shape, self.strides, strict=True))
        empty = 0 in self.shape
        beyond = not empty and max(last + 1, math.prod(self.shape)) > storage.length
        if min((self.offset, *self.shape, *self.strides)) < 0 or beyond:
            raise InputError(
                f"{storage.path} is damaged: a tensor reaches beyond its block {storage.member}."
            )
        try:
            with zipfile.ZipFile(storage.path) as file:
                info = file.getinfo(storage.member)
                if info.file_size != storage.length * storage.dtype.itemsize:
                    raise InputError(
                        f"{storage.path} is damaged: block {storage.member} has {info.file_size:,} bytes, and "
                        f"{storage.length * storage.dtype.itemsize:,} are described."
                    )
                block = np.frombuffer(_stored(file, info), storage.dtype)
        except InputError:
            raise
        except Exception as error:  # zipfile lets through whatever damage leads it to
            raise InputError(f"{storage.path} is damaged: block {storage.member} cannot be read.") from error
        if empty:
            return np.zeros(self.shape, storage.dtype)
        strides = [step * storage.dtype.itemsize for step in self.strides]
        view = np.lib.stride_tricks.as_strided(block[self.offset :], self.shape, strides, writeable=False)
        return np.array(view)


class Record:
    """What a pickle wanted to build of a class that is not known here: its name, arguments and state."""

    kind = ""
    arguments: list[Any]
    items: list[Any]
    state: dict[Any, Any]

    def __new__(cls, *arguments, **_):  # a pickle may build without __init__
        new = super().__new__(cls)
        new.arguments, new.items, new.state = list(arguments), [], {}
        return new

    def __init__(self, *arguments, **_):
        pass

    def __setstate__(self, state):
        slots = isinstance(state, tuple) and len(state) == 2
        for part in state if slots else (state,):
            if isinstance(part, dict):
                self.state.update(part)

    def append(self, item):
        self.items.append(item)

    def extend(self, items):
        self.items.extend(items)

    def __setitem__(self, key, value):
        self.state[key] = value


def load(path: str | os.PathLike) -> Any:
    """What `torch.save` wrote to `path`: dicts and lists, with every tensor a `Tensor` and every object a `Record`.

    Raises:
      InputError: it is no such file, is damaged, older than PyTorch 1.6, or written on a big-endian machine.
    """
    path = expanded(path)
    if not path.is_file():
        raise InputError(f"there is no file {path}: give a checkpoint of torch.save.")
    if not zipfile.is_zipfile(path):
        with path.open("rb") as stream:
            start = stream.read(32)
        old = start.startswith(b"\x80\x02\x8a") or b"pickle" in start
        what = "older than PyTorch 1.6: load and save it again with a newer one" if old else "no zip"
        raise InputError(f"{path} is no checkpoint of torch.save as it is written today ({what}).")
    try:
        with zipfile.ZipFile(path) as file:
            names = {
                name.rpartition("/")[2] if "/data/" not in name else name: name for name in file.namelist()
            }
            if "data.pkl" not in names:
                raise InputError(f"{path} is a zip, but no checkpoint of torch.save: it holds no data.pkl.")
            if "byteorder" in names and _stored(file, file.getinfo(names["byteorder"])) != b"little":
                raise InputError(f"{path} was written on a big-endian machine: save it again on a usual one.")
            description = file.getinfo(names["data.pkl"])
            if description.file_size > _MOST_PICKLE:
                raise InputError(f"{path}: its description alone has {description.file_size:,} bytes.")
            prefix = names["data.pkl"].rpartition("data.pkl")[0]
            content = _stored(file, description)
            _require_plain_places(content)
            return _Unpickler(io.BytesIO(content), path, prefix).load()
    except InputError:
        raise
    except Exception as error:  # a damaged pickle may raise nearly anything
        reason = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise InputError(f"{path} is damaged and cannot be read ({reason}).") from error


def plain(value: Any) -> Any:
    """Records and their contents as dicts and lists, to look at or to write as JSON.

    Raises:
      ValueError: they are too many, or lie in one another without an end.
    """
    parts = 0

    def seen(value: Any, depth: int) -> Any:
        nonlocal parts
        parts += 1
        if parts > _MOST_PARTS or depth > _DEEPEST:
            raise ValueError("what it describes has no end")
        if isinstance(value, Record):
            return seen(value.state or value.items or value.arguments, depth)
        if isinstance(value, dict):
            return {str(key): seen(own, depth + 1) for key, own in value.items()}
        if isinstance(value, list | tuple) and not isinstance(value, Tensor):
            return [seen(own, depth + 1) for own in value]
        return f"tensor {value.shape}" if isinstance(value, Tensor) else value

    return seen(value, 0)


def _stored(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    """A part of the file, which torch.save stores as it is: none is larger than the file."""
    if info.compress_type != zipfile.ZIP_STORED:
        raise InputError(
            f"{file.filename} was zipped again ({info.filename} is packed, and torch.save packs nothing): store it "
            "without compression, as `zip -0` does, or take the file as torch.save wrote it."
        )
    return file.read(info)


def _require_plain_places(content: bytes) -> None:
    """Refuses a pickle whose notes have numbers far beyond its length: room for all below would be taken."""
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(argument or 0) > len(content):
            raise ValueError(f"it numbers its notes up to {argument:,}")


class _Kind(NamedTuple):
    dtype: np.dtype


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream, path: Path, prefix: str):
        super().__init__(stream)
        self.path, self.prefix = path, prefix

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _tensor
        if (module, name) == ("torch._utils", "_rebuild_parameter"):
            return lambda data, *_: data
        if module in ("torch", "torch.storage") and name in DTYPES:
            return _Kind(DTYPES[name])
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        return type(name, (Record,), {"kind": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Storage:
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"):
            raise InputError(f"{self.path} is damaged: it refers to something that is no block of numbers.")
        _, kind, key, _, count = pid
        if not isinstance(kind, _Kind) or not isinstance(count, int):
            raise InputError(f"{self.path} holds numbers of a type that is not known here.")
        return Storage(self.path, f"{self.prefix}data/{key}", kind.dtype, count)


def _tensor(storage: Storage, offset: int, shape: tuple, strides: tuple, *_) -> Tensor:
    if not isinstance(storage, Storage):
        raise TypeError("a tensor without a block")
    if len(shape) != len(strides):
        raise TypeError("a tensor whose strides do not fit its shape")
    return Tensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, strides)))
