"""What the page of a transition says in words, no stronger than the tables allow."""

from collections.abc import Mapping, Sequence
from typing import Any

from memgen_jax import data
from memgen_jax.programs.transition.settings import TransitionRun

UNDERTRAINED = 1.1  # held-out loss over that on own items, below which a network knows its items no better
MOST_APART = 0.5  # of the memorized shares of two rules, above which a reader must know of both
CRITICAL_SIZES = (
    "An interval has three parts: sampling, other samples of the same networks; thresholds, which were calibrated on "
    "finitely many items; trainings, other starts (and training sets, where seeds have their own), of which one "
    "training can say nothing. Together they add as independent errors do."
)


def bands(intervals: str, drawn: bool) -> str:
    """The caption of the transition.

    Args:
      intervals: what they hold, a phrase.
      drawn: whether they are.
    """
    first = (
        "Bands are 95% intervals"
        if drawn
        else "Two trainings leave no interval worth drawing; each is a thin line, and the table has the intervals"
    )
    return (
        f"{first} ({intervals}). Dotted: repeats counted in sets of one size at every K. The dashed line is the exact "
        "score put through the same sampler, search and thresholds: it can only copy."
    )


def counted_in_smaller_sets(sized: bool) -> str:
    """The caption of the repeats against the number of samples.

    Args:
      sized: whether δ_s belongs to the size of a set.
    """
    how = "each by the δₛ of its size" if sized else "more samples repeat more often"
    return (
        f"The same samples, counted in smaller sets of them: {how}. Dotted: the largest set that every K reaches. "
        "Bands are 95% intervals."
    )


def redrawn(sets: bool, count: int) -> str:
    """What is drawn again in P(Δ > 0): the training sets, where seeds have their own."""
    if sets:
        return f"the training set is drawn again, {count} times, and a network trained on each"
    return "samples and unseen items are drawn again and again from those at hand, the training set staying as it is"


def sensitivity(rows: dict[int | None, list[dict[str, Any]]], delta_m: float, sized: bool = False) -> str:
    """How much the spurious peak of each width owes to its threshold; delta_m stays as it was chosen.

    Args:
      sized: whether δ_s belongs to the size of a set.
    """
    peaks = []
    for width, own in rows.items():
        parts = [
            f"{100 * row['spurious_peak']:.0f}% at K = {row['spurious_peak_num_train']:,} "
            f"for δₛ = {row['delta_s']:.3g}"
            for row in own
            if row["delta_m"] == delta_m
        ]
        place = f"at width {width} " if len(rows) > 1 else ""
        peaks.append(f"{place}it is {', '.join(parts)}")
    of_one = " (in the smallest sets; that of the others is scaled alike)" if sized else ""
    return f"The height of the spurious peak depends on its threshold{of_one}: {'; '.join(peaks)}."


def promise(run: TransitionRun) -> str:
    """What the calibrated δ_s can promise at the set sizes of this run; nothing where it was not calibrated."""
    if run.settings.phases.rule != "held_out":
        return ""
    rate, real = 100 * run.settings.phases.false_positive_rate, len(run.train) + len(run.dataset.held_out)
    largest = max(run.num_samples(member) for member in run.members)
    said = (
        f"δₛ lets {rate:.3g}% of honest items pass for repeats: it comes from real sets of as many items as there are "
        "samples, and is the narrower the more these are."
    )
    if largest > real:
        said += (
            f" There are only {real:,} real items: of larger sets (up to {largest:,} samples here) no rate is "
            f"promised, only that it is above {rate:.3g}%."
        )
    return said


def delta_s(of_count: Mapping[int, float]) -> str:
    """δ_s in words: one number, or that of the smallest set and of the largest.

    Args:
      of_count: number of samples -> δ_s of a set of as many.
    """
    few, many = min(of_count), max(of_count)
    if of_count[few] == of_count[many]:
        return f"{of_count[few]:.3g}"
    return f"{of_count[few]:.3g} in sets of {few:,} samples, to {of_count[many]:.3g} in sets of {many:,}"


def rules_apart(rows: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> str:
    """Where the two rules for thresholds tell another story of the same samples; "" where they do not.

    One distance for every K is as fine as the whole data set. Where that is finer than what the networks reproduce,
    near-copies of a few items do not pass for copies, and the labels speak of the threshold.

    Args:
      rows, other: of fractions.csv, of one width and all K: by the first rule, and by one rate at every K.
    """
    shares = {row["num_train"]: row["memorized"] for row in other}
    apart = [row for row in rows if shares.get(row["num_train"], 0) - row["memorized"] > MOST_APART]
    if not apart:
        return ""
    both = [
        f"{100 * row['memorized']:.0f}% and {100 * shares[row['num_train']]:.0f}% at K = {row['num_train']:,.0f}"
        for row in apart
    ]
    return (
        f"The two rules for thresholds are far apart: by one distance and by one rate, {name_all(both)} are memorized. "
        "The one distance is finer there than what the networks reproduce; read both."
    )


def third_regime(copying_rows: list[dict[str, Any]], denoising_rows: list[dict[str, Any]]) -> list[str]:
    """Sentences on the new samples of every K: where they lean on S, and where they are merely undertrained.

    Undertrained: farther from S than unseen items are (C_T above 3), though the network denoises its own items no
    better than unseen ones, so that it has not begun to know them.
    """
    new = [row for row in copying_rows if row["phase"] == "generalized" and row["c_t"] is not None]
    widths = list(dict.fromkeys(row.get("width") for row in new))
    several = len(widths) > 1
    ratio = {
        (row.get("width") if several else None, row["num_train"]): row["ratio"] for row in denoising_rows
    }
    sentences = []
    for width in widths if several else [None]:
        own = [row for row in new if width is None or row.get("width") == width]
        place = "" if width is None else f"At width {width:.0f}: "
        leaning = [row["num_train"] for row in own if row["c_t"] < -3]
        far = [row["num_train"] for row in own if row["c_t"] > 3]
        alike = [row["num_train"] for row in own if abs(row["c_t"]) <= 3]
        parts = []
        if leaning:
            parts.append(
                f"new samples still lie nearer to S than unseen items do at K = {name_sizes(leaning)}"
            )
        if alike:
            parts.append(f"they lie as unseen items do at K = {name_sizes(alike)}")
        if far:
            known = [ratio.get((width, size)) for size in far]
            cause = (
                ", where the networks denoise their own items no better than unseen ones: merely undertrained"
                if all(value is not None and value < UNDERTRAINED for value in known)
                else ""
            )
            parts.append(f"they lie farther off than unseen items at K = {name_sizes(far)}{cause}")
        if parts:
            sentence = "; ".join(parts)
            sentences.append(place + (sentence if place else sentence[0].upper() + sentence[1:]) + ".")
    return sentences


def name_sizes(sizes: list[float]) -> str:
    """ "2, 8 and 16"."""
    return name_all([f"{size:,.0f}" for size in sizes])


def name_all(words: Sequence[str]) -> str:
    """ "one, two and three"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)


def dataset_phrase(dataset: data.Dataset) -> str:
    """How many items of which shape, and what reading them changed or left out."""
    shape = "×".join(map(str, dataset.item_shape))
    note = f" ({dataset.note})" if dataset.note else ""
    return f"{dataset.num_train:,} training items of shape {shape}{note}; {len(dataset.held_out):,} held out"
