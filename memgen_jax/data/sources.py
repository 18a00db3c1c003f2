"""One way to name where items are stored: a path, or a kind and a name."""

import itertools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import archives, arrays, cifar, folders, idx, images, lsun, ranges, tables, tfds
from memgen_jax.data.items import (
    Account,
    Items,
    count_by_kind,
    joined,
    legible,
    listed,
    numbered,
    with_unused,
)
from memgen_jax.errors import InputError
from memgen_jax.files import expanded

KINDS = (
    "a folder of images, an .npz, .npy, .zip, .tar, .parquet or .arrow file or a folder of such, tfds:NAME, "
    "idx:FOLDER, or cifar:FOLDER"
)
# A file of a data set in several parts says its split first: train-00000-of-00002.parquet, val_data.npz.
_SPLIT = re.compile(r"(train|test|validation|valid|val|dev)(?=[-_.\d]|$)", re.IGNORECASE)


@takes_arrays
def read(
    source: str | os.PathLike,
    *,
    data_dir: str | os.PathLike | None = None,
    size: int | None = None,
    channels: int | None = None,
    skip_bad: bool = False,
    value_range: str | None = None,
    layout: str | None = None,
    memory: int | None = None,
    progress: str | None = None,
) -> tuple[Items, Items | None]:
    """Reads the items of a source, and its own held-out items where it has some.

    | source | items | held out |
    |---|---|---|
    | FILE.npz, FILE.npy | `images`, see `arrays.read_array` | `held_out` of the .npz |
    | FILE.npz:NAME | the array NAME | – |
    | a folder | all images below it, see `folders.read_folder` | – |
    | FILE.zip, FILE.tar(.gz) | the images in it, see `archives.read_archives` | – |
    | FILE.parquet, FILE.arrow | its images, or its rows of numbers, see `tables.read_tables` | – |
    | FILE.parquet:COLUMN | those of that column | – |
    | a folder of such files, no images | one set; of several splits "train" | "test", else "validation" |
    | FOLDER:SPLIT | that split of such a folder, or of one that `datasets` saved | – |
    | a folder with data.mdb | LSUN's images, see `lsun.read_lmdb` | – |
    | tfds:NAME | split "train" of prepared data, see `tfds.read_tfds` | split "test", else "validation" |
    | tfds:NAME:SPLIT | that split | – |
    | idx:FOLDER, or the folder | train-images of MNIST's four files | t10k-images |
    | cifar:FOLDER, or the folder | the batches of CIFAR, Python's version or the binary one | its test batch |

    Args:
      source: one of the above.
      data_dir: for tfds, the folder of prepared data sets.
      size: brings images to size × size: central square, then bicubic.
      channels: 1 turns all images grey, 3 makes all RGB.
      skip_bad: leaves out what cannot be read, and counts it.
      value_range: for float images, see `arrays.read_array`.
      layout: "nhwc" or "nchw", for arrays.
      memory: bytes above which the items are mapped from a file; by default a third of what is free.
      progress: what a bar on the terminal calls this; no bar where not given.
    Raises:
      InputError: when there is no such source, or it does not hold what it should.
    """
    source = os.fspath(source)
    found = locate(source)
    decoding: dict[str, Any] = {
        "size": size, "channels": channels, "skip_bad": skip_bad, "memory": memory, "progress": progress
    }  # fmt: skip

    def finished(items: Items) -> Items:
        return _fitted(items, size, channels, memory)

    if found.kind == "tfds":
        items, held_out = _read_tfds(found.name, data_dir, size)
        return finished(items), held_out and finished(held_out)
    if found.kind in ("idx", "cifar"):
        images_of: Callable[[Path, str], np.ndarray] = (
            idx.read_idx_images if found.kind == "idx" else cifar.read_cifar_images
        )
        parts = [
            finished(Items(values, numbered(split, len(values))))
            for split in ("train", "test")
            for values in [images_of(found.files[0], split)]
        ]
        return found.account.of(parts[0]), parts[1]
    if found.kind == "idx file":
        values = idx.read_idx_file(found.files[0])
        return found.account.of(finished(Items(values, numbered(found.files[0].name, len(values))))), None
    if found.kind == "batch":
        values = cifar.read_batch(found.files[0])
        return finished(Items(values, numbered(found.files[0].name, len(values)))), None
    if found.kind == "folder":
        return folders.read_folder(found.files[0], **decoding), None
    if found.kind == "lmdb":
        return found.account.of(lsun.read_lmdb(found.files[0], **decoding)), None
    if found.kind == "image":
        return images.stack(found.files, [found.files[0].name], **decoding), None

    def read_files(files: Sequence[Path]) -> tuple[Items, Items | None]:
        if found.kind == "archives":
            return archives.read_archives(files, **decoding), None
        if found.kind == "tables":
            read = tables.read_tables(files, found.name or None, **decoding)
            if isinstance(read, Items):
                return read, None
            items, _ = arrays.items_of_arrays(read.values, None, source, value_range, layout, memory)
            return read.account.of(finished(items)), None
        if len(files) == 1:
            items, own = arrays.read_array(files[0], value_range, found.name or None, layout, memory)
            return finished(items), own and finished(own)
        return finished(arrays.read_arrays(files, value_range, layout, memory, skip_bad)), None

    items, own = read_files(found.files)
    items = found.account.of(items)
    own = read_files(found.held_out)[0] if found.held_out else own
    if own is not None:
        items, own = images.in_one_colour((items, own), memory)
    return items, own


