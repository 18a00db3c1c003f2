"""Compares finished transition runs: `memgen compare RUN RUN… --out DIR`.

Reads the tables of each run; writes compare.csv (critical sizes), differences.csv (their ratios, with
intervals), figures/compare.png and .pdf, compare.json (settings that differ) and report.html.
"""

import csv
import io
import itertools
import json
from collections.abc import Sequence
from typing import Any

from etils import epath

from memgen_jax.errors import InputError
from memgen_jax.files import write_together
from memgen_jax.programs import columns
from memgen_jax.programs.compare.runs_read import (
    QUANTITIES,
    Curve,
    FinishedRun,
    differing_settings,
    names_of,
    read_run,
)
from memgen_jax.programs.exits import OneLineParser
from memgen_jax.statistics import ratio

WRITTEN = ("compare.csv", "differences.csv", "compare.json")


def main(argv: Sequence[str]) -> None:
    """Reads the command line after `memgen compare`, and compares."""
    parser = OneLineParser(
        prog="memgen compare", description="Which sizes K differ between finished transition runs?"
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="workdir of a finished transition run")
    parser.add_argument("--out", required=True, metavar="DIR", help="gets the tables, figure and page")
    given = parser.parse_args(argv)
    print(compare(given.runs, given.out))
    print(f"Written: {', '.join(WRITTEN)}, figures/, report.html in {given.out}")


def compare(folders: Sequence[str], out: str) -> str:
    """Compares the runs and writes what was found.

    Args:
      folders: workdirs of at least two finished transition runs.
      out: a new folder, or one that a comparison wrote before.
    Returns:
      The answer in sentences.
    Raises:
      InputError: fewer than two runs, one that is not finished, or a folder with files of others.
    """
    if len(folders) < 2:
        raise InputError("a comparison needs at least two runs.")
    require_own_folder(out)
    runs = [read_run(folder, name) for folder, name in zip(folders, names_of(list(folders)), strict=True)]
    curves = [curve for run in runs for curve in run.curves]
    differences = difference_rows(curves)
    changed = differing_settings(runs)
    answer = answer_of(differences)
    files = {
        "compare.csv": _csv(critical_rows(curves)),
        "differences.csv": _csv(differences),
        "compare.json": json.dumps(
            {"runs": list(folders), "settings_that_differ": changed}, indent=1
        ).encode(),
    }
    write_together(out, files)
    draw(runs, curves, differences, changed, answer, out)
    return answer


def critical_rows(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """One row per curve and critical size; empty where the sweep does not reach it."""
    rows = []
    for curve, quantity in itertools.product(curves, QUANTITIES):
        found = curve.critical[quantity]
        value, low, high = found or (None, None, None)
        rows.append(
            {"run": curve.name, "quantity": quantity, "critical_num_train": value, "low": low, "high": high}
        )
    return rows


def difference_rows(curves: Sequence[Curve]) -> list[dict[str, Any]]:
    """One row per pair of curves and critical size that both reach: the ratio of the sizes.

    `differs` says whether the ratio's interval leaves out 1.
    """
    rows = []
    for quantity in QUANTITIES:
        for first, second in itertools.combinations(curves, 2):
            a, b = first.critical[quantity], second.critical[quantity]
            if a is None or b is None:
                continue
            found = ratio(a, b)
            rows.append(
                {
                    "quantity": quantity,
                    "first": first.name,
                    "second": second.name,
                    "first_num_train": a.value,
                    "second_num_train": b.value,
                    "ratio": found.value,
                    "ratio_low": found.low,
                    "ratio_high": found.high,
                    "differs": not found.low <= 1 <= found.high,
                }
            )
    return rows


def answer_of(differences: Sequence[dict[str, Any]]) -> str:
    """What differs, in words: first what does, then what does not, then what is not reached."""
    differing, alike, open_ones = [], [], []
    for quantity, words in QUANTITIES.items():
        own = [row for row in differences if row["quantity"] == quantity]
        apart = [
            f"{row['ratio']:.2f} times as large in {row['second']} as in {row['first']} "
            f"({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
            for row in own
            if row["differs"]
        ]
        if not own:
            open_ones.append(f"The K at which {words} is not reached by two of the runs.")
        elif apart:
            differing.append(f"The K at which {words} is {'; '.join(apart)}.")
        else:
            alike.append(words)
    listed = " or ".join(filter(None, (", ".join(alike[:-1]), *alike[-1:])))
    same = [f"No difference beyond the intervals is found in the K at which {listed}."] if alike else []
    return " ".join([*differing, *same, *open_ones])


def require_own_folder(out: str) -> None:
    """Refuses a folder that holds files which no comparison wrote."""
    folder = epath.Path(out)
    if not out or (folder.exists() and not folder.is_dir()):
        raise InputError.setting("out", out, "a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / "compare.json").exists():
        raise InputError.setting("out", out, "a new folder or that of an earlier comparison")


def draw(
    runs: Sequence[FinishedRun],
    curves: Sequence[Curve],
    differences: Sequence[dict[str, Any]],
    changed: dict[str, list[Any]],
    answer: str,
    out: str,
) -> None:
    """figures/compare.png, .pdf and report.html."""
    from memgen_jax.report import compare_figures, page, style

    figure = compare_figures.overlaid([(curve.name, curve.rows) for curve in curves])
    style.save(figure, epath.Path(out) / "figures" / "compare")
    picture = page.picture(
        epath.Path(out) / "figures" / "compare.png",
        alt="Shares of memorized, spurious and generalized samples against K, one curve a run",
        caption="Each phase's share against the training-set size, one curve a run, with its 95% interval.",
    )
    html = page.render(
        "compare.html",
        title="Do these runs turn at the same K?",
        answer=answer,
        runs=runs,
        critical=critical_rows(curves),
        differences=differences,
        quantities=QUANTITIES,
        changed=changed,
        overlaid=picture,
    )
    page.write(epath.Path(out) / "report.html", html)
    columns.write(out)


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    if not rows:
        return b""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
