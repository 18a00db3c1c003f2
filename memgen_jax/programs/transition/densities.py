"""The onset paper's view of a transition run: do all samples together lie nearer to S, or to unseen items?

Beside the labels of single samples, Δ = E_TG - E_OG compares whole densities: P(Δ > 0) crosses one half where
half of the samples are copies and the rest is as good as new data (see `onset.compare`). Writes

onset.csv         one row for each K and view (and width): Δ and P(Δ > 0), and the same of two controls: held-out items
                  stand for the samples of a perfect model (columns fresh_…), and as many unseen items for S
                  (placebo_…), which the samples cannot have copied. `probability_over` says what is drawn again in
                  P(Δ > 0): "training sets" where seeds have subsets of their own, as in the paper, else "samples and
                  unseen items" of the training sets there are
transition.json   gains "onset": view -> the K at which P(Δ > 0) crosses one half, between which it rises from 5% to 95%
                  (window), where E_OG begins to fall (fall), and which of the paper's scenarios that is (of each width
                  under by_width)
capacity.csv      with several widths: the K at which each turns, by either paper
"""

import csv
import itertools
import json
import math
from typing import Any

import numpy as np

from memgen_jax import data, onset, phases, runs, statistics, sweep
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import (
    each_width,
    load_samples,
    of_width,
    read_table,
    shown_width,
    write_rows,
)
from memgen_jax.report import onset_figures
from memgen_jax.report.transition_figures import CriticalSize

NUM_RESAMPLES = 200  # of samples and unseen items; fewer where phases.num_bootstrap is smaller
CROSSING = "P(Δ > 0) crosses one half, {}"


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Writes the tables. After `tables.classify`; nothing where fewer than 2 items are unseen."""
    rows: list[dict[str, Any]] = []
    critical: dict[int | None, dict[str, Any]] = {}
    sizes = sorted({member.num_train for member in run.members})
    at = width_at(run, workdir)
    known = UnseenSets(run.settings.onset_items)
    fresh = {
        view: {size: compare_fresh(run, size, view, at, known) for size in sizes} for view in onset.VIEWS
    }
    for width in run.widths:
        members = [member for member in run.members if member.width == width]
        found = {view: compare_sizes(run, workdir, members, view, at, known) for view in onset.VIEWS}
        placebo = {view: compare_placebo(run, workdir, members, view, at, known) for view in onset.VIEWS}
        for view, comparisons in found.items():
            for size, seeds in comparisons.items():
                row = pooled_row(seeds, over_sets(run)) | {"num_train": size, "num_seeds": len(seeds)}
                row |= fresh[view][size]
                row |= placebo_columns(placebo[view].get(size, []))
                rows.append(row if width is None else row | {"width": width})
        critical[width] = {
            view: critical_size(comparisons, over_sets(run)) for view, comparisons in found.items()
        }
    if not rows:
        return
    outcome = json.loads((workdir / "transition.json").read_text()) | {"onset": critical[shown_width(run)]}
    if len(critical) > 1:
        for width, own in each_width(run, outcome).items():
            own["onset"] = critical[width]
        outcome["onset_by_width"] = {str(width): found for width, found in critical.items()}
        workdir.write_csv("capacity.csv", capacity_rows(outcome))
    workdir.write_json("transition.json", outcome)
    write_rows(run, workdir, "onset.csv", rows)


class UnseenSets:
    """Sets of unseen items as densities: what depends on them alone is worked out once where they stay the same.

    Of more than `most` items the first of those held out are taken, and then the last to train on: the same at
    every K that leaves so many.
    """

    def __init__(self, most: int):
        self._most = most
        self._kept: dict[tuple[str, str], tuple[np.ndarray, onset.Unseen]] = {}

    def of(self, view: str, role: str, held_out: np.ndarray, beyond: np.ndarray) -> onset.Unseen:
        """The density of these items.

        Args:
          role: whose sets follow each other: "samples" or "fresh".
          held_out, beyond: items as stored.
        """
        first = held_out[: self._most]
        items = np.concatenate([first, beyond[max(0, len(beyond) + len(first) - self._most) :]])
        there = self._kept.get((view, role))
        if there is None or not np.array_equal(there[0], items):
            made = onset.Unseen(as_vectors(items), view=view, max_items=self._most)
            there = self._kept[view, role] = (items, made)
        return there[1]


def compare_sizes(
    run: TransitionRun,
    workdir: runs.Workdir,
    members: list[sweep.Member],
    view: str,
    at: int,
    known: UnseenSets,
) -> dict[int, list[onset.Comparison]]:
    """K -> the comparison of every seed. Unseen are the held-out items and the training items beyond K."""
    found: dict[int, list[onset.Comparison]] = {}
    for size, seeds in itertools.groupby(members, key=lambda member: member.num_train):
        if min(size, len(run.dataset.held_out) + len(run.train) - size) < 2:
            continue
        found[size] = [
            known.of(view, "samples", run.dataset.held_out, run.beyond(member)).compare(
                as_vectors(run.train_of(member)),
                as_vectors(load_samples(workdir, member)),
                width_at=at,
                resamples=num_resamples(run),
                seed=size,  # so that sizes are resampled independently
            )
            for member in seeds
        ]
    return found


def compare_fresh(
    run: TransitionRun, size: int, view: str, at: int, known: UnseenSets
) -> dict[str, float | None]:
    """The control's columns: held-out items as samples, against S and the training items beyond K."""
    columns = ("relative_delta", "p_delta_positive", "p_delta_positive_low", "p_delta_positive_high")
    member = run.one_a_subset(size)[0]
    held_out, beyond = run.dataset.held_out, run.beyond(member)
    if min(size, len(held_out), len(beyond)) < 2:
        return {f"fresh_{name}": None for name in columns}
    found = known.of(view, "fresh", held_out[:0], beyond).compare(
        as_vectors(run.train_of(member)),
        as_vectors(held_out),
        width_at=at,
        resamples=num_resamples(run),
        seed=size,
    )
    row = found.row()
    return {f"fresh_{name}": row[name] for name in columns}  # type: ignore[misc]