@takes_arrays
def of_arrays(
    given: Some[Sequence[np.ndarray]],
    name: str,
    *,
    size: int | None = None,
    channels: int | None = None,
    value_range: str | None = None,
    layout: str | None = None,
) -> tuple[Items, Items | None]:
    """As `read`, of arrays at hand: the items, and held-out items if there is a second array."""
    pixels = [arrays.as_pixels(one) for one in given]
    held_out = pixels[1] if len(pixels) > 1 else None
    items, rest = arrays.items_of_arrays(pixels[0], held_out, name, value_range, layout)
    return _fitted(items, size, channels, None), rest and _fitted(rest, size, channels, None)


@takes_arrays
def read_sets(sources: Sequence[str | os.PathLike], **options: Any) -> tuple[Items, Items | None]:
    """`read` of several sources that are one set; held-out items of their own only where there is one source."""
    if len(sources) == 1:
        return read(sources[0], **options)
    located = [locate(os.fspath(source)) for source in sources]
    if all(found.kind == "image" for found in located):  # as a shell lists a folder's
        decoding = {name: options.get(name) for name in ("size", "channels", "memory", "progress")}
        files = (found.files[0] for found in located)
        names = [os.fspath(source) for source in sources]
        return images.stack(files, names, skip_bad=bool(options.get("skip_bad")), **decoding), None
    spans = {os.fspath(s): span for s in sources if (span := float_span(s, options.get("layout")))}
    if spans:  # one range for all parts
        whole = ranges.of_one_set(spans, options.get("value_range"))
        name = ", ".join(spans)
        options["value_range"] = ranges.decide({name: whole}, options.get("value_range"))[name]
    parts = [
        part._replace(
            names=[os.fspath(source) if found.kind == "image" else f"{source}/{name}" for name in part.names]
        )
        for source, found in zip(sources, located, strict=True)
        for part in [with_unused(*read(source, **options))]
    ]
    memory = options.get("memory")
    return joined(images.in_one_colour(parts, memory), memory), None


@takes_arrays
def float_span(source: str | os.PathLike, layout: str | None = None) -> tuple[float, float] | None:
    """The lowest and highest value of a source's float images, its held-out ones too; None where it has none."""
    found = locate(os.fspath(source))
    if found.kind == "tables":
        read = tables.read_numbers((*found.files, *found.held_out), found.name or None)
        return read and arrays.span_at_hand(read.values, os.fspath(source), layout)
    if found.kind != "arrays":
        return None
    return arrays.float_span((*found.files, *found.held_out), found.name or None, layout)


class Located(NamedTuple):
    """What a source is.

    Attributes:
      kind: "folder" (of images), "arrays", "archives", "tables", "lmdb", "idx", "idx file", "cifar", "batch", "image"
        or "tfds".
      files: its files, or its folder.
      name: of an array, a column or a data set; "" where none is asked for.
      held_out: files of its own held-out items.
      account: what else is there.
    """

    kind: str
    files: tuple[Path, ...]
    name: str = ""
    held_out: tuple[Path, ...] = ()
    account: Account = Account()


