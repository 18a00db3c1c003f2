"""Parquet and Arrow files, as Hugging Face's `datasets` writes and ships them; needs the package pyarrow."""

import io
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from memgen_jax.data import images
from memgen_jax.data.arrays import as_pixels
from memgen_jax.data.items import Account, Items, first_line, legible, listed, numbered
from memgen_jax.errors import InputError
from memgen_jax.files import shown

SUFFIXES = (".parquet", ".arrow", ".feather")
USUAL_COLUMNS = ("image", "images", "img", "jpg", "jpeg", "png", "webp", "pixel_values", "pixels", "x")
BATCH = 64  # rows decoded from a file at a time
BOMB = 200, 2**30  # unpacked size over packed size, and unpacked size, above which both mean harm


class Numbers(NamedTuple):
    """A column of numbers: the plain array [row, ...], and what else the tables hold."""

    values: np.ndarray
    account: Account


def read_tables(
    files: Sequence[Path],
    column: str | None = None,
    *,
    skip_bad: bool = False,
    **options: Any,
) -> Items | Numbers:
    """The images of tables, one set, in the order of files and rows; or the numbers of a column.

    Args:
      column: which one holds them; else the only column of images, or the one with a usual name.
      options: of `images.stack`.
    Returns:
      Items of encoded images, or a column of numbers.
    Raises:
      InputError: pyarrow is missing, a file is damaged, or no column is one of items.
    """
    tables = [_Table(file) for file in files]
    chosen = tables[0].choose(column)
    many = len(files) > 1
    names = [name for table in tables for name in numbered(table.file.name, table.num_rows)]
    if not names:
        raise InputError(f"{legible(str(files[0]))} has no rows: give at least one item")
    account = Account(skip_bad)
    for other in tables[0].columns:
        if other != chosen:
            account.other(f"{files[0].name}:{other}", "other column")
    if not tables[0].holds_encoded(chosen):
        return Numbers(_stacked(tables, chosen), account)

    def opened() -> Iterator[io.BytesIO | Path | Exception]:
        for table in tables:
            yield from table.encoded(chosen)

    items = images.stack(opened(), names, skip_bad=skip_bad, **options)
    if many:
        items = items._replace(note="; ".join(filter(None, (f"{len(files)} files as one set", items.note))))
    return account.of(items)


def read_numbers(files: Sequence[Path], column: str | None) -> "Numbers | None":
    """As `read_tables`, where the column holds numbers; None where it holds images."""
    tables = [_Table(file) for file in files]
    chosen = tables[0].choose(column)
    if tables[0].holds_encoded(chosen) or not sum(table.num_rows for table in tables):
        return None
    return Numbers(_stacked(tables, chosen), Account())


