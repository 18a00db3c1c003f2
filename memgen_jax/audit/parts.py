"""An audit shared out: each part searches for its share of the items, and a merge joins what all have found.

    for i in range(8):
        audit.run_part(settings, (i, 8))      # anywhere, at any time, in any order, in one output folder
    audit.run(settings, merge=True)

Searches are for one item at a time, so the merge writes the bytes of an audit that was not shared out.
"""

import dataclasses
import hashlib
import io
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from memgen_jax import metrics
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.audit.comparing import Distances, compare, side_of
from memgen_jax.audit.folder import require_writable, written_in
from memgen_jax.audit.foretelling import Counts, foretell
from memgen_jax.audit.reading import choose_metric, foresee, load
from memgen_jax.audit.settings import AuditSettings, check
from memgen_jax.data import Items
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import expanded, shown, write_whole
from memgen_jax.mapped import let_go

FOLDER = ".parts"  # in the output folder, until the merge
MOST = 99_999  # parts: their numbers have five digits
_BLOCK = 2**26  # bytes of a set that are read at a time for its mark


@takes_arrays
def run_part(
    settings: AuditSettings, part: tuple[int, int], say: Callable[[str], object] = print
) -> Distances:
    """Searches for the i-th of n shares of the items, and keeps what it finds in the output folder.

    Args:
      settings: as for `run`; all parts and the merge must have the same.
      part: (i, n), i in 0..n - 1.
    Raises:
      InputError: anything in the settings, the files or the folder that cannot work.
    """
    check(settings)
    index, count = part
    if not 0 <= index < count <= MOST:
        raise InputError.setting("shard", f"{index}/{count}", f"i/n with i in 0..n - 1, n at most {MOST:,}")
    if settings.distances is not None:
        raise InputError(
            f"{FIELD[0]} has nothing to search for, so leave out {FIELD[1]}", "distances", "shard"
        )
    foresee(settings)
    require_writable(settings.out)
    sets = load(settings, say)
    metric = choose_metric(settings, sets.train.values.shape[1:])
    counts = Counts.of(sets.train, sets.samples, sets.holdout)
    foretell(settings, metric, counts, sets.train.values, say, shards=count)
    train, samples = (
        side_of(settings, metric, items, name)
        for name, items in (("training set", sets.train), ("samples", sets.samples))
    )
    found = compare(settings, metric, train, samples, sets.holdout, part)
    kept = {
        field.name: value
        for field in dataclasses.fields(found)
        if (value := getattr(found, field.name)) is not None
    }
    stream = io.BytesIO()
    np.savez(stream, mark=np.array(_mark(settings, metric, sets.train, sets.samples, sets.holdout)), **kept)
    with written_in(settings.out):
        write_whole(_file(settings, part), stream.getvalue())
    missing = [i for i in range(count) if not _file(settings, (i, count)).exists()]
    say(
        f"Part {index}/{count} is done: {len(found.train):,} of {len(sets.samples.values):,} samples. "
        + (
            f"Still to be done: {_named(missing, count)}."
            if missing
            else "All parts are: the merge is the same with --merge."
        )
    )
    return found


def join(
    settings: AuditSettings, metric: metrics.Metric, train: Items, samples: Items, holdout: Items | None
) -> Distances:
    """What all parts have found, one after another.

    Raises:
      InputError: a part is missing, damaged, or of other sets or settings.
    """
    folder = Path(settings.out) / FOLDER
    counts = {int(file.stem.rpartition("-")[2]) for file in shown(folder.glob("*-of-*.npz"))}
    if len(counts) != 1:
        there = (
            f"parts of {', '.join(map(str, sorted(counts)))}: keep those of one number"
            if counts
            else f"no part: run them first, with {FIELD[1]} i/n"
        )
        raise InputError(f"{FIELD[0]} {settings.out} holds {there}", "out", "shard")
    (count,) = counts
    missing = [i for i in range(count) if not _file(settings, (i, count)).exists()]
    if missing:
        raise InputError(
            f"{FIELD[0]} {settings.out} lacks {_named(missing, count)}: run them with {FIELD[1]}",
            "out",
            "shard",
        )
    mark = _mark(settings, metric, train, samples, holdout)
    parts = [
        _read(_file(settings, (i, count)), mark, f"part {i}/{count} in {settings.out}") for i in range(count)
    ]
    joined: dict[str, np.ndarray | None] = {}
    for field in dataclasses.fields(Distances):
        own = [part.get(field.name) for part in parts]
        joined[field.name] = None if own[0] is None else np.concatenate(own)  # type: ignore[arg-type]
    return Distances(**joined)  # type: ignore[arg-type]


def take_away(settings: AuditSettings) -> None:
    """The parts, once the whole is written, and what a stopped one has left; another merge may do the same."""
    shutil.rmtree(Path(settings.out) / FOLDER, ignore_errors=True)


def _file(settings: AuditSettings, part: tuple[int, int]) -> Path:
    return Path(settings.out) / FOLDER / f"{part[0]:05d}-of-{part[1]:05d}.npz"


def _named(missing: list[int], count: int) -> str:
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return f"part{'s' * (len(missing) > 1)} {', '.join(f'{i}/{count}' for i in missing[:5])}{more}"


def _read(file: Path, mark: str, what: str) -> Mapping[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as stored:
            part = dict(stored)
        theirs = str(part.pop("mark"))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"{what} is damaged: run it again with {FIELD[0]}", "shard") from None
    if theirs != mark:
        raise InputError(f"{what} is of other sets or other settings: run it again with {FIELD[0]}", "shard")
    return part


def _mark(
    settings: AuditSettings, metric: metrics.Metric, train: Items, samples: Items, holdout: Items | None
) -> str:
    """What all parts of one audit have in common: the sets to the byte, and the settings that distances follow from."""
    asked = (
        metric.name,
        settings.up_to,
        settings.top,
        settings.ratio is None,
        settings.skip_duplicates_check,
    )
    mark = hashlib.blake2b(repr(asked).encode(), digest_size=16)
    if settings.encoder is not None:
        mark.update(expanded(settings.encoder).read_bytes())
    for items in (train, samples, holdout):
        if items is None:
            continue
        values = items.values
        mark.update(f"{values.shape} {values.dtype}".encode())
        step = max(1, _BLOCK // max(1, values[:1].nbytes))
        for start in range(0, len(values), step):
            mark.update(np.ascontiguousarray(values[start : start + step]).data)
            let_go(values)
    return mark.hexdigest()