def locate(source: str) -> Located:
    """Finds out what a source is, by its name and by what lies there.

    Raises:
      InputError: there is nothing, or nothing of a known kind.
    """
    kind, _, rest = source.partition(":")
    if not source.strip() or (kind in ("tfds", "idx", "cifar") and source == f"{kind}:"):
        raise InputError(f"{source!r} names no data: give {KINDS}")
    if kind == "tfds":
        return Located("tfds", (), rest)
    if kind in ("idx", "cifar"):
        return Located(kind, (expanded(rest),))
    path, name = expanded(source), ""
    if not _exists(path) and ":" in source:
        before, _, after = source.rpartition(":")
        if before and _exists(expanded(before)):
            path, name = expanded(before), after
    if path.is_dir():
        return _in_folder(path, name)
    kind = kind_of_file(path)
    if path.suffix.lower() in arrays.SUFFIXES and not _exists(path):
        raise InputError(f"there is no file {legible(str(path))}: give an .npz or .npy file that exists")
    if not _exists(path):
        raise InputError(f"there is nothing at {legible(source)}: give {KINDS}")
    if not path.is_file():
        raise InputError(f"{legible(source)} is neither a folder nor a file of data: give {KINDS}")
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise InputError(
            f"cannot read {legible(source)} ({error.strerror}): give a file that can be read"
        ) from error
    if name and kind not in ("arrays", "tables"):
        raise InputError(
            f"{legible(source)}: only an .npz or a table has a part called {name!r}; leave it out"
        )
    if kind == "lmdb":
        return Located(kind, (path.parent,))
    if not kind:
        raise InputError(f"{legible(source)} is neither a folder nor a file of a known kind: give {KINDS}")
    return Located(kind, (path,), name)


def kind_of_file(path: Path) -> str:
    """See `Located.kind`; "" of a file that is no data."""
    suffix = path.suffix.lower()
    if suffix in arrays.SUFFIXES:
        return "arrays"
    if archives.is_archive(path):
        return "archives"
    if suffix in tables.SUFFIXES:
        return "tables"
    if path.name == lsun.FILE:
        return "lmdb"
    if idx.is_idx_name(path.name):
        return "idx file"
    if cifar.is_batch(path):
        return "batch"
    return "image" if suffix in images.decodable() else ""


def _in_folder(folder: Path, name: str) -> Located:
    try:
        here = {entry.name for entry in folder.iterdir()}
    except OSError as error:
        raise InputError(
            f"cannot read folder {legible(str(folder))} ({error.strerror}): give one that can be read"
        ) from error
    if saved := tables.saved_splits(folder):
        return _of_splits("tables", saved, folder, name, _beside(folder, tables.is_of_saved))
    if lsun.FILE in here:
        return Located("lmdb", (folder,), account=_beside(folder, lsun.is_of_lmdb))
    if cifar.is_folder(here):
        return Located("cifar", (folder,), account=_beside(folder, cifar.is_original))
    if idx.is_folder(here):
        return Located("idx", (folder,), account=_beside(folder, idx.is_original))
    files: dict[str, list[folders.Found]] = {}
    account = Account(skip_bad=True)
    for found in folders.walk(folder, account):
        files.setdefault(kind_of_file(found.path), []).append(found)
    data = [kind for kind in ("arrays", "archives", "tables") if kind in files]
    if not (data or "image" in files or name) and (original := _original_files(files, folder)):
        return original
    if "image" in files or not data:
        if name:
            raise InputError(
                f"folder {legible(str(folder))} has no split {name!r}: give the folder of that split itself"
            )
        return Located("folder", (folder,))
    if len(data) > 1:
        there = count_by_kind(
            {f.kind: sum(g.kind == f.kind for k in data for g in files[k]) for k in data for f in files[k]}
        )
        raise InputError(
            f"folder {legible(str(folder))} holds files of several kinds of data ({there}): give those that are the set"
        )
    for found in files.get("", []):
        account.other(found.name, found.kind)
    if account.skipped:
        raise InputError(
            f"cannot read folder {legible(account.skipped[0])} in {folder}: give one that can be read"
        )
    splits: dict[str, list[Path]] = {}
    for found in sorted(files[data[0]]):
        splits.setdefault(_split_of(found.name), []).append(found.path)
    if not name and "train" not in splits:  # names that say something else: all are one set
        splits = {"": [path for paths in splits.values() for path in paths]}
    return _of_splits(data[0], splits, folder, name, account)


