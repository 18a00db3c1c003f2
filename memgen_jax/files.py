"""Paths, and files that are written whole or not at all."""

import os

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
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.parent / f".{path.name}.{os.getpid()}.tmp"
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def absolute(path: epath.PathLike) -> epath.Path:
    """The path from the root; remote ones (`gs://…`) are so already, and `resolve` would break them."""
    path = epath.Path(path)
    return path if "://" in os.fspath(path) else path.resolve()
