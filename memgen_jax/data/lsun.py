"""LMDB folders of encoded images, as LSUN ships them; needs the package lmdb."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memgen_jax.data import images
from memgen_jax.data.items import Items, first_line, legible
from memgen_jax.errors import InputError

FILE = "data.mdb"


def is_of_lmdb(name: str) -> bool:
    """Whether an LMDB's folder has a file so called."""
    return name in (FILE, "lock.mdb")


def read_lmdb(folder: str | os.PathLike, **options: Any) -> Items:
    """All images of an LMDB, in the order of their keys, by which they are called.

    Args:
      folder: holds data.mdb. LSUN's images differ in size: `size` brings them to one.
      options: of `images.stack`.
    Raises:
      InputError: lmdb is missing, or the file is cut off or damaged.
    """
    file = Path(folder) / FILE
    try:
        import lmdb
    except ImportError as error:
        raise InputError(
            f"{legible(str(file))} needs the package lmdb to be read: pip install lmdb"
        ) from error
    try:
        with lmdb.open(os.fspath(folder), readonly=True, lock=False, max_readers=1) as environment:
            needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
            there = file.stat().st_size
            if there < needed:  # reading on would end the process: the file is mapped
                raise ValueError(f"it is cut off: {there:,} of {needed:,} bytes are there")
            with environment.begin(buffers=True) as transaction:
                keys = [bytes(key) for key in transaction.cursor().iternext(values=False)]
                if not keys:
                    raise ValueError("it holds nothing")

                def opened() -> Iterator[io.BytesIO | Exception]:
                    for key in keys:
                        value = transaction.get(key)
                        yield io.BytesIO(value) if value is not None else ValueError("it is not there")

                names = [legible(key.decode("utf-8", "backslashreplace")) for key in keys]
                return images.stack(opened(), names, **options)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"cannot read {legible(str(file))} as LMDB ({first_line(error)}): make or fetch it again"
        ) from error
