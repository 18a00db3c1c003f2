"""Images inside zip and tar files (WebDataset's among them), read without unpacking to the disk."""

import io
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from memgen_jax.data import images
from memgen_jax.data.items import Account, Items, count_by_kind, first_line, kind_of, legible
from memgen_jax.errors import InputError

SUFFIXES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
MOST = 2**28  # bytes of one stored image
MOST_AFTER_END = 2**26  # bytes that fill a tar's last block
BOMB = 200, 2**30  # unpacked size over packed size, and unpacked size, above which both mean harm


def is_archive(path: Path) -> bool:
    """By the ending, in either case."""
    return path.name.lower().endswith(SUFFIXES)


def read_archives(files: Sequence[Path], *, skip_bad: bool = False, **options: Any) -> Items:
    """The images of archives, one set: the files in the order given, images in that of their names (zip) or as stored.

    What is no image, such as WebDataset's captions and classes, is counted.

    Args:
      skip_bad: leaves out images that cannot be decoded and counts them.
      options: of `images.stack`.
    Raises:
      InputError: an archive is cut off, damaged, or holds no image.
    """
    account = Account(skip_bad)
    members = [_members(file, account) for file in files]
    many = len(files) > 1
    names = [
        f"{file.name}/{name}" if many else name
        for file, own in zip(files, members, strict=True)
        for name in own
    ]
    if not names:
        others = f" (but {count_by_kind(account.unread)})" if account.unread else ""
        raise InputError(
            f"{legible(str(files[0]))} holds no image{others}: give an archive of images, or unpack it"
        )

    def opened() -> Iterator[io.BytesIO | Exception]:
        for file, own in zip(files, members, strict=True):
            yield from _contents(file, own)

    items = images.stack(opened(), names, skip_bad=skip_bad, **options)
    if many:
        items = items._replace(note="; ".join(filter(None, (f"{len(files)} files as one set", items.note))))
    return account.of(items)


def _members(file: Path, account: Account) -> list[str]:
    """Names of the images in one archive."""
    try:
        if _is_zip(file):
            with zipfile.ZipFile(file) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
            _require_plausible(sum(info.file_size for info in infos), file)
            stored = [info.filename for info in infos]
        else:
            stored = _names_in_tar(file, account)
    except Exception as error:  # the readers let through whatever damage leads them to
        raise InputError(
            f"cannot read {legible(str(file))} as a zip or tar file ({first_line(error)}): make or fetch it again"
        ) from error
    decodable = images.decodable()
    found: dict[str, None] = {}
    for name in stored:
        hidden = _is_hidden(name)
        if hidden or kind_of(name) not in decodable:
            account.other(name, "hidden" if hidden else None)
        elif name in found:
            account.other(name, "second image of one name")
        else:
            found[name] = None
    return sorted(found) if _is_zip(file) else list(found)


def first_image(file: Path) -> Iterator[tuple[str, io.BytesIO]]:
    """Name and bytes of the first image that is stored; nothing where there is none."""
    decodable = images.decodable()
    if _is_zip(file):
        with zipfile.ZipFile(file) as archive:
            names = (info.filename for info in archive.infolist())
            first = next((n for n in names if kind_of(n) in decodable and not _is_hidden(n)), None)
            if first is not None:
                with archive.open(first) as member:
                    yield first, _bytes(member)
        return
    with tarfile.open(file) as archive:
        for entry in archive:
            if entry.isfile() and kind_of(entry.name) in decodable and not _is_hidden(entry.name):
                yield entry.name, _bytes(archive.extractfile(entry))
                return


def _is_hidden(name: str) -> bool:
    parts = name.split("/")
    return "__MACOSX" in parts or any(part.startswith(".") and part.strip(".") for part in parts)


def _require_plausible(unpacked: int, file: Path) -> None:
    """Refuses what unpacks to far more than pictures do, before it is unpacked."""
    packed = file.stat().st_size
    if unpacked > max(BOMB[1], BOMB[0] * packed):
        raise ValueError(f"it unpacks to more than {unpacked / 1e9:,.0f} GB from {packed / 1e6:,.1f} MB")


def _names_in_tar(file: Path, account: Account) -> list[str]:
    names = []
    unpacked = 0
    with tarfile.open(file) as archive:
        for member in archive:
            unpacked += member.size
            _require_plausible(unpacked, file)
            if member.isfile():
                names.append(member.name)
            elif not member.isdir():
                account.other(member.name, "link or device")
        # tarfile takes a damaged header, and the end of the first of several joined files, for the end.
        stream = archive.fileobj
        assert stream is not None
        stream.seek(archive.offset)
        rest = stream.read(512)
        if not rest:
            raise ValueError("it has no end mark: it is cut off")
        while rest:
            if rest.strip(b"\0"):
                raise ValueError("more follows after its end: it is damaged, or several were joined")
            if stream.tell() - archive.offset > MOST_AFTER_END:
                raise ValueError(f"more than {MOST_AFTER_END:,} empty bytes follow its end")
            rest = stream.read(2**20)
    return names


def _contents(file: Path, names: Sequence[str]) -> Iterator[io.BytesIO | Exception]:
    """Each image's bytes, in the order of the names, which for a tar is that of the file."""
    if _is_zip(file):
        with zipfile.ZipFile(file) as archive:
            for name in names:
                try:
                    with archive.open(name) as member:
                        yield _bytes(member)
                except Exception as error:
                    yield error
        return
    wanted = set(names)
    with tarfile.open(file) as archive:
        for entry in archive:
            if entry.isfile() and entry.name in wanted:
                wanted.remove(entry.name)
                try:
                    with archive.extractfile(entry) as stream:  # type: ignore[union-attr]
                        yield _bytes(stream)
                except Exception as error:
                    yield error


def _bytes(stream) -> io.BytesIO:
    content = stream.read(MOST + 1)
    if len(content) > MOST:
        raise ValueError(f"it unpacks to more than {MOST:,} bytes")
    return io.BytesIO(content)


def _is_zip(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(2) == b"PK"
