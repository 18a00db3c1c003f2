"""The last stages of the transition: distances -> labels -> fractions -> figures and the page."""

import dataclasses
import json
import shlex
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import door
from memgen_jax import neighbors, phases, sweep
from memgen_jax.errors import InputError
from memgen_jax.report import (
    example_figures,
    histogram_figures,
    page,
    style,
    transition_figures,
    transition_page,
)

if TYPE_CHECKING:
    from experiments.transition import Run

METRIC = "L2"
RULES = ("given", "paper", "valley", "held_out")
NUM_EXAMPLES = 6
NUM_NEIGHBORS = 4


def labels_of(workdir: sweep.Workdir, member: sweep.Member, thresholds: phases.Thresholds) -> np.ndarray:
    """A member's labels, from the distances on disk."""
    found = workdir.read_npz(f"neighbors/{member.name}.npz")
    if found is None:
        raise InputError(
            f"neighbors/{member.name}.npz is missing or damaged in {workdir.path}: run it again."
        )
    return phases.classify(
        found["train_distance"], found["synthetic_distance"], thresholds.delta_m, thresholds.delta_s
    )


def require_rule_can_work(run: "Run") -> None:
    """Refuses, before anything is trained, a rule for the thresholds that must fail in the end.

    Whether the distances have a valley only the samples can show.
    """
    s = run.settings.phases
    if s.rule == "given":
        phases.given(s.delta_m, s.delta_s)
        if s.delta_m == s.delta_s == 0:
            raise InputError("phases.rule='given' needs phases.delta_m and phases.delta_s, and both are 0.")
    elif s.rule == "paper":
        phases.paper(run.settings.data["name"].split(":")[-1], "l2")
    elif s.rule == "held_out":
        if not len(run.dataset.held_out):
            raise InputError(
                f"phases.rule='held_out' needs held-out items, and {run.dataset.name} has none: "
                "set data.num_held_out or choose another rule."
            )
        counts = len(run.dataset.held_out), len(run.train)
        phases.held_out(*(np.zeros(count) for count in counts), s.false_positive_rate)


def make_thresholds(run: "Run", workdir: sweep.Workdir) -> phases.Thresholds:
    """The two thresholds by the rule of the settings: given, paper, valley or held_out."""
    s = run.settings.phases
    if s.rule == "given":
        return phases.given(s.delta_m, s.delta_s)
    if s.rule == "paper":
        return phases.paper(run.settings.data["name"].split(":")[-1], "l2")
    if s.rule == "held_out":
        unseen = neighbors.search(run.dataset.held_out, run.train, scale=run.scale)
        real = neighbors.search(run.train, run.train, exclude_self=True, scale=run.scale)
        return phases.held_out(unseen.distance[:, 0], real.distance[:, 0], s.false_positive_rate)
    pooled: dict[str, list[np.ndarray]] = {"train_distance": [], "synthetic_distance": []}
    for member in run.members:
        found = workdir.read_npz(f"neighbors/{member.name}.npz") or {}
        for name, parts in pooled.items():
            parts.append(found[name])
    train_distance, synthetic_distance = (np.concatenate(parts) for parts in pooled.values())
    return phases.find_valleys(train_distance, synthetic_distance)


def classify(run: "Run", workdir: sweep.Workdir) -> None:
    """Stage 4: fractions.csv, control.csv and transition.json."""
    thresholds = make_thresholds(run, workdir)
    labels: dict[int, list[np.ndarray]] = {}
    for member in run.members:
        labels.setdefault(member.num_train, []).append(labels_of(workdir, member, thresholds))
    deltas = (thresholds.delta_m, thresholds.delta_s)
    rows = [phases.fractions(np.concatenate(own), size, *deltas) for size, own in labels.items()]
    critical = phases.critical_sizes(
        list(labels), list(labels.values()), resamples=run.settings.phases.num_bootstrap
    )
    if len(run.settings.seeds) > 1:
        by_member = [
            {"member": m.name, "seed": m.seed}
            | dataclasses.asdict(phases.fractions(labels_of(workdir, m, thresholds), m.num_train, *deltas))
            for m in run.members
        ]
        workdir.write_csv("fractions_by_member.csv", by_member)
    if run.settings.control.run:
        controls = [
            phases.fractions(labels_of(workdir, m, thresholds), m.num_train, *deltas) for m in run.controls
        ]
        workdir.write_csv("control.csv", [dataclasses.asdict(row) for row in controls])
    workdir.write_json(
        "transition.json",
        {
            "data": run.dataset.name,
            "metric": f"{METRIC}, {value_range(run)}",
            "thresholds": dataclasses.asdict(thresholds),
            "critical": critical,
            "sensitivity": sensitivity(run, workdir, thresholds),
            "held_out_quality": quality(run, workdir, thresholds),
        },
    )
    workdir.write_csv("fractions.csv", [dataclasses.asdict(row) for row in rows])