def compare_placebo(
    run: TransitionRun,
    workdir: runs.Workdir,
    members: list[sweep.Member],
    view: str,
    at: int,
    known: UnseenSets,
) -> dict[int, list[onset.Comparison]]:
    """K -> the comparison of every seed with K unseen items in place of S; none where so many are not unseen."""
    found: dict[int, list[onset.Comparison]] = {}
    for member in members:
        beyond, size = run.beyond(member), member.num_train
        rest = len(run.dataset.held_out) + len(beyond) - size
        if min(size, rest) < 2 or len(beyond) < size:
            continue
        found.setdefault(size, []).append(
            known.of(view, "samples", run.dataset.held_out, beyond[size:]).compare(
                as_vectors(beyond[:size]),
                as_vectors(load_samples(workdir, member)),
                width_at=at,
                resamples=num_resamples(run),
                seed=size,
            )
        )
    return found


def placebo_columns(seeds: list[onset.Comparison]) -> dict[str, float | None]:
    names = ("relative_delta", "p_delta_positive", "p_delta_positive_low", "p_delta_positive_high")
    row = pooled_row(seeds, False) if seeds else dict.fromkeys(names)
    return {f"placebo_{name}": row[name] for name in names}


def over_sets(run: TransitionRun) -> bool:
    """Whether the seeds are draws of the training set, over which P(Δ > 0) can be taken."""
    return run.settings.subsets == "own" and len(set(run.settings.seeds)) > 1


def width_at(run: TransitionRun, workdir: runs.Workdir) -> int:
    """The n at which the one kernel width of a sweep is taken: the fewest items that any density here is made of.

    That is the unseen ones of the largest K, or that K where it is smaller. A run that grows keeps the n with which it
    began (onset.json), so that what was found for a K stays.
    """
    file = workdir / "onset.json"
    kept = json.loads(file.read_text()) if file.exists() else {}
    if kept.get("onset_items") != run.settings.onset_items:
        largest = max(member.num_train for member in run.members)
        unseen = len(run.dataset.held_out) + len(run.train) - largest
        found = max(2, min(largest, unseen or largest, run.settings.onset_items))
        kept = {"width_at": found, "onset_items": run.settings.onset_items}
        workdir.write_json("onset.json", kept)
    return kept["width_at"]


def num_resamples(run: TransitionRun) -> int:
    return min(NUM_RESAMPLES, run.settings.phases.num_bootstrap)


