"""The shape of a source's items from its first item or a header, before the source is read."""

import os
from collections.abc import Iterator
from pathlib import Path

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import archives, arrays, folders, images
from memgen_jax.data.items import Account
from memgen_jax.data.sources import Located, locate


@takes_arrays
def foresee_shape(
    source: str | os.PathLike,
    *,
    size: int | None = None,
    channels: int | None = None,
    layout: str | None = None,
) -> tuple[int, ...] | None:
    """The shape of one item, as `read` will give it: of the first item, or as a file's header says.

    Args:
      size, channels, layout: see `read`.
    Returns:
      (height, width, channel) of images, (dim,) of vectors; None where it cannot be told without reading.
    Raises:
      InputError: there is no such source.
    """
    found = locate(os.fspath(source))
    try:
        if found.kind == "arrays":
            shape = arrays.item_shape(found.files[0], found.name or None, layout)
        elif found.kind == "cifar":
            shape = (32, 32, 3)
        else:
            first = next((images.pixels(file, name=name) for name, file in _pictures(found)), None)
            if first is None or (first.either and channels is None):  # the others tell whether it is grey
                return None
            shape = first.values.shape
    except Exception:  # what cannot be read is told, with its name, by who reads it
        return None
    if len(shape) != 3:
        return shape or None
    height, width, own = shape
    return size or height, size or width, channels or own


def _pictures(found: Located) -> Iterator[tuple[str, images.File]]:
    """The first encoded picture, where there is one."""
    if found.kind == "image":
        yield found.files[0].name, found.files[0]
    elif found.kind == "folder":
        decodable = images.decodable()
        for file in folders.walk(Path(found.files[0]), Account(skip_bad=True)):
            if file.kind in decodable and file.path.is_file():
                yield file.name, file.path
                return
    elif found.kind == "archives":
        yield from archives.first_image(found.files[0])