def _beside(folder: Path, is_part: Callable[[str], bool]) -> Account:
    """What lies in the folder of a data set and is no part of it, which names tell."""
    account = Account(skip_bad=True)
    for found in folders.walk(folder, account):
        if not is_part(found.name):
            account.other(found.name, found.kind)
    return account


def _original_files(files: Mapping[str, Sequence[folders.Found]], folder: Path) -> Located | None:
    """The files of MNIST or CIFAR where nothing else is: in a folder of their own, as torchvision puts them, or one."""
    by_folder: dict[Path, set[str]] = {}
    for found in itertools.chain(*files.values()):
        by_folder.setdefault(found.path.parent, set()).add(found.path.name)
    known = [
        _in_folder(place, "")
        for place, names in by_folder.items()
        if cifar.is_folder(names) or idx.is_folder(names)
    ]
    if len(known) > 1:
        raise InputError(
            f"folder {legible(str(folder))} holds several data sets "
            f"({listed(str(own.files[0].relative_to(folder)) for own in known)}): give the folder of one"
        )
    images_of = {
        found.path.name.lower().removesuffix(".gz"): found.path for found in files.get("idx file", [])
    }
    if not known and len(images_of) == 1:
        return Located("idx file", (next(iter(images_of.values())),))
    return known[0] if known else None


def _split_of(name: str) -> str:
    for part in reversed(name.split("/")):
        if match := _SPLIT.match(part):
            return {"val": "validation", "valid": "validation", "dev": "validation"}.get(
                match[1].lower(), match[1].lower()
            )
    return ""


def _of_splits(
    kind: str, splits: Mapping[str, Sequence[Path]], folder: Path, name: str, account: Account
) -> Located:
    if name and name not in splits:
        there = ", ".join(filter(None, splits)) or "only one"
        raise InputError(f"folder {legible(str(folder))} has no split {name!r}: it has {there}")
    main = name or ("train" if "train" in splits else "" if "" in splits else next(iter(splits), ""))
    if not splits.get(main):
        raise InputError(
            f"folder {legible(str(folder))} holds no data files of split {main!r}: prepare it again"
        )
    if not name and main not in ("train", "") and len(splits) > 1:
        raise InputError(
            f"folder {legible(str(folder))} has the splits {', '.join(splits)}: say which with {folder}:SPLIT"
        )
    held_out = (
        next((s for s in ("test", "validation") if s in splits), None)
        if not name and main == "train"
        else None
    )
    for split, files in splits.items():
        if split not in (main, held_out):
            for file in files:
                account.other(
                    str(file.relative_to(folder)), f"file of split {split}" if split else "file of no split"
                )
    return Located(kind, tuple(splits[main]), "", tuple(splits[held_out]) if held_out else (), account)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _read_tfds(name: str, data_dir: str | os.PathLike | None, size: int | None) -> tuple[Items, Items | None]:
    if match := re.fullmatch(r"(.+):(\w+)", name):
        return tfds.read_tfds(match[1], match[2], data_dir=data_dir, size=size), None
    items = tfds.read_tfds(name, "train", data_dir=data_dir, size=size)
    there = tfds.split_names(name, data_dir)
    for split in ("test", "validation"):
        if split in there:
            return items, tfds.read_tfds(name, split, data_dir=data_dir, size=size)
    return items, None


def _fitted(items: Items, size: int | None, channels: int | None, memory: int | None) -> Items:
    for name, value in (("size", size), ("channels", channels)):
        if value is not None and items.values.ndim != 4:
            raise InputError(f"{name}={value} applies to images, not to vectors: leave it out")
    values = items.values if size is None else images.resize(items.values, size, memory)
    return items._replace(values=values if channels is None else images.recolour(values, channels, memory))
