"""What the sliders of a transition's page need: the distances of one width, and examples beside the thresholds."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from memgen_jax import phases, runs, sweep
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import distances_of, load_samples
from memgen_jax.report import sliders

NAMES = ("train_distance", "synthetic_distance")


def sliders_of(
    run: TransitionRun,
    workdir: runs.Workdir,
    width: int | None,
    rows: Sequence[dict[str, Any]],
    thresholds: phases.Thresholds,
) -> dict[str, Any]:
    """What `sliders.embed` makes of one width, whose `rows` of fractions.csv these are; seeds are pooled, as there.

    Examples come from the first seed's networks. In each stretch of places it is the first that was drawn, of the
    first K that has one there.
    """
    sizes = [int(row["num_train"]) for row in rows]
    members = {size: [m for m in run.members if (m.width, m.num_train) == (width, size)] for size in sizes}
    found = {size: [distances_of(workdir, member) for member in own] for size, own in members.items()}
    sets = [
        sliders.Distances(size, *(np.concatenate([one[name] for one in found[size]]) for name in NAMES))
        for size in sizes
    ]
    beside_m: list[sliders.Example] = []
    beside_s: list[sliders.Example] = []
    if run.is_image:
        first = {size: (members[size][0], found[size][0]) for size in sizes}
        beside_m = beside(run, workdir, first, thresholds, of_train=True)
        beside_s = beside(run, workdir, first, thresholds, of_train=False)
    return sliders.embed(
        sliders.Sliders(
            sets,
            thresholds.delta_m,
            thresholds.delta_s,
            run.metric.phrase,
            shown=int(np.argmax([row["spurious"] for row in rows])),
            beside_m=beside_m,
            beside_s=beside_s,
        )
    )


def beside(
    run: TransitionRun,
    workdir: runs.Workdir,
    first: dict[int, tuple[sweep.Member, dict[str, np.ndarray]]],
    thresholds: phases.Thresholds,
    *,
    of_train: bool,
) -> list[sliders.Example]:
    """The examples of one slider: beside δ_m with the nearest training item, beside δ_s with the nearest other sample.

    Args:
      first: K -> the network whose samples are shown, and their distances.
      of_train: whether the slider is that of δ_m. Beside δ_s no copies are shown.
    """
    joined = {name: np.concatenate([found[name] for _, found in first.values()]) for name in NAMES}
    owner = np.concatenate([np.full(len(found[NAMES[0]]), size) for size, (_, found) in first.items()])
    row = np.concatenate([np.arange(len(found[NAMES[0]])) for _, found in first.values()])
    distance = joined[NAMES[0] if of_train else NAMES[1]]
    at, _ = sliders.places(thresholds.delta_m if of_train else thresholds.delta_s, distance)
    allowed = None if of_train else joined[NAMES[0]] > thresholds.delta_m
    chosen = sliders.choose(distance, at, allowed)
    examples: dict[int, sliders.Example] = {}
    for size in sorted(set(owner[chosen].tolist())):
        member, found = first[size]
        samples = load_samples(workdir, member)
        for i in chosen[owner[chosen] == size].tolist():
            own = row[i]
            neighbor = (
                run.train_of(member)[found["train_index"][own]]
                if of_train
                else samples[found["synthetic_index"][own]]
            )
            to_train, to_other = (float(joined[name][i]) for name in NAMES)
            examples[i] = sliders.Example(size, to_train, to_other, samples[own], neighbor)
    return [examples[i] for i in chosen.tolist()]
