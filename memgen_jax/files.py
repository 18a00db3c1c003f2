"""Paths, and files that are written whole or not at all."""

import contextlib
import os
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from etils import epath

from memgen_jax.errors import InputError

# What a temporary file is called after the file that it will be: whose it is, by host and process.
_OWNER = re.compile(r"\.(?P<name>.+)\.(?P<host>[^/]*)\.(?P<process>\d+)\.tmp")


def write_whole(path: epath.PathLike, data: bytes) -> epath.Path:
    """Writes `data` under a temporary name beside `path`, then renames it.

    Whoever reads the folder meanwhile, or after a kill, sees the old file or the new one, never a part.

    Args:
      path: the file, local or remote (`gs://…`); missing folders are made.
      data: its bytes.
    Returns:
      The path written.
    """
    path = epath.Path(path)
    write_together(path.parent, {path.name: data})
    return path


def write_together(folder: epath.PathLike, files: Mapping[str, bytes]) -> None:
    """Writes files that belong together: no name changes before all of them have found room.

    What a process of this host left of the same files when it was killed is taken away.

    Args:
      folder: local or remote; made where missing.
      files: name in the folder → its bytes.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporaries = {name: folder / f".{name}.{platform.node()}.{os.getpid()}.tmp" for name in files}
    try:
        for name, data in files.items():
            temporaries[name].write_bytes(data)
        for name, temporary in temporaries.items():
            temporary.replace(folder / name)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)
    if "://" not in os.fspath(folder):
        _remove_what_the_dead_left(os.fspath(folder), files)


def _remove_what_the_dead_left(folder: str, files: Mapping[str, bytes]) -> None:
    for entry in os.listdir(folder):
        if (
            entry.endswith(".tmp")
            and (owner := _OWNER.fullmatch(entry))
            and owner["name"] in files
            and owner["host"] == platform.node()
            and not _lives(int(owner["process"]))
        ):
            with contextlib.suppress(OSError):  # another was quicker
                os.unlink(os.path.join(folder, entry))


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # another user's; no number that a process can have
        pass
    return True


def expanded(path: str | os.PathLike) -> Path:
    """The path with `~` as the user's folder; as it is where there is no such user.

    Raises:
      InputError: it is no path.
    """
    try:
        named = isinstance(os.fspath(path), str)
    except TypeError:
        named = False
    if not named:
        raise InputError(f"{path!r} is no path: give text, or a pathlib.Path")
    return Path(os.path.expanduser(path))


def shown(files: Iterable[Path]) -> list[Path]:
    """The files in order, without those that are hidden: beside 16.pt macOS may put ._16.pt, which is no checkpoint."""
    return sorted(file for file in files if not file.name.startswith("."))


def absolute(path: epath.PathLike) -> epath.Path:
    """The path from the root; remote ones (`gs://…`) are so already, and `resolve` would break them."""
    path = epath.Path(path)
    return path if "://" in os.fspath(path) else path.resolve()
