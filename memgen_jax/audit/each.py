"""Several sets of samples, such as epochs of one training or several models, against one training set.

    results = audit.run_each(settings)    # settings.samples: a path, or NAME=PATH, for every set

The training and the held-out set are read, embedded and searched once. Every set gets the files of an audit in a folder
of its name; beside them stand `sets.csv`, a line per set, and one page with the curve over all of them.
"""

import csv
import dataclasses
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.audit.comparing import Distances, Side, compare, side_of
from memgen_jax.audit.concluding import Result
from memgen_jax.audit.folder import PAGE, SETS, require_folder_of_sets, require_writable, written_in
from memgen_jax.audit.foretelling import Counts, foretell
from memgen_jax.audit.program import compared_of, conclude_and_write
from memgen_jax.audit.reading import Read, choose_metric, decided_ranges, foresee, load
from memgen_jax.audit.settings import AuditSettings, check
from memgen_jax.audit.writing import Sides
from memgen_jax.data import legible
from memgen_jax.data.sources import locate
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import write_together
from memgen_jax.report import audit_page

NUMBERS = ("memorized", "spurious", "generalized")
HEADER = (
    "set",
    "num_train",
    "num_synthetic",
    *(f"{phase}{end}" for phase in NUMBERS for end in ("", "_low", "_high")),
    "delta_m",
    "delta_s",
    "dcr_share",
    "dcr_share_low",
    "dcr_share_high",
)


@takes_arrays
def run_each(settings: AuditSettings, say: Callable[[str], object] = print) -> dict[str, Result]:
    """Audits every source of `settings.samples` as a set of its own.

    Args:
      settings: as for `run`; a source may be NAME=PATH, else a set is called as the last part of its path. Thresholds
        must be such as hold for all sets: calibrated with a holdout, by name, or given.
      say: gets one line at a time.
    Returns:
      Name -> answer, in the order of the sources.
    Raises:
      InputError: anything in the settings, the files or the folder that cannot work. Sets that were done before stay.
    """
    named = name_sets(settings.sources("samples"))
    settings = dataclasses.replace(settings, samples=tuple(named.values()))
    check(settings)
    if settings.distances is not None:
        raise InputError(
            f"{FIELD[0]} holds one set that was compared; leave out {FIELD[1]}", "distances", "each"
        )
    if settings.holdout is None and not settings.has_rule:
        raise InputError(
            f"several sets need thresholds that hold for all of them: give {FIELD[0]} with unseen real images, or "
            f"{FIELD[1]} and {FIELD[2]}, or {FIELD[3]} by name",
            *("holdout", "delta_m", "delta_s", "thresholds"),
        )
    for source in named.values():
        locate(source)
    foresee(settings)
    require_folder_of_sets(settings.out, named)
    ranges = decided_ranges(settings)
    results: dict[str, Result] = {}
    kept: tuple[Read, Side, Side | None, Distances] | None = None
    for name, source in named.items():
        own = dataclasses.replace(settings, samples=source, out=str(Path(settings.out) / name))
        require_writable(own.out)
        say(f"{legible(name)}:")
        sets = load(own, say, before=kept and kept[0], ranges=ranges)
        metric = choose_metric(own, sets.train.values.shape[1:])
        if kept is None:
            foretell(own, metric, Counts.of(sets.train, sets.samples, sets.holdout), sets.train.values, say)
            train = side_of(own, metric, sets.train, "training set")
            unseen = side_of(own, metric, sets.holdout, "holdout") if sets.holdout else None
        else:
            _, train, unseen, _ = kept
        sides = Sides(train, side_of(own, metric, sets.samples, "samples"))
        found = compare(own, metric, *sides, unseen, before=kept and kept[3])
        results[name] = conclude_and_write(own, compared_of(own, metric, sets, found), sides, say)
        kept = kept or (sets, train, unseen, found)
    rows = [row_of(name, result.summary) for name, result in results.items()]
    _write(settings, rows, next(iter(results.values())).summary)
    return results


def name_sets(sources: Sequence[str]) -> dict[str, str]:
    """Name -> path, in their order.

    Raises:
      InputError: two sets would have one name, or a name cannot be that of a folder.
    """
    named: dict[str, str] = {}
    for source in sources:
        before, equals, after = source.partition("=")
        given = bool(
            equals and before and "/" not in before and not os.path.exists(os.path.expanduser(source))
        )
        path = after if given else source
        plain = path.rstrip("/").rpartition("/")[2].rpartition(":")[2]
        name = before if given else Path(plain).stem if Path(path).suffix else plain
        if name in ("", ".", "..", SETS, PAGE) or "\0" in name:
            raise InputError(
                f"{FIELD[0]} {legible(source)} gives the set no name; write NAME={legible(path)}", "samples"
            )
        if name in named:
            raise InputError(
                f"{FIELD[0]} {legible(source)} and {legible(named[name])} would both be called {legible(name)}; write "
                "NAME=PATH for each",
                "samples",
            )
        named[name] = path
    return named


def row_of(name: str, summary: dict[str, Any]) -> dict[str, Any]:
    """A line of sets.csv."""
    dcr = summary["dcr_share"] or {"share": None, "low": None, "high": None}
    told = {"dcr_share": dcr["share"], "dcr_share_low": dcr["low"], "dcr_share_high": dcr["high"]}
    return {column: ({"set": name} | summary | told)[column] for column in HEADER}


def _write(settings: AuditSettings, rows: list[dict[str, Any]], summary: dict[str, Any]) -> None:
    table = io.StringIO()
    writer = csv.DictWriter(table, HEADER, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow(
            {key: "" if v is None else f"{v:.6g}" if isinstance(v, float) else v for key, v in row.items()}
        )
    page = audit_page.render_sets(rows, summary)
    with written_in(settings.out):
        write_together(
            settings.out,
            {SETS: table.getvalue().encode(errors="backslashreplace"), PAGE: page.encode()},
        )
