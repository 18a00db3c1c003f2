"""The page of one transition, `report.html`, for a reader who has not seen the paper."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from memgen_jax.annotations import Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.report import page, style
from memgen_jax.report.transition_figures import CriticalSize, rows_by_width


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransitionPage:
    """What the page shows; sections without material are left out.

    Where `rows` are of several network widths, which is then a field of theirs, of `quality_rows` and of the
    critical sizes, every table names the width.

    Attributes:
      title: the page's title.
      dataset: one phrase on the data, for example "1,797 handwritten digits, 8×8 pixels".
      answer: the result in one sentence; `answer` of this module writes one.
      other_answers: sentences on the widths that `answer` does not speak of; `answer_at_width` writes one.
      delta_m, delta_s: thresholds on the distance to S and within S', the second in words where it
        belongs to the size of a set.
      metric: which distance, on which range of values, for example "L2, pixels in [-1, 1]".
      threshold_rule: how the thresholds were set, a phrase without a full stop.
      rows: one row per K (and width) with the fields of `fractions.csv`.
      control_rows: rows of the exact empirical score.
      quality_rows: `num_train`, `sample_distance`, `held_out_distance` per K; None where there is none.
      common_size, common_rows: a set size that every K reaches, and per K the spurious and generalized shares in
        sets of that size, with the fields of `repeats.csv`.
      critical_common: sizes at which something happens in sets of that size.
      repeats: a figure of the shares of repeats against the size of the set.
      promise: what the thresholds can promise at the set sizes of this run, a sentence.
      critical_note: what the parts of the critical sizes' intervals are, a sentence.
      third_regime: sentences on where new samples still lean on S, and where they are merely undertrained.
      coverage_rows: rows of `coverage.csv`.
      denoising, denoising_rows: the figure of the denoising losses; `num_train`, `train`, `held_out` and `ratio` per K.
      halves, halves_rows: the figure of the agreement of twins, and the rows of `halves.csv`.
      redrawn: what is drawn again in P(Δ > 0), a clause.
      intervals: what the intervals of the shares hold, a phrase.
      sampler: which one, a phrase.
      critical_by_rule: name of a rule for the thresholds -> its critical sizes.
      copying_rows: rows of `copying.csv`.
      critical: sizes at which something happens; those not reached are said to be so.
      onset_critical: the same for the onset paper's view, shown with `both_views`.
      transition, phase_diagram, both_views, capacity, histograms, galleries, quality, curves: the figures.
      sliders: what `sliders.embed` made, for the distances of the width that the histograms show; None leaves them out.
      other_pictures: such a width -> its `histograms` and `galleries`, folded below those of the first.
      num_steps: training steps of every model, named among the limits.
      limits: further sentences for the section on limits.
      command: the command line that made the run.
      settings, environment: shown as tables, nested names joined by dots.
    """

    title: str
    dataset: str
    answer: str
    other_answers: Sequence[str] = ()
    delta_m: float
    delta_s: float | str
    metric: str
    threshold_rule: str
    rows: Sequence[typing.Any]
    control_rows: Sequence[typing.Any] = ()
    quality_rows: Sequence[typing.Any] = ()
    common_size: int | None = None
    common_rows: Sequence[typing.Any] = ()
    critical_common: Sequence[CriticalSize] = ()
    repeats: page.Picture | None = None
    promise: str = ""
    critical_note: str = ""
    third_regime: Sequence[str] = ()
    coverage_rows: Sequence[typing.Any] = ()
    denoising: page.Picture | None = None
    denoising_rows: Sequence[typing.Any] = ()
    halves: page.Picture | None = None
    halves_rows: Sequence[typing.Any] = ()
    redrawn: str = "samples and unseen items are drawn again and again from those at hand"
    intervals: str = ""
    sampler: str = ""
    critical_by_rule: Mapping[str, Sequence[CriticalSize]] = dataclasses.field(default_factory=dict)
    copying_rows: Sequence[typing.Any] = ()
    critical: Sequence[CriticalSize] = ()
    onset_critical: Sequence[CriticalSize] = ()
    transition: page.Picture
    phase_diagram: page.Picture | None = None
    both_views: page.Picture | None = None
    capacity: page.Picture | None = None
    histograms: page.Picture | None = None
    galleries: Sequence[page.Picture] = ()
    sliders: Mapping[str, typing.Any] | None = None
    quality: page.Picture | None = None
    curves: page.Picture | None = None
    other_pictures: Mapping[int | None, Mapping[str, typing.Any]] = dataclasses.field(default_factory=dict)
    num_steps: int | None = None
    limits: Sequence[str] = ()
    command: str = ""
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)
    environment: Mapping[str, object] = dataclasses.field(default_factory=dict)


@takes_arrays
def render(shown: TransitionPage) -> str:
    """The page as HTML text."""
    values = {field.name: getattr(shown, field.name) for field in dataclasses.fields(shown)}
    for name in (
        "rows",
        "control_rows",
        "quality_rows",
        "common_rows",
        "coverage_rows",
        "denoising_rows",
        "halves_rows",
    ):
        values[name] = _by_size(values[name])
    values["copying_rows"] = [row | {"words": nearness(row["c_t"])} for row in shown.copying_rows]
    return page.render("transition.html", widths=list(rows_by_width(shown.rows)), **values)


@takes_arrays
def nearness(c_t: float | None) -> str:
    """What a C_T says in words; at |C_T| ≤ 3 chance may have made it."""
    if c_t is None:
        return "too few samples"
    if c_t < -3:
        return "nearer to S than unseen items"
    return "farther from S than unseen items: undertrained" if c_t > 3 else "as near to S as unseen items"


@takes_arrays
def answer(
    name: str,
    rows: Some[Sequence[typing.Any]],
    critical: Sequence[CriticalSize] = (),
    *,
    spurious_are: str = "repeated samples that copy no training item",
) -> str:
    """The result in one sentence, no stronger than the intervals allow.

    A transition is claimed where the intervals of the memorized fraction at the smallest and the largest
    K do not meet; a spurious peak, where its interval lies above those at both ends.

    Args:
      name: of the data set.
      rows: one row per K with the fields of `fractions.csv`.
      critical: the first that is reached and of phase "memorized" is quoted.
      spurious_are: what the word means in this run.
    """
    turns, memorized = _memorized(rows, critical)
    if not turns:
        return f"On {name} this run shows no transition: the memorized share goes {memorized}."
    ordered = _by_size(rows)
    first, last = ordered[0], ordered[-1]
    peak = rows[int(np.argmax(style.column(rows, "spurious")))]
    share = f"{page.percent(_value(peak, 'spurious'))} ({page.percent(_value(peak, 'spurious_low'))} – "
    share += f"{page.percent(_value(peak, 'spurious_high'))}) where K = {_value(peak, 'num_train'):,.0f}"
    stands_out = _value(peak, "spurious_low") > max(
        _value(first, "spurious_high"), _value(last, "spurious_high")
    )
    spurious = (
        f"{spurious_are} (spurious) peak at {share}"
        if stands_out
        else f"no spurious peak stands out (largest share {share})"
    )
    return f"On {name} the share of memorized samples falls {memorized}, and {spurious}."


@takes_arrays
def answer_at_width(
    width: int, rows: Some[Sequence[typing.Any]], critical: Sequence[CriticalSize] = ()
) -> str:
    """The same for a further width, shorter: whether its memorized share falls, and where.

    Args:
      width: of the network.
      rows, critical: those of that width, as `answer` takes them.
    """
    turns, memorized = _memorized(rows, critical)
    if turns:
        return f"At width {width} the share of memorized samples falls {memorized}."
    return f"At width {width} there is no transition: the memorized share goes {memorized}."


def _memorized(rows: Sequence[typing.Any], critical: Sequence[CriticalSize]) -> tuple[bool, str]:
    """Whether the memorized share falls from the smallest K to the largest, and the phrase that says how."""
    ordered = _by_size(rows)
    first, last = ordered[0], ordered[-1]
    smallest, largest = _value(first, "num_train"), _value(last, "num_train")
    phrase = (
        f"from {page.percent(_value(first, 'memorized'))} at K = {smallest:,.0f} "
        f"to {page.percent(_value(last, 'memorized'))} at K = {largest:,.0f}"
    )
    if _value(first, "memorized_low") <= _value(last, "memorized_high"):
        return False, f"{phrase}, and the intervals of the two meet or stand the other way round"
    crossing = next((size for size in critical if size.reached and size.phase == "memorized"), None)
    halfway = f", crossing one half near K = {page.number(crossing.value, 2)}" if crossing else ""
    return True, phrase + halfway


def _by_size(rows: Sequence[typing.Any]) -> list[typing.Any]:
    """Ascending in K, and first in the width where there are several."""
    return [
        row
        for own in rows_by_width(rows).values()
        for row in sorted(own, key=lambda row: _value(row, "num_train"))
    ]


def _value(row: typing.Any, name: str) -> float:
    return float(style.column([row], name)[0])
