"""The arrays of an `.npz` or `.npy` file: their names and shapes first, their numbers when asked for."""

import errno
import io
import math
import os
import zipfile
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from memgen_jax.data import room
from memgen_jax.data.items import first_line, legible
from memgen_jax.errors import InputError

PIECE = 2**24  # bytes unpacked at a time
BOMB = 200, 2**30  # unpacked size over packed size, and unpacked size, above which both mean harm


class Header(NamedTuple):
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    start: int  # of the numbers, counted from the array's own beginning

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class NumpyFile:
    """One file; nothing in it is unpickled.

    Attributes:
      headers: name -> shape and type; an `.npy` has one array, "images".
      objects: names of an `.npz`'s arrays of Python objects, which are left as they are.
      is_zip: whether it is an `.npz`, by what it holds and not by its name.

    Raises:
      InputError: it is no such file, is cut off, or holds Python objects and nothing else.
    """

    objects: tuple[str, ...] = ()

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(
                f"there is no file {legible(str(path))}: give an .npz or .npy file that exists"
                if not self.path.exists()
                else f"{legible(str(path))} is no file: give an .npz or .npy file"
            )
        try:
            with self.path.open("rb") as stream:
                self.is_zip = stream.read(2) == b"PK"
                stream.seek(0)
                if self.is_zip:
                    self.headers = self._headers_in_zip()
                else:
                    self.headers = {"images": _header(stream, self.path.stat().st_size)}
        except Exception as error:  # numpy's parser lets through whatever a damaged header leads to
            raise self._unreadable(error) from error

    def array(self, name: str, memory: int | None = None) -> np.ndarray:
        """The numbers of an array; mapped where they take more than `memory` bytes, and read-only.

        Raises:
          InputError: they are damaged, or unpack to far more than is plausible.
        """
        header = self.headers[name]
        order: Literal["F", "C"] = "F" if header.fortran else "C"
        if 0 in header.shape:
            return np.empty(header.shape, header.dtype)
        try:
            if not self.is_zip:
                return np.memmap(self.path, header.dtype, "r", header.start, header.shape, order)
            with zipfile.ZipFile(self.path) as archive:
                info = archive.getinfo(self._members[name])
                large = info.file_size > room.allowed(memory)
                if large and info.compress_type == zipfile.ZIP_STORED:
                    with archive.open(info) as member:
                        while member.read(PIECE):  # the checksum is that of the whole
                            pass
                    start = _start_of(self.path, info) + header.start
                    return np.memmap(self.path, header.dtype, "r", start, header.shape, order)
                if info.file_size > max(BOMB[1], BOMB[0] * info.compress_size):
                    raise ValueError(
                        f"{name} unpacks to {info.file_size / 1e9:,.1f} GB from {info.compress_size / 1e6:,.1f} MB; "
                        "if that is meant, save it with np.save"
                    )
                raw = room.make_room((header.num_bytes,), np.dtype(np.uint8), memory)
                with archive.open(info) as member:
                    member.read(header.start)
                    _fill(raw, member)
            return np.ndarray(header.shape, header.dtype, raw, order=order)
        except (InputError, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno == errno.ENOMEM:  # of a map: the file is whole
                raise MemoryError(f"{header.num_bytes} bytes of {self.path} cannot be mapped") from error
            raise self._unreadable(error) from error

    def _headers_in_zip(self) -> dict[str, Header]:
        headers: dict[str, Header] = {}
        self._members: dict[str, str] = {}
        with zipfile.ZipFile(self.path) as archive:
            for info in archive.infolist():
                name = info.filename.removesuffix(".npy")
                try:
                    with archive.open(info) as member:
                        headers[name] = _header(member, info.file_size)
                except _Objects:
                    self.objects += (name,)
                    continue
                self._members[name] = info.filename
        if self.objects and not headers:
            raise _Objects
        return headers

    def _unreadable(self, error: Exception) -> InputError:
        reason = first_line(error)
        return InputError(
            f"cannot read {legible(str(self.path))} as numpy arrays ({reason}): save plain numbers with np.savez or "
            "np.save"
        )


class _Objects(ValueError):
    """An array whose numbers are pickled objects."""

    def __init__(self):
        super().__init__("it holds Python objects, or is no file of numpy's")


def _header(stream: Any, size: int) -> Header:
    """Reads one header and holds it against the bytes that are there."""
    start = stream.read(2**16 + 16)
    head = io.BytesIO(start)
    if not start.startswith(np.lib.format.MAGIC_PREFIX):
        raise ValueError(
            "it is cut off" if len(start) < 6 else "it holds Python objects, or is no file of numpy's"
        )
    version = np.lib.format.read_magic(head)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"its format {version[0]}.{version[1]} is that of tables, not of plain arrays")
    shape, fortran, dtype = read(head)
    header = Header(tuple(map(int, shape)), fortran, dtype, head.tell())
    if dtype.hasobject:
        raise _Objects
    if min(shape, default=0) < 0 or len(shape) > 32:
        raise ValueError(f"its shape {shape} cannot be")
    there = size - header.start
    if there < header.num_bytes:
        raise ValueError(f"it is cut off: {there:,} of {header.num_bytes:,} bytes are there")
    if there > header.num_bytes:
        raise ValueError(f"{there - header.num_bytes:,} bytes follow its array: was np.save called twice?")
    return header


def _fill(raw: np.ndarray, member: Any) -> None:
    done = 0
    while piece := member.read(PIECE):
        raw[done : done + len(piece)] = np.frombuffer(piece, np.uint8)
        done += len(piece)
    if done != len(raw):
        raise ValueError("it is cut off")


def _start_of(path: Path, info: zipfile.ZipInfo) -> int:
    """Where a member's bytes begin: after its local header, whose lengths may differ from the directory's."""
    with path.open("rb") as stream:
        stream.seek(info.header_offset)
        local = stream.read(30)
    return (
        info.header_offset
        + 30
        + int.from_bytes(local[26:28], "little")
        + int.from_bytes(local[28:30], "little")
    )