def sensitivity(run: "Run", workdir: sweep.Workdir, thresholds: phases.Thresholds) -> list[dict[str, Any]]:
    """The spurious peak and the last K that is mostly memorized, at scaled thresholds."""
    factors = np.array([0.5, 0.7, 1.0, 1.2])
    shares = []
    for member in run.members:
        found = workdir.read_npz(f"neighbors/{member.name}.npz") or {}
        table = phases.sensitivity(
            found["train_distance"],
            found["synthetic_distance"],
            factors * thresholds.delta_m,
            factors * thresholds.delta_s,
        )
        shares.append(table)
    by_member = np.array(shares)
    rows = []
    for i, j in np.ndindex(len(factors), len(factors)):
        spurious = by_member[:, i, j, phases.SPURIOUS]
        memorized = [m.num_train for m, s in zip(run.members, by_member[:, i, j], strict=True) if s[0] >= 0.5]
        rows.append(
            {
                "delta_m": factors[i] * thresholds.delta_m,
                "delta_s": factors[j] * thresholds.delta_s,
                "spurious_peak": float(spurious.max()),
                "spurious_peak_num_train": run.members[int(spurious.argmax())].num_train,
                "largest_mostly_memorized_num_train": max(memorized, default=None),
            }
        )
    return rows


def sensitivity_sentence(rows: list[dict[str, Any]]) -> str:
    """How much the spurious peak owes to its threshold, for the page."""
    middle = rows[len(rows) * 2 // 4 :][:4]  # delta_m as chosen
    parts = [
        f"{100 * row['spurious_peak']:.0f}% at K = {row['spurious_peak_num_train']:,} "
        f"for delta_s = {row['delta_s']:.2f}"
        for row in middle
    ]
    return f"The height of the spurious peak depends on its threshold: it is {', '.join(parts)}."


def quality(run: "Run", workdir: sweep.Workdir, thresholds: phases.Thresholds) -> list[dict[str, Any]]:
    """Per size K: median distance to S of samples that are no copies, and of real held-out items.

    A model that has learned the data keeps the first near the second; far above it, "generalized" only
    means undertrained.
    """
    rows = []
    for member in run.members:
        found = workdir.read_npz(f"neighbors/{member.name}.npz") or {}
        new = found["train_distance"][found["train_distance"] > thresholds.delta_m]
        unseen = None
        if len(run.dataset.held_out):
            near = neighbors.search(run.dataset.held_out, run.train[: member.num_train], scale=run.scale)
            unseen = float(np.median(near.distance))
        rows.append(
            {
                "num_train": member.num_train,
                "sample_distance": float(np.median(new)) if len(new) else None,
                "held_out_distance": unseen,
            }
        )
    return rows


def value_range(run: "Run") -> str:
    return "pixels in [-1, 1]" if run.dataset.is_image else "in the data's own units"


def report(run: "Run", workdir: sweep.Workdir) -> None:
    """Stage 5: figures/ and report.html, from the files of the stages before."""
    outcome = json.loads((workdir / "transition.json").read_text())
    rows = read_table(workdir, "fractions.csv")
    control_rows = read_table(workdir, "control.csv")
    thresholds = phases.Thresholds(**outcome["thresholds"])
    critical = critical_marks(outcome["critical"])
    metric = outcome["metric"]

    def figure(name: str, drawn, alt: str, caption: str = "") -> page.Picture:
        png, _ = style.save(drawn, workdir / "figures" / name)
        return page.picture(png, alt=alt, caption=caption)

    panel = transition_figures.TransitionPanel(
        rows,
        title=run.dataset.name,
        control_rows=control_rows,
        critical=critical,
        seed_rows=seed_rows(run, workdir),
    )
    pictures: dict[str, Any] = {
        "transition": figure(
            "transition",
            transition_figures.transition([panel]),
            "Fractions of memorized, spurious and generalized samples against the training-set size.",
            "Bands are 95% intervals over samples. The dashed line is the exact score put through the same "
            "sampler, search and thresholds: it can only copy.",
        ),
        "histograms": figure(
            "histograms",
            histogram_figures.histograms(
                [
                    histogram_panel(run, workdir, size, thresholds)
                    for size in histogram_figures.choose_sizes(rows, 3)
                ],
                rows=rows,
                metric=metric,
            ),
            "Histograms of the distances to the training set and within the synthetic set.",
            "Insets: the first sample on either side of a threshold, with its nearest neighbour.",
        ),
    }
    if (workdir / "metrics.jsonl").exists():
        pictures["curves"] = figure(
            "training_curves", draw_curves(run, workdir), "Training loss against step, one line per size."
        )
    quality_rows = outcome["held_out_quality"]
    if len(run.dataset.held_out):
        pictures["quality"] = figure(
            "sample_quality",
            transition_figures.sample_quality(quality_rows, metric),
            "Distance to the training set of new samples and of held-out items.",
        )
    if run.dataset.is_image:
        groups, sizes = choose_examples(run, workdir, rows, thresholds)
        style.save(example_figures.examples(groups, sizes), workdir / "figures" / "examples")
        captions = "Not picked: the first samples of this phase. Numbers are distances."
        pictures["galleries"] = [
            page.picture(
                example_figures.examples({phase: targets}, sizes), alt=f"{phase} samples", caption=captions
            )
            for phase, targets in groups.items()
            if targets
        ]
    environment = json.loads((workdir / "environment.json").read_text())
    html = transition_page.render(
        title=f"From copying to creating: {run.dataset.name}",
        dataset=f"{run.dataset.num_train:,} training items of shape "
        f"{'×'.join(map(str, run.dataset.item_shape))}; {len(run.dataset.held_out):,} held out",
        answer=transition_page.answer(run.dataset.name, rows, critical),
        rows=rows,
        control_rows=control_rows,
        critical=critical,
        quality_rows=quality_rows,
        delta_m=thresholds.delta_m,
        delta_s=thresholds.delta_s,
        metric=metric,
        threshold_rule=thresholds.rule,
        limits=[sensitivity_sentence(outcome["sensitivity"])],
        num_steps=None if run.exact else run.settings.train.num_steps,
        command="python -m experiments.transition " + shlex.join(sys.argv[1:]),
        settings=json.loads((workdir / "config.json").read_text()),
        environment=environment,
        **pictures,
    )
    page.write(workdir / "report.html", html)


def read_table(workdir: sweep.Workdir, name: str) -> list[dict[str, float]]:
    import csv

    file = workdir / name
    if not file.exists():
        return []
    return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file.read_text().splitlines())]


