"""The answer of an audit in plain sentences, and its page."""

import typing
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float

from memgen_jax import phases
from memgen_jax.report import audit_figures, example_figures, histogram_figures, page, sliders
from memgen_jax.report.page import measure, number, percent

SHOWN = {
    "memorized": "The closest copies",
    "spurious": "The largest groups of repeats",
    "generalized": "The most novel samples",
    "borderline": "Borderline: the samples nearest to the threshold for copies, on both sides",
}


def render(
    *,
    summary: Mapping,
    command: str,
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
    galleries: Mapping[str, Sequence[example_figures.Target]],
    beside_m: Sequence[sliders.Example] = (),
    beside_s: Sequence[sliders.Example] = (),
) -> str:
    """The page as HTML.

    Args:
      summary: what `summary.json` holds.
      command: the line for a shell that made it.
      train_distance, synthetic_distance: of every sample.
      galleries: phase → samples with their neighbours; empty for items that are no images.
      beside_m, beside_s: samples beside the thresholds, see `sliders.Sliders`.
    """
    metric = summary["metric_short"]
    delta_m, delta_s = summary["delta_m"], summary["delta_s"]
    panel = histogram_figures.HistogramPanel(
        num_train=summary["num_train"],
        train_distance=train_distance,
        synthetic_distance=synthetic_distance,
        delta_m=delta_m,
        delta_s=delta_s,
    )
    histograms = histogram_figures.histograms([panel], metric=metric, log_distance=True)
    sensitivity = audit_figures.sensitivity(train_distance, synthetic_distance, delta_m, delta_s, metric)
    pictures = [
        page.picture(
            example_figures.examples({phase: targets}),
            f"{SHOWN[phase]}, each with its nearest training items and nearest other samples",
            f"{SHOWN[phase]}. From above: {'; '.join(target.called for target in targets)}.",
        )
        for phase, targets in galleries.items()
        if targets
    ]
    return page.render(
        "audit.html",
        summary=summary,
        command=command,
        metric=summary["metric_phrase"],
        metric_name=metric,
        row=summary,
        histograms=page.picture(
            histograms,
            "Histograms of every sample's distance to its nearest training item and nearest other sample",
            "Each sample counts once in each histogram. Distances of exactly 0 stand in the first bin.",
        ),
        sensitivity=page.picture(
            sensitivity,
            "The shares of copies and of repeats as functions of the two thresholds",
            "Dashed line and cross: the thresholds used. Where the curve is flat there, the answer does not "
            "depend on them. The band is the 95% interval of sampling.",
        ),
        sliders=sliders.embed(
            sliders.Sliders(
                [sliders.Distances(summary["num_train"], train_distance, synthetic_distance)],
                delta_m,
                delta_s,
                summary["metric_phrase"],
                beside_m=beside_m,
                beside_s=beside_s,
            )
        ),
        galleries=pictures,
        missing=[phase for phase in phases.NAMES if galleries and not galleries[phase]],
    )


def render_sets(rows: Sequence[Mapping], summary: Mapping) -> str:
    """The page of several sets of samples.

    Args:
      rows: of sets.csv.
      summary: of one of the sets, for what all have in common.
    """
    most = max(rows, key=lambda row: row["memorized"])
    share = percent(most["memorized"])
    lead = (
        f"The largest share of copies (memorized) is {share}, of {most['set']}; the smallest is "
        f"{percent(min(row['memorized'] for row in rows))}, of {len(rows)} sets of samples against "
        f"{summary['num_train']:,} training items."
        if most["memorized"]
        else f"In none of {len(rows)} sets of samples is there a copy (memorized) of the {summary['num_train']:,} "
        "training items."
    )
    return page.render(
        "audit_sets.html",
        answer=lead,
        rows=rows,
        metric=summary["metric_phrase"],
        origin=_origin(summary),
        curve=page.picture(
            audit_figures.over_sets(rows),
            "The shares of copies, repeats and new samples, a point for every set",
            "Bars are 95% intervals (Wilson) of sampling alone, for one model each.",
        ),
    )


def render_unlabelled(
    summary: Mapping,
    metric: typing.Any,
    num_train: int,
    train_distance: Float[np.ndarray, " sample"],
    synthetic_distance: Float[np.ndarray, " sample"],
) -> str:
    """The page where no threshold could be had: the distances alone."""
    panel = histogram_figures.HistogramPanel(num_train, train_distance, synthetic_distance, None, None)
    histograms = histogram_figures.histograms([panel], metric=metric.short, log_distance=True)
    return page.render(
        "unlabelled.html",
        summary=summary,
        metric=metric.phrase,
        num_train=num_train,
        num_samples=len(train_distance),
        histograms=page.picture(
            histograms,
            "Histograms of every sample's distance to its nearest training item and nearest other sample",
            "Each sample counts once in each histogram. Distances of exactly 0 stand in the first bin.",
        ),
    )


