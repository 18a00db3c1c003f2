"""The figures and the page of a transition run, from the tables on disk.

Of a sweep over widths every table and sentence is of each. What takes room is drawn for one, `shown_width`, and
named so: histograms and examples, with those of the others folded below, and both papers' views over one axis.
"""

import csv
import itertools
import json
from typing import Any

import numpy as np

from memgen_jax import phases, runs, sweep
from memgen_jax.programs.transition import denoising, densities, halves, other_thresholds, sentences, steps
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import (
    each_width,
    labels_of,
    load_samples,
    of_width,
    read_table,
    shown_width,
)
from memgen_jax.programs.transition.thresholds import RATE_RULE, SizedThresholds, first_rule
from memgen_jax.report import (
    example_figures,
    histogram_figures,
    page,
    repeats_figures,
    style,
    transition_figures,
    transition_page,
)

NUM_EXAMPLES = 6
NUM_NEIGHBORS = 4
PARTS = ("sampling", "thresholds", "trainings")  # of a critical size's interval


def report(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Stage 5: figures/ and report.html, from the files of the stages before."""
    outcome = json.loads((workdir / "transition.json").read_text())
    results = each_width(run, outcome)
    rows = read_table(workdir, "fractions.csv")
    rows_of = {width: of_width(rows, width) for width in run.widths}
    control_rows = read_table(workdir, "control.csv")
    rule, in_use = first_rule(run, workdir), outcome["thresholds"]
    sized = in_use["num_samples"] is not None  # δ_s belongs to the size of a set
    critical = {width: critical_marks(found["critical"], width) for width, found in results.items()}
    metric = outcome["metric"]
    shown, several = shown_width(run), len(run.widths) > 1
    common = at_common_size(run, workdir, results)
    two_seeds = len(set(run.settings.seeds)) == 2

    panels = [
        transition_figures.TransitionPanel(
            rows_of[width],
            title=run.name if width is None else f"{run.name}, width {width}",
            control_rows=control_rows,
            critical=critical[width],
            seed_rows=seed_rows(run, workdir, width),
            common_rows=of_width(common["common_rows"], width),
            bands=not two_seeds,
        )
        for width in run.widths
    ]
    pictures: dict[str, Any] = {
        "transition": figure(
            workdir,
            "transition",
            transition_figures.transition(panels),
            "Fractions of memorized, spurious and generalized samples against the training-set size.",
            sentences.bands(outcome["intervals"], drawn=not two_seeds),
        ),
        "repeats": figure(
            workdir,
            "repeats",
            repeats_figures.repeats(
                of_width(read_table(workdir, "repeats.csv"), shown), common["common_size"]
            ),
            "Share of repeats against the number of samples in the set, one line per size of training set.",
            sentences.counted_in_smaller_sets(sized),
        ),
    }
    of_samples = {
        width: pictures_of_samples(run, workdir, width, rows_of[width], rule) for width in run.widths
    }
    pictures |= of_samples.pop(shown)
    if run.trains:
        pictures["curves"] = figure(
            workdir,
            "training_curves",
            draw_curves(run, workdir),
            "Training loss against step, one line per size.",
        )
    quality_rows = [
        row | {"width": width} for width, found in results.items() for row in found["held_out_quality"]
    ]
    if len(run.dataset.held_out):
        pictures["quality"] = figure(
            workdir,
            "sample_quality",
            transition_figures.sample_quality(quality_rows, metric),
            "Distance to the training set of new samples and of held-out items.",
        )
    denoising_rows = []
    if denoising.exists(workdir):
        pictures["denoising"] = figure(workdir, "denoising", *denoising.draw(run, workdir))
        denoising_rows = denoising.summary(denoising.read(workdir))
    if halves.exists(workdir):
        pictures["halves"] = figure(workdir, "halves", *halves.draw(run, workdir))
    if steps.exists(workdir):
        pictures["phase_diagram"] = figure(workdir, "phase_diagram", *steps.draw(run, workdir))
    if densities.exists(workdir):
        pictures["both_views"] = figure(workdir, "both_views", *densities.draw(run, workdir))
        if several:
            pictures["capacity"] = figure(workdir, "capacity", *densities.draw_capacity(workdir))
    environment = json.loads((workdir / "environment.json").read_text())
    shown_page = transition_page.TransitionPage(
        title=f"How much data until a model of {run.name} stops copying?",
        dataset=sentences.dataset_phrase(run.dataset),
        answer=" ".join(
            [
                *filter(None, [results[shown]["smallest_size"].get("sentence")]),
                transition_page.answer(
                    f"{run.name} at width {shown}" if several else run.name, rows_of[shown], critical[shown]
                ),
                *filter(None, [rules_apart(workdir, shown)]),
            ]
        ),
        other_answers=[
            transition_page.answer_at_width(width, rows_of[width], critical[width])
            for width in run.widths
            if width is not None and width != shown
        ],
        other_pictures=of_samples,
        rows=rows,
        control_rows=control_rows,
        critical=list(itertools.chain(*critical.values())),
        onset_critical=[mark for width, found in results.items() for mark in densities.marks(found, width)],
        quality_rows=quality_rows,
        **common,
        critical_note=sentences.CRITICAL_SIZES,
        promise=sentences.promise(run),
        third_regime=sentences.third_regime(read_table(workdir, "copying.csv"), denoising_rows),
        coverage_rows=read_table(workdir, "coverage.csv"),
        denoising_rows=denoising_rows,
        halves_rows=read_table(workdir, "halves.csv"),
        intervals=outcome["intervals"],
        redrawn=sentences.redrawn(densities.over_sets(run), len(set(run.settings.seeds))),
        sampler=f"{run.settings.sampler.name} in {run.settings.sampler.num_steps:,} steps",
        critical_by_rule={
            outcome["rules"][rule]: [
                mark
                for width, found in results.items()
                for mark in critical_marks(found["critical_by_rule"][rule], width)
            ]
            for rule in outcome["rules"]
        },
        copying_rows=read_table(workdir, "copying.csv"),
        sliders=other_thresholds.sliders_of(run, workdir, shown, rows_of[shown], in_use),
        delta_m=in_use["delta_m"],
        delta_s=sentences.delta_s(
            {n: rule.at(m.num_train, n).delta_s for m in run.members if (n := run.num_samples(m))}
        ),
        metric=metric,
        threshold_rule=in_use["rule"],
        limits=[
            sentences.sensitivity(
                {width: found["sensitivity"] for width, found in results.items()},
                in_use["delta_m"],
                sized,
            )
        ],
        num_steps=run.settings.train.num_steps if run.trains else None,
        command=workdir.command,
        settings=json.loads((workdir / "config.json").read_text()),
        environment=environment,
        **pictures,
    )
    page.write(workdir / "report.html", transition_page.render(shown_page))


def at_common_size(
    run: TransitionRun, workdir: runs.Workdir, results: dict[int | None, dict[str, Any]]
) -> dict[str, Any]:
    """What the page shows of sets of one size, by the first rule."""
    rule = run.settings.phases.rule
    found = {width: own["critical_at_common_size"][rule] for width, own in results.items()}
    size = min(own["num_samples"] for own in found.values())
    rows = [row for row in read_table(workdir, "repeats.csv") if row["num_samples"] == size]
    return {
        "common_size": size,
        "common_rows": rows,
        "critical_common": [mark for width, own in found.items() for mark in critical_marks(own, width)],
    }


def figure(workdir: runs.Workdir, name: str, drawn, alt: str, caption: str = "") -> page.Picture:
    """Writes figures/<name>.png and .pdf, and gives the page the first."""
    png, _ = style.save(drawn, workdir / "figures" / name)
    return page.picture(png, alt=alt, caption=caption)


def pictures_of_samples(
    run: TransitionRun, workdir: runs.Workdir, width: int | None, rows, rule: SizedThresholds
) -> dict[str, Any]:
    """The histograms and, of images, the examples of one width, whose `rows` of fractions.csv these are.

    Their files of other widths than the shown one have it in their names.
    """
    mark = "" if width == shown_width(run) else f",width={width:03d}"
    panels = [
        histogram_panel(run, workdir, width, size, rule) for size in histogram_figures.choose_sizes(rows, 3)
    ]
    pictures: dict[str, Any] = {
        "histograms": figure(
            workdir,
            f"histograms{mark}",
            histogram_figures.histograms(panels, rows=rows, metric=run.metric.phrase),
            "Histograms of the distances to the training set and within the synthetic set.",
            "Insets: the first sample on either side of a threshold, with its nearest neighbour.",
        ),
        "galleries": [],
    }
    if run.is_image:
        groups, sizes = choose_examples(run, workdir, width, rows, rule)
        label = width if len(run.widths) > 1 else None
        drawn = example_figures.examples(groups, sizes, width=label)
        style.save(drawn, workdir / "figures" / f"examples{mark}")
        captions = "Not picked: the first samples of this phase. Numbers are distances."
        pictures["galleries"] = [
            page.picture(
                example_figures.examples({phase: targets}, sizes, width=label),
                alt=f"{phase} samples",
                caption=captions,
            )
            for phase, targets in groups.items()
            if targets
        ]
    return pictures


def critical_marks(critical: dict[str, Any], width: int | None) -> list[transition_figures.CriticalSize]:
    """The critical sizes of transition.json as marks for the figure and the page."""
    marks = []
    for name, label, phase in (
        ("memorized_half", "memorized falls to 50%", "memorized"),
        ("generalized_half", "generalized reaches 50%", "generalized"),
        ("spurious_peak", "spurious peak", "spurious"),
    ):
        found = critical.get(name)
        if found is not None:
            interval = found.get("low"), found.get("high")
            parts = {part: found.get(part) for part in PARTS}
            marks.append(
                transition_figures.CriticalSize(label, found["num_train"], *interval, phase, width, parts)
            )
    return marks


def seed_rows(run: TransitionRun, workdir: runs.Workdir, width: int | None) -> list[list[dict[str, float]]]:
    """The fractions of every seed on its own, where there are several."""
    if len(run.settings.seeds) < 2:
        return []
    rows = list(csv.DictReader((workdir / "fractions_by_member.csv").read_text().splitlines()))
    numeric = of_width(
        [{k: float(v) if v else None for k, v in row.items() if k != "member"} for row in rows], width
    )
    return [[row for row in numeric if row["seed"] == seed] for seed in run.settings.seeds]


def member_of_size(run: TransitionRun, width: int | None, size: float) -> sweep.Member:
    """The member of that width and K whose pictures are shown: that of the first seed."""
    return next(m for m in run.members if (m.width, m.num_train) == (width, int(size)))


def histogram_panel(
    run: TransitionRun, workdir: runs.Workdir, width: int | None, size: int, rule: SizedThresholds
) -> histogram_figures.HistogramPanel:
    """One size's two histograms, with the first sample of either side of each threshold as an inset."""
    member = member_of_size(run, width, size)
    found = workdir.read_npz(f"neighbors/{member.name}.npz") or {}
    labels = labels_of(workdir, member, rule)
    own = rule.at(size, len(labels))
    pairs = {}
    if run.is_image:
        samples = load_samples(workdir, member)
        near_train, near_sample = (
            run.train_of(member)[found["train_index"]],
            samples[found["synthetic_index"]],
        )
        for name, chosen, neighbor in (
            ("memorized", labels == phases.MEMORIZED, near_train),
            ("not memorized", labels != phases.MEMORIZED, near_train),
            ("spurious", labels == phases.SPURIOUS, near_sample),
            ("generalized", labels == phases.GENERALIZED, near_sample),
        ):
            if chosen.any():
                first = int(np.argmax(chosen))
                pairs[name] = histogram_figures.Pair(samples[first], neighbor[first])
    return histogram_figures.HistogramPanel(
        size,
        found["train_distance"],
        found["synthetic_distance"],
        own.delta_m,
        own.delta_s,
        title=f"K = {size:,}, width {width}" if len(run.widths) > 1 else "",
        examples=pairs,
    )


def choose_examples(
    run: TransitionRun, workdir: runs.Workdir, width: int | None, rows, rule: SizedThresholds
):
    """The first samples of each phase at one width, whose `rows` these are, in the order in which they were drawn.

    Memorized ones are taken at the largest K where they are still half of the samples, the other two where
    their share is largest.

    Returns:
      phase -> targets, and phase -> the K that they come from.
    """
    groups: dict[str, list[example_figures.Target]] = {}
    sizes: dict[str, int] = {}
    for number, phase in enumerate(phases.NAMES):
        usual = [row for row in rows if row[phase] >= 0.5] if phase == "memorized" else []
        shares = [row[phase] for row in rows]
        best = usual[-1] if usual else rows[int(np.argmax(shares))]
        member = member_of_size(run, width, best["num_train"])
        samples = load_samples(workdir, member)
        chosen = np.flatnonzero(labels_of(workdir, member, rule) == number)[:NUM_EXAMPLES]
        sizes[phase] = member.num_train
        groups[phase] = make_targets(run, samples, chosen, member) if len(chosen) else []
    return groups, sizes


def make_targets(run: TransitionRun, samples: np.ndarray, chosen: np.ndarray, member: sweep.Member):
    """The chosen samples with their nearest items of S and their nearest other samples."""
    train, comparable = run.train_of(member), run.metric.vectors(samples)
    near = run.metric.search(
        comparable[chosen], run.comparable_train_of(member), k=min(NUM_NEIGHBORS, member.num_train)
    )
    # One more among the samples: the sample finds itself, or an exact duplicate before itself.
    among = run.metric.search(comparable[chosen], comparable, k=min(NUM_NEIGHBORS + 1, len(samples)))
    targets = []
    for i, index in enumerate(chosen):
        others = [j for j in range(among.index.shape[1]) if among.index[i, j] != index][:NUM_NEIGHBORS]
        targets.append(
            example_figures.Target(
                samples[index],
                train[near.index[i]],
                near.distance[i],
                samples[among.index[i, others]],
                among.distance[i, others],
            )
        )
    return targets


def draw_curves(run: TransitionRun, workdir: runs.Workdir):
    """Loss against step for every member (twins are left out); a step logged again after a restart counts once."""
    losses: dict[str, dict[int, float]] = {m.name: {} for m in run.members}
    for record in workdir.read_json_lines("metrics.jsonl"):
        if record["stage"] == "train":
            for name, loss in zip(record["members"], record["loss"], strict=True):
                if name in losses:
                    losses[name][record["step"]] = loss
    steps = sorted(set().union(*(own.keys() for own in losses.values())))
    table = np.array([[losses[m.name].get(step, np.nan) for step in steps] for m in run.members])
    return transition_figures.training_curves(
        np.array([m.num_train for m in run.members]),
        np.array(steps),
        table,
        label="training loss",
        width=np.array([m.width for m in run.members]) if len(run.widths) > 1 else None,
    )


def rules_apart(workdir: runs.Workdir, width: int | None) -> str:
    """`sentences.rules_apart` of one width, of all rows where it is None."""
    rules = (None, RATE_RULE)
    return sentences.rules_apart(
        *(of_width(read_table(workdir, "fractions.csv", rule=rule), width) for rule in rules)
    )


def print_outcome(workdir: runs.Workdir) -> None:
    """The table of fractions on the terminal."""

    def cell(row: dict[str, float], phase: str) -> str:
        return f"{row[phase]:.3f} ({row[phase + '_low']:.3f}-{row[phase + '_high']:.3f})"

    rows = read_table(workdir, "fractions.csv")
    width = ("width",) if len({row["width"] for row in rows}) > 1 else ()
    outcome = json.loads((workdir / "transition.json").read_text())
    found = outcome.get("by_width") or {str(rows[0]["width"]): outcome}
    found = {f"{float(place):.0f}" if place != "None" else "": own for place, own in found.items()}
    near = {(place, row["num_train"]): row for place, own in found.items() for row in own["held_out_quality"]}

    def distance(row: dict[str, Any], name: str) -> str:
        place = f"{row['width']:.0f}" if row["width"] is not None else ""
        value = near[place, row["num_train"]][name]
        return "-" if value is None else f"{value:.3g}"

    print(
        runs.table(
            (
                *width,
                "K",
                "samples",
                *(f"{phase} (95%)" for phase in phases.NAMES),
                "new to S",
                "unseen to S",
            ),
            (
                (
                    *(f"{row[name]:.0f}" for name in (*width, "num_train", "num_synthetic")),
                    *(cell(row, phase) for phase in phases.NAMES),
                    *(distance(row, name) for name in ("sample_distance", "held_out_distance")),
                )
                for row in rows
            ),
        )
    )
    for place, own in found.items():
        if sentence := own.get("smallest_size", {}).get("sentence"):
            print(f"Width {place}: {sentence}" if len(found) > 1 else sentence)
    for place in sorted({row["width"] for row in rows} if width else [None]):
        if apart := rules_apart(workdir, place):
            print(f"Width {place:.0f}: {apart}" if width else apart)