def _stacked(tables: Sequence["_Table"], column: str) -> np.ndarray:
    parts = [table.numbers(column) for table in tables]
    if any(part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise InputError(f"the rows of {column} in {legible(str(tables[0].file))} and others differ in shape")
    return as_pixels(np.concatenate(parts))


def is_of_saved(name: str) -> bool:
    """Whether `save_to_disk` gives a file such a name."""
    return name.endswith((".arrow", ".json"))


def saved_splits(folder: Path) -> dict[str, list[Path]] | None:
    """Split -> its files, of what `save_to_disk` wrote: a data set (split "") or a dict of them; None of others."""
    if (folder / "state.json").is_file():
        return {"": shown(folder.glob("*.arrow"))}
    if (folder / "dataset_dict.json").is_file():
        return {
            inner.name: shown(inner.glob("*.arrow"))
            for inner in sorted(folder.iterdir())
            if (inner / "state.json").is_file()
        }
    return None


_BYTES = {
    "INT32": 4,
    "FLOAT": 4,
    "INT64": 8,
    "DOUBLE": 8,
    "INT96": 12,
}  # of one value, by parquet's own types


class _Table:
    """One file, opened; rows are decoded when they are asked for."""

    def __init__(self, file: Path):
        self.file = file
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ImportError as error:
            raise InputError(
                f"{legible(str(file))} needs the package pyarrow to be read: pip install pyarrow"
            ) from error
        try:
            if file.suffix.lower() == ".parquet":
                self._parquet = pq.ParquetFile(file, memory_map=True)
                self._schema = self._parquet.schema_arrow
                self.num_rows = self._parquet.metadata.num_rows
            else:
                self._parquet = None
                source = pa.memory_map(os.fspath(file))
                try:
                    reader = pa.ipc.open_stream(source)
                except pa.ArrowInvalid:
                    source.seek(0)
                    reader = pa.ipc.open_file(source)
                self._table = reader.read_all()
                self._table.validate(full=True)
                self._schema = self._table.schema
                self.num_rows = self._table.num_rows
            if not 0 <= self.num_rows <= 64 * file.stat().st_size:
                raise ValueError(f"it says that it has {self.num_rows:,} rows")
        except Exception as error:  # pyarrow lets through whatever damage leads it to
            raise self._damaged(error) from error
        self.columns = list(self._schema.names)

    def choose(self, column: str | None) -> str:
        import pyarrow as pa

        place = legible(str(self.file))
        if column is not None:
            if column not in self.columns:
                raise InputError(f"{place} has no column {column!r}: it has {listed(self.columns)}")
            return column
        encoded = [name for name in self.columns if self.holds_encoded(name)]
        numbers = [
            name for name in self.columns if pa.types.is_nested(self._plain(name)) and name not in encoded
        ]
        for found in (encoded, numbers):
            usual = [name for name in USUAL_COLUMNS if name in found]
            if len(found) == 1 or len(usual) == 1:
                return usual[0] if usual else found[0]
            if found:
                break
        there = f"{place} has the columns {listed(self.columns) or 'none'}, of which"
        if encoded or numbers:
            raise InputError(f"{there} more than one could hold the items: say which with FILE:COLUMN")
        raise InputError(
            f"{there} none can hold the items, for an item is one picture or one list of numbers: save columns of "
            "single numbers as an array [item, number] (.npy)"
        )

    def holds_encoded(self, column: str) -> bool:
        """Whether a column holds the bytes of image files."""
        import pyarrow as pa

        kind = self._plain(column)
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    def encoded(self, column: str) -> Iterator[io.BytesIO | Path | Exception]:
        """One file an image."""
        for batch in self._batches(column):
            for value in batch:
                held = value.as_py()
                content = held.get("bytes") if isinstance(held, dict) else held
                if content:
                    yield io.BytesIO(content)
                else:
                    path = held.get("path") if isinstance(held, dict) else None
                    beside = self.file.parent / path if path else None
                    yield (
                        beside
                        if beside and beside.is_file()
                        else ValueError(
                            f"it is the file {path}, which is not there" if path else "it is empty"
                        )
                    )

    def numbers(self, column: str) -> np.ndarray:
        """A column of lists of numbers as one array."""
        parts = []
        for batch in self._batches(column):
            parts.append(_dense(batch, f"{legible(str(self.file))}:{column}"))
        return np.concatenate(parts)

    def _plain(self, column: str):
        kind = self._schema.field(column).type
        return getattr(kind, "storage_type", kind)

    def _batches(self, column: str) -> Iterator[Any]:
        try:
            if self._parquet is not None:
                self._require_plausible(column)
                batches = (
                    b.column(0) for b in self._parquet.iter_batches(batch_size=BATCH, columns=[column])
                )
            else:
                batches = (chunk for chunk in self._table.column(column).chunks)
            total = 0
            for batch in batches:
                total += len(batch)
                yield getattr(batch, "storage", batch)
            if total != self.num_rows:
                raise ValueError(f"{total:,} of {self.num_rows:,} rows are there")
        except InputError:
            raise
        except Exception as error:
            raise self._damaged(error) from error

    def _require_plausible(self, column: str) -> None:
        """Refuses a column that unpacks to far more than it takes, before it is unpacked."""
        assert self._parquet is not None
        told, unpacked = self._parquet.metadata, 0
        for group in range(told.num_row_groups):
            for number in range(told.num_columns):
                leaf = told.row_group(group).column(number)
                if leaf.path_in_schema.partition(".")[0] == column:
                    size = _BYTES.get(leaf.physical_type, 1)
                    unpacked += max(leaf.total_uncompressed_size, size * leaf.num_values)
        packed = self.file.stat().st_size
        if unpacked > max(BOMB[1], BOMB[0] * packed):
            raise ValueError(f"{column} unpacks to {unpacked / 1e9:,.1f} GB from {packed / 1e6:,.1f} MB")

    def _damaged(self, error: Exception) -> InputError:
        return InputError(
            f"cannot read {legible(str(self.file))} as {self.file.suffix.lower()[1:]} ({first_line(error)}): "
            "make or fetch it again"
        )


def _dense(array: Any, what: str) -> np.ndarray:
    """Nested lists of one length each, as an array."""
    import pyarrow as pa

    shape = [len(array)]
    while (
        pa.types.is_list(array.type)
        or pa.types.is_large_list(array.type)
        or pa.types.is_fixed_size_list(array.type)
    ):
        if array.null_count:
            raise InputError(f"{what} has empty rows: remove them")
        inner = array.flatten()
        length, rest = divmod(len(inner), max(len(array), 1))
        lengths = array.value_lengths() if not pa.types.is_fixed_size_list(array.type) else None
        if rest or (lengths is not None and len(lengths.unique()) > 1):
            raise InputError(f"{what} has rows of different lengths: bring them to one")
        shape.append(length)
        array = getattr(inner, "storage", inner)
    if array.null_count or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        raise InputError(f"{what} holds {array.type}, not plain numbers: give a column of images or numbers")
    values = array.to_numpy(zero_copy_only=False)
    assert math.prod(shape) == len(values)
    return values.reshape(shape)
