"""From distances to the answer: thresholds, labels, shares, and the sentences that say them."""

import dataclasses

import numpy as np
from jaxtyping import Float, Int

from memgen_jax import metrics, phases, statistics
from memgen_jax.audit.comparing import Distances
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.errors import FIELD, InputError
from memgen_jax.report import audit_page, schema

# Share of the training items that may have another, not identical one within a threshold that is taken from a valley.
MOST_NEAR = 0.05


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
        thresholds = phases.choose_thresholds(rule, distances)
        if rule.name == "valley":
            require_apart(distances.train_own, thresholds.delta_m)
        return thresholds
    except phases.NoValley as error:
        raise InputError(
            f"no threshold: {error}; give {FIELD[0]} with unseen real images, or {FIELD[1]} and {FIELD[2]}, or "
            f"{FIELD[3]} by name",
            "holdout",
            "delta_m",
            "delta_s",
            "thresholds",
        ) from None


def require_apart(own: Float[np.ndarray, " train"] | None, delta_m: float) -> None:
    """Refuses a valley that real items themselves do not respect.

    What the training set says of itself is the only evidence without a holdout: where many of its items have
    another within the threshold (identical ones aside, which may be there twice), new samples as good as real ones
    would count as copies too.

    Raises:
      NoValley: more than `MOST_NEAR` of them have.
    """
    if own is None:
        raise phases.NoValley("the training set was not compared with itself, so no valley can be believed")
    apart = own[own > 0]
    near = float((apart <= delta_m).mean()) if len(apart) else 1.0
    if near > MOST_NEAR:
        raise phases.NoValley(
            f"the valley at {delta_m:.3g} would make copies of {100 * near:.1f}% of the training items themselves, "
            "each of which has another one as near"
        )


def grouped_shares(
    labels: Int[np.ndarray, " sample"], distances: Distances, delta_s: float
) -> phases.PhaseShares:
    """`phases.grouped_shares` of an audit's distances."""
    second = distances.synthetic_second
    if second is None:  # every repeat may then hang on its nearest alone
        second = np.full_like(distances.synthetic, np.inf)
    return phases.grouped_shares(labels, distances.synthetic_index, distances.synthetic, second, delta_s)


def conclude(settings: AuditSettings, metric: metrics.Metric, distances: Distances, num_train: int) -> Result:
    """Labels, fractions, set-level numbers, and the sentences that say them."""
    thresholds = choose_thresholds(settings, metric, distances)
    nearest = distances.train[:, 0]
    labels = phases.classify(nearest, distances.synthetic, thresholds.delta_m, thresholds.delta_s)
    fractions = phases.with_grouped_repeats(
        phases.fractions(labels, num_train, thresholds.delta_m, thresholds.delta_s),
        grouped_shares(labels, distances, thresholds.delta_s),
    )
    summary = {"schema": schema.identifier("summary")} | dataclasses.asdict(fractions)
    summary |= {
        "metric": metric.name,
        "metric_short": metric.short,
        "metric_phrase": metric.phrase + (f", {settings.orbit.phrase}" if settings.orbit else ""),
        "up_to": settings.up_to,
        "rule": thresholds.rule,
        "delta_m_interval": thresholds.delta_m_interval,
        "delta_s_interval": thresholds.delta_s_interval,
        "memorized_upper_bound_if_none": (
            statistics.zero_bound(len(labels)) if not (labels == phases.MEMORIZED).any() else None
        ),
        "train_duplicates": None,
        "auth_pct": None,
        "data_copying_z": None,
        "dcr_share": None,
        "holdout": None,
        "num_calibrating_repeats": None,
        "ratio": None,
    }
    if distances.train_own is not None:
        summary["train_duplicates"] = {
            "within_delta_m": int((distances.train_own <= thresholds.delta_m).sum()),
            "identical": int((distances.train_own == 0).sum()),
        }
        summary["auth_pct"] = statistics.auth_pct(nearest, distances.train_index[:, 0], distances.train_own)
    if distances.unseen is not None:
        calibrates = not settings.has_rule
        summary["data_copying_z"] = statistics.data_copying(distances.unseen, nearest)
        if distances.equal is not None:
            share = statistics.nearer_to_train(*distances.equal.T)
            low, high = statistics.wilson_interval(round(share * len(labels)), len(labels))
            summary["dcr_share"] = {"share": share, "low": low, "high": high}
        summary["holdout"] = {
            "num_holdout": len(distances.unseen),
            "memorized": float((distances.unseen <= thresholds.delta_m).mean()),
            "calibrates": calibrates,
            "spurious": None
            if distances.real is None
            else float((distances.real <= thresholds.delta_s).mean()),
            "num_spurious": None if distances.real is None else len(distances.real),
        }
        if calibrates and distances.real is not None:
            summary["num_calibrating_repeats"] = len(distances.real)
    if settings.ratio is not None:
        if distances.train.shape[1] < 2:
            raise InputError(
                f"{FIELD[0]} needs the second nearest training item, which was not searched for", "ratio"
            )
        first, second = metric.unsquared(distances.train[:, :2]).T
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