def answer(summary: Mapping) -> list[str]:
    """The answer in plain sentences: the samples, then duplicates inside the training set, then what limits both."""
    name = summary["metric_short"]
    total, count = summary["num_synthetic"], summary["num_train"]
    sentences = []
    near = f"{name} ≤ {measure(summary['delta_m'])}"
    versions = f" up to {summary['up_to']}" if summary.get("up_to") else ""
    within = f"{near}{versions}, {_origin(summary)}"
    if summary["memorized_upper_bound_if_none"] is not None:
        bound = summary["memorized_upper_bound_if_none"]
        bound = percent(bound, 3 if bound < 0.01 else 1)
        lead = (
            f"None of {total:,} samples is a copy (memorized; {within}): with 95% confidence fewer than "
            f"{bound} are"
        )
    else:
        half = (summary["memorized_high"] - summary["memorized_low"]) / 2
        digits = 2 if half < 0.0005 else 1
        spread = f"± {percent(half, digits)}"
        if half >= min(summary["memorized"], 1 - summary["memorized"]):  # a share is in 0..1
            ends = (percent(summary[f"memorized_{end}"], digits) for end in ("low", "high"))
            spread = f"({' – '.join(ends)})"
        lead = (
            f"{percent(summary['memorized'], digits)} {spread} of {total:,} samples are copies "
            f"(memorized; {within})"
        )
    repeating = percent(summary["spurious"]) if summary["spurious"] else "no two"
    sentences.append(
        f"{lead}; {repeating} of these {number(summary['num_synthetic'], 9)} repeat each other without being in the "
        f"training set (spurious; {name} ≤ {measure(summary['delta_s'])}{_honest_repeats(summary)}); the rest, "
        f"{percent(summary['generalized'])}, are new (generalized)."
    )
    doubles = summary["train_duplicates"]
    if doubles is None:
        sentences.append("The training set was not searched for duplicates, as asked.")
    elif doubles["within_delta_m"]:
        sentences.append(
            f"Inside the training set, {doubles['within_delta_m']:,} of {count:,} items "
            f"({percent(doubles['within_delta_m'] / count, 2)}) have another one so near that it would count "
            f"as a copy ({near}), {doubles['identical']:,} of them an identical one; a copy of such an item "
            "may come from its being there more than once."
        )
    else:
        sentences.append(f"Inside the training set, no two of {count:,} items are as near as {near}.")
    if summary["holdout"] and not summary["holdout"]["calibrates"]:
        innocent = percent(summary["holdout"]["memorized"], 2)
        sentences.append(f"For comparison, {innocent} of the unseen real items count as copies by that rule.")
    calibrating = summary["num_calibrating_repeats"]
    if calibrating is not None and calibrating < summary["num_synthetic"]:
        sentences.append(
            f"Warning: there are more samples ({number(summary['num_synthetic'], 9)}) than real items to calibrate "
            f"repeats on ({number(calibrating, 9)}), and among more items repeats are more frequent: more than the "
            "stated share of honest samples would count as repeats, so do not take the share of repeats for proof."
        )
    if summary["ratio"]:
        ratio = summary["ratio"]
        sentences.append(
            f"By the ratio rule, d1/d2 < {number(ratio['ratio'])}, {percent(ratio['memorized'], 2)} "
            f"({percent(ratio['low'], 2)} – {percent(ratio['high'], 2)}) are copies."
        )
    limit = summary["settings"]["fail_above"]
    if limit is not None:
        verdict = "above" if summary["failed"] else "not above"
        sentences.append(f"The share of copies is {verdict} the limit of {percent(limit, 2)}.")
    return sentences


def _honest_repeats(summary: Mapping) -> str:
    """What as many real items would give, where a holdout can say: measured, or what the threshold is set for."""
    holdout = summary["holdout"]
    if not holdout or holdout["spurious"] is None:
        return ""
    lead = ", set so that" if holdout["calibrates"] else ";"
    return f"{lead} of {number(holdout['num_spurious'], 9)} real items {percent(holdout['spurious'])} would"


def _origin(summary: Mapping) -> str:
    if summary["rule"].startswith("held-out"):
        rate = number(100 * summary["settings"]["false_positive_rate"])
        return f"threshold from held-out images at {rate}% false positives"
    if summary["settings"]["thresholds"] == "sscd":
        return "as is usual for SSCD, similarity 0.7"
    if summary["rule"].startswith("paper"):
        return f"threshold of the paper for {summary['settings']['thresholds']}"
    return "threshold as given" if summary["rule"] == "given" else f"threshold: {summary['rule']}"
