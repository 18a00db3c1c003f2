"""From distances to the answer: thresholds, labels, shares, and the sentences that say them."""

import dataclasses

import numpy as np
from jaxtyping import Int

from memgen_jax import metrics, phases, statistics
from memgen_jax.audit.comparing import Distances
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.errors import InputError
from memgen_jax.report import audit_page


@dataclasses.dataclass(frozen=True)
class Result:
    """The answer: `summary` is what `summary.json` holds, `sentences` what the terminal shows."""

    distances: Distances
    labels: Int[np.ndarray, " sample"]
    thresholds: phases.Thresholds
    summary: dict
    sentences: list[str]
    failed: bool


def choose_thresholds(
    settings: AuditSettings, metric: metrics.Metric, distances: Distances
) -> phases.Thresholds:
    """By the rule that the settings ask for."""
    rule = settings.rule(metric, has_holdout=distances.unseen is not None)
    try:
        return phases.choose_thresholds(rule, distances)
    except phases.NoValley as error:
        raise InputError(
            f"no threshold: {error}; give {{0}} with unseen real images, or {{1}} and {{2}}, or {{3}} by name",
            "holdout",
            "delta_m",
            "delta_s",
            "thresholds",
        ) from None


def conclude(settings: AuditSettings, metric: metrics.Metric, distances: Distances) -> Result:
    """Labels, fractions, set-level numbers, and the sentences that say them."""
    thresholds = choose_thresholds(settings, metric, distances)
    nearest = distances.train[:, 0]
    labels = phases.classify(nearest, distances.synthetic, thresholds.delta_m, thresholds.delta_s)
    fractions = phases.fractions(labels, len(distances.train_own), thresholds.delta_m, thresholds.delta_s)
    summary = dataclasses.asdict(fractions)
    summary |= {
        "metric": metric.name,
        "metric_short": metric.short,
        "metric_phrase": metric.phrase,
        "rule": thresholds.rule,
        "delta_m_interval": thresholds.delta_m_interval,
        "delta_s_interval": thresholds.delta_s_interval,
        "memorized_upper_bound_if_none": (
            statistics.zero_bound(len(labels)) if not (labels == phases.MEMORIZED).any() else None
        ),
        "train_duplicates": {
            "within_delta_m": int((distances.train_own <= thresholds.delta_m).sum()),
            "identical": int((distances.train_own == 0).sum()),
        },
        "auth_pct": statistics.auth_pct(nearest, distances.train_index[:, 0], distances.train_own),
        "data_copying_z": None,
        "dcr_share": None,
        "holdout": None,
        "num_calibrating_repeats": None,
        "ratio": None,
    }
    if distances.unseen is not None:
        calibrates = settings.delta_m is None and settings.thresholds == "auto"
        summary["data_copying_z"] = statistics.data_copying(distances.unseen, nearest)
        if distances.equal is not None:
            share = statistics.nearer_to_train(*distances.equal.T)
            low, high = statistics.wilson_interval(round(share * len(labels)), len(labels))
            summary["dcr_share"] = {"share": share, "low": low, "high": high}
        summary["holdout"] = {
            "num_holdout": len(distances.unseen),
            "memorized": float((distances.unseen <= thresholds.delta_m).mean()),
            "calibrates": calibrates,
        }
        if calibrates and distances.real is not None:
            summary["num_calibrating_repeats"] = len(distances.real)
    if settings.ratio is not None:
        first, second = metric.unsquared(distances.train).T
        copies = phases.copies_by_ratio(first, second, settings.ratio)
        low, high = statistics.wilson_interval(int(copies.sum()), len(copies))
        summary["ratio"] = {
            "ratio": settings.ratio, "memorized": float(copies.mean()), "low": low, "high": high
        }  # fmt: skip
    failed = settings.fail_above is not None and fractions.memorized > settings.fail_above
    summary |= {"failed": failed, "settings": dataclasses.asdict(settings)}
    sentences = audit_page.answer(summary)
    summary |= {"answer": sentences}
    return Result(distances, labels, thresholds, summary, sentences, failed)
