"""Folders: what lies below one, by kind, and the images among it as one set."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from memgen_jax.data import images
from memgen_jax.data.items import Account, Items, count_by_kind, kind_of, legible
from memgen_jax.errors import InputError


class Found(NamedTuple):
    """A file below a folder: its path inside it, where it is, and its kind."""

    name: str
    path: Path
    kind: str


def read_folder(folder: str | os.PathLike, *, skip_bad: bool = False, **options: Any) -> Items:
    """Reads all images under a folder, sorted by their path inside it.

    Args:
      folder: searched with its subfolders, linked ones too, for the endings in `images.SUFFIXES`; what is hidden and
        all else is counted in `unread` and named in `left_out`.
      skip_bad: leaves out files that cannot be decoded and counts them in `note`.
      options: of `images.stack`.
    Raises:
      InputError: names the folder, or the first image at fault.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(
            f"there is no folder {legible(str(folder))}: give a folder of images (PNG, JPEG, WebP, TIFF, ...)"
        )
    decodable = images.decodable()
    account = Account(skip_bad)
    pictures: list[Found] = []
    for file in walk(folder, account):
        if file.kind not in decodable:
            account.other(file.name, file.kind)
        elif not file.path.is_file():
            account.bad(file.name, "it is no file, or a link to nothing")
        else:
            pictures.append(file)
    if not pictures:
        others = f" (but {count_by_kind(account.unread)})" if account.unread else ""
        raise InputError(
            f"folder {legible(str(folder))} holds no image{others}: give a folder of PNG, JPEG, WebP, BMP, TIFF or GIF "
            "images, or of .npz, .npy, .zip, .tar, .parquet or .arrow files"
        )
    pictures.sort()
    names = [file.name for file in pictures]
    return account.of(images.stack((file.path for file in pictures), names, skip_bad=skip_bad, **options))


def walk(folder: Path, account: Account) -> Iterator[Found]:
    """Every file below a folder; what is hidden, or was already seen by another way, goes into the account.

    Raises:
      InputError: a folder cannot be listed, and the account may not skip it.
    """

    def cannot_list(error: OSError) -> None:
        account.bad(os.path.relpath(error.filename, folder), error.strerror, "folder ")

    seen = {_identity(folder)}
    for place, inside, files in os.walk(folder, onerror=cannot_list, followlinks=True):
        inside.sort()
        for name in list(inside):
            path = os.path.join(place, name)
            if name.startswith("."):
                account.other(os.path.relpath(path, folder), "hidden folder")
                inside.remove(name)
            elif (identity := _identity(path)) in seen:
                account.other(os.path.relpath(path, folder), "link to a folder already read")
                inside.remove(name)
            else:
                seen.add(identity)
        for name in files:
            file = Path(place) / name
            inner = file.relative_to(folder).as_posix()
            if name.startswith("."):
                account.other(inner, "hidden")
            else:
                yield Found(inner, file, kind_of(name))


def _identity(path: str | os.PathLike) -> tuple[int, int] | str:
    try:
        told = os.stat(path)
    except OSError:  # gone, or not to be looked into: listing it says so
        return os.fspath(path)
    return told.st_dev, told.st_ino
