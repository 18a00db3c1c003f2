"""Paths, and files that are written whole or not at all."""

import os
from collections.abc import Mapping

from etils import epath


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

    Args:
      folder: local or remote; made where missing.
      files: name in the folder → its bytes.
    """
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    temporaries = {name: folder / f".{name}.{os.getpid()}.tmp" for name in files}
    try:
        for name, data in files.items():
            temporaries[name].write_bytes(data)
        for name, temporary in temporaries.items():
            temporary.replace(folder / name)
    finally:
        for temporary in temporaries.values():
            temporary.unlink(missing_ok=True)


def absolute(path: epath.PathLike) -> epath.Path:
    """The path from the root; remote ones (`gs://…`) are so already, and `resolve` would break them."""
    path = epath.Path(path)
    return path if "://" in os.fspath(path) else path.resolve()
