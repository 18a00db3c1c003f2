"""The page of one run on the circle, `report.html`."""

import math
from collections.abc import Mapping, Sequence

from memgen_jax.report import page, transition_page

Row = Mapping[str, float | None]


def answer(rows: Sequence[Row]) -> str:
    """The result in one sentence, and that of the closed form in a second.

    Args:
      rows: those of `circle.csv`; the closed form's has `num_train` infinite.
    """
    finite = [row for row in rows if math.isfinite(row["num_train"] or 0)]
    said = transition_page.answer(
        "the circle", finite, spurious_are="samples that fall to an attractor where no training point is"
    )
    for row in rows:
        if row not in finite:
            share = page.percent(row["generalized"])
            said += f" With infinitely many points, in closed form, {share} of them are new (generalized)."
    return said


def render(
    *,
    rows: Sequence[Row],
    attractor_time: float,
    delta: float,
    distance: float,
    flat_below: float,
    pictures: Mapping[str, page.Picture],
    num_steps: int,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, object],
) -> str:
    """The page as HTML.

    Args:
      rows: those of `circle.csv`.
      attractor_time: t of the landscape on which samples slide down.
      delta: the threshold of the labels by distance, for copies and repeats alike.
      distance: an isolated attractor nearer than this to a training point is a copy.
      flat_below: the stiffness under which an attractor is flat.
      pictures: the figures "landscapes", "temperature", "ring_radius", "phase_diagram" and "critical_load".
      num_steps: training steps of every network.
      command, settings, environment: how the run was made.
    """
    return page.render(
        "circle.html",
        answer=answer(rows),
        rows=rows,
        attractor_time=attractor_time,
        delta=delta,
        distance=distance,
        flat_below=flat_below,
        pictures=pictures,
        infinity=math.inf,
        num_steps=num_steps,
        command=command,
        settings=settings,
        environment=environment,
    )