def as_vectors(items: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] or points, float32 [item, dim]."""
    values = data.decode(items) if items.dtype == np.uint8 else items
    return np.asarray(values, np.float32).reshape(len(items), math.prod(items.shape[1:]))


def pooled_row(seeds: list[onset.Comparison], sets_redrawn: bool) -> dict[str, Any]:
    """One row of onset.csv: means over the seeds, and the bootstrap of all of them together.

    Where the training sets are redrawn, P is the share of these whose Δ is positive (Wilson's interval over their
    number), and the interval of Δ is Student's over them, or the bootstrap's where wider.
    """
    rows = [one.row() for one in seeds]
    row = dict(rows[0]) | {
        name: float(np.mean([one[name] for one in rows]))
        for name in ("e_tg", "e_og", "delta", "relative_delta")
    }
    replicates = np.concatenate([one.replicates for one in seeds])
    low, high = np.quantile(replicates, [0.025, 0.975])
    deltas = np.array([one["delta"] for one in rows])
    if sets_redrawn:
        own_low, own_high = statistics.student_interval(deltas)
        low, high = min(low, own_low), max(high, own_high)
    names = ("p_delta_positive", "p_delta_positive_low", "p_delta_positive_high")
    signs = deltas if sets_redrawn else replicates
    probability: dict[str, Any] = dict(zip(names, onset.probability_positive(signs), strict=True))
    probability["probability_over"] = "training sets" if sets_redrawn else "samples and unseen items"
    return row | {"delta_low": float(low), "delta_high": float(high)} | probability


def critical_size(comparisons: dict[int, list[onset.Comparison]], sets_redrawn: bool) -> dict[str, Any]:
    """Where P(Δ > 0) turns, among the sizes with more unseen than training items, and where E_OG falls.

    At larger K few unseen items stand for the truth, and what they say of it is uncertain. Over redrawn training sets
    the interval is Student's over the K at which each one's Δ crosses zero, in log K, or that of resampled sets where
    wider.
    """
    sizes = [size for size, seeds in comparisons.items() if size < seeds[0].num_held_out]
    if not sizes:
        found = dict.fromkeys(("num_train", "low", "high", "crossed", "largest_comparable"))
        return found | {"window": (None, None), "fall": None, "scenario": None}
    deltas = np.array([[one.e_tg - one.e_og for one in comparisons[size]] for size in sizes])
    replicates = np.stack([np.concatenate([one.replicates for one in comparisons[size]]) for size in sizes])
    if sets_redrawn:
        found = onset.critical_size(sizes, deltas)
        zeros = [
            phases.half_crossing(np.array(sizes, float), 0.5 + curve, np.ones(len(sizes)), increasing=True)
            for curve in deltas.T
        ]
        logs = np.log([zero for zero in zeros if np.isfinite(zero)])
        if found["num_train"] is not None and len(logs) > 1:
            low, high = np.exp(np.clip(statistics.student_interval(logs), *np.log([min(sizes), max(sizes)])))
            found |= {
                "low": min(found["low"] or low, float(low)),
                "high": max(found["high"] or high, float(high)),
            }
    else:
        found = onset.critical_size(sizes, replicates, bootstrap=True)
    at = np.array(sizes, np.float64)
    window = onset.turn_window(at, deltas if sets_redrawn else replicates)
    errors = np.array([[one.e_og for one in comparisons[size]] for size in sizes])
    known = len(sizes) > 1 and errors.min() > 0
    fall = onset.onset_of_fall(at, np.log(errors)) if known else onset.Fall(None, None, None, False)
    return found | {
        "largest_comparable": max(sizes),
        "window": window,
        "fall": fall._asdict(),
        "scenario": onset.scenario(fall, window),
    }


def capacity_rows(outcome: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of capacity.csv: for each width and sign of the turn, the K at which it comes."""
    rows = []
    for width, views in outcome["onset_by_width"].items():
        phases_of_width = outcome["critical_by_width"][width]
        turns = {
            "memorized falls to 50%": phases_of_width["memorized_half"],
            "generalized reaches 50%": phases_of_width["generalized_half"],
        } | {CROSSING.format(onset_figures.VIEW_NAMES[view]): found for view, found in views.items()}
        for turn, found in turns.items():
            size = {"critical_num_train": found["num_train"], "low": found["low"], "high": found["high"]}
            rows.append({"width": int(width), "turn": turn} | size)
    return rows


def exists(workdir: runs.Workdir) -> bool:
    return (workdir / "onset.csv").exists()


def marks(outcome: dict[str, Any], width: int | None = None) -> list[CriticalSize]:
    """The critical sizes of both views, for the page; `width` is named there."""
    return [
        CriticalSize(
            CROSSING.format(onset_figures.VIEW_NAMES[view]),
            found["num_train"],
            found["low"],
            found["high"],
            width=width,
        )
        for view, found in outcome.get("onset", {}).items()
    ]


def draw(run: TransitionRun, workdir: runs.Workdir) -> tuple[Any, str, str]:
    """Both papers' views over one axis of K, for the shown width: the figure, its description, its caption."""
    width = shown_width(run)
    critical = json.loads((workdir / "transition.json").read_text())["onset"]
    fractions = of_width(read_table(workdir, "fractions.csv"), width)
    alt = "Fractions of the three phases above, P(Δ > 0) below, against the training-set size."
    caption = (
        "Top: what single samples are. Middle: whether all of them together lie nearer to unseen items (towards 1) "
        "or to the training set (copies: −1; below that they are farther from unseen items than copies would be). "
        "Bottom: the chance that this Δ is positive. Bands are 95% intervals; a dotted line stands where that chance "
        "crosses one half. Dashed: held-out items in place of the samples, as a perfect model would make them."
    )
    onset_rows = of_width(read_rows(workdir, "onset.csv"), width)
    title = f"width {width}" if len(run.widths) > 1 else ""
    return onset_figures.both_views(fractions, onset_rows, critical, title), alt, caption


def draw_capacity(workdir: runs.Workdir) -> tuple[Any, str, str]:
    """The K at which each width turns: the figure, its description, its caption."""
    alt = "Training-set size at which the model turns from copying to creating, against its width."
    caption = (
        "A wider network copies larger training sets: where a line lies above K, a network of that width still "
        "copies K items. Bars are 95% intervals; a turn that does not fall within the sweep is left out."
    )
    return onset_figures.capacity(read_rows(workdir, "capacity.csv")), alt, caption


def read_rows(workdir: runs.Workdir, name: str) -> list[dict[str, Any]]:
    """A table whose cells are words, numbers, or blank where there is none."""
    rows = csv.DictReader((workdir / name).read_text().splitlines())
    words = ("view", "turn", "probability_over")
    return [{k: v if k in words else float(v) if v else None for k, v in row.items()} for row in rows]