def critical_marks(critical: dict[str, Any]) -> list[transition_figures.CriticalSize]:
    """The critical sizes of transition.json as marks for the figure and the page."""
    marks = []
    for name, label, phase in (
        ("memorized_half", "memorized falls to 50%", "memorized"),
        ("generalized_half", "generalized reaches 50%", "generalized"),
        ("spurious_peak", "spurious peak", "spurious"),
    ):
        found = critical[name]
        marks.append(
            transition_figures.CriticalSize(label, found["num_train"], found["low"], found["high"], phase)
        )
    return marks


def seed_rows(run: "Run", workdir: sweep.Workdir) -> list[list[dict[str, float]]]:
    """The fractions of every seed on its own, where there are several."""
    if len(run.settings.seeds) < 2:
        return []
    import csv

    rows = list(csv.DictReader((workdir / "fractions_by_member.csv").read_text().splitlines()))
    numeric = [{k: float(v) for k, v in row.items() if k != "member"} for row in rows]
    return [[row for row in numeric if row["seed"] == seed] for seed in run.settings.seeds]


def member_of_size(run: "Run", size: float) -> sweep.Member:
    """The member of that K whose pictures are shown: that of the first seed."""
    return next(m for m in run.members if m.num_train == int(size))


def histogram_panel(
    run: "Run", workdir: sweep.Workdir, size: int, thresholds: phases.Thresholds
) -> histogram_figures.HistogramPanel:
    """One size's two histograms, with the first sample of either side of each threshold as an inset."""
    member = member_of_size(run, size)
    found = workdir.read_npz(f"neighbors/{member.name}.npz") or {}
    labels = labels_of(workdir, member, thresholds)
    pairs = {}
    if run.dataset.is_image:
        samples = load_samples(workdir, member)
        near_train, near_sample = run.train[found["train_index"]], samples[found["synthetic_index"]]
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
        thresholds.delta_m,
        thresholds.delta_s,
        examples=pairs,
    )


def load_samples(workdir: sweep.Workdir, member: sweep.Member) -> np.ndarray:
    """A member's synthetic set: uint8 images [sample, height, width, channel] or float32 points."""
    arrays = workdir.read_npz(f"samples/{member.name}.npz")
    if arrays is None:
        raise InputError(f"samples/{member.name}.npz is missing or damaged in {workdir.path}: run it again.")
    return arrays["images"] if "images" in arrays else arrays["points"]


def choose_examples(run: "Run", workdir: sweep.Workdir, rows, thresholds: phases.Thresholds):
    """The first samples of each phase, in the order in which they were drawn.

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
        member = member_of_size(run, best["num_train"])
        samples = load_samples(workdir, member)
        chosen = np.flatnonzero(labels_of(workdir, member, thresholds) == number)[:NUM_EXAMPLES]
        sizes[phase] = member.num_train
        groups[phase] = make_targets(run, samples, chosen, member.num_train) if len(chosen) else []
    return groups, sizes


def make_targets(run: "Run", samples: np.ndarray, chosen: np.ndarray, num_train: int):
    """The chosen samples with their nearest items of S and their nearest other samples."""
    train = run.train[:num_train]
    near = neighbors.search(samples[chosen], train, k=min(NUM_NEIGHBORS, num_train), scale=run.scale)
    # One more among the samples: the sample finds itself, or an exact duplicate before itself.
    among = neighbors.search(
        samples[chosen], samples, k=min(NUM_NEIGHBORS + 1, len(samples)), scale=run.scale
    )
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


def draw_curves(run: "Run", workdir: sweep.Workdir):
    """Loss against step for every member; a step logged again after a restart counts once."""
    losses: dict[str, dict[int, float]] = {m.name: {} for m in run.members}
    for line in (workdir / "metrics.jsonl").read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # cut short by a kill or a full disk
            continue
        if record["stage"] == "train":
            for name, loss in zip(record["members"], record["loss"], strict=True):
                losses[name][record["step"]] = loss
    steps = sorted(set().union(*(own.keys() for own in losses.values())))
    table = np.array([[losses[m.name].get(step, np.nan) for step in steps] for m in run.members])
    return transition_figures.training_curves(
        np.array([m.num_train for m in run.members]), np.array(steps), table, label="training loss"
    )


def print_outcome(workdir: sweep.Workdir) -> None:
    """The table of fractions on the terminal."""

    def cell(row: dict[str, float], phase: str) -> str:
        return f"{row[phase]:.3f} ({row[phase + '_low']:.3f}-{row[phase + '_high']:.3f})"

    rows = read_table(workdir, "fractions.csv")
    print(
        door.table(
            ("K", "samples", *(f"{phase} (95%)" for phase in phases.NAMES)),
            (
                (
                    f"{row['num_train']:.0f}",
                    f"{row['num_synthetic']:.0f}",
                    *(cell(row, p) for p in phases.NAMES),
                )
                for row in rows
            ),
        )
    )
