"""What the sliders of a transition's page need: the distances of one width, and examples beside the thresholds."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from memgen_jax import runs, sweep
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import distances_of, load_samples
from memgen_jax.report import sliders

NAMES = ("train_distance", "synthetic_distance")


def sliders_of(
    run: TransitionRun,
    workdir: runs.Workdir,
    width: int | None,
    rows: Sequence[dict[str, Any]],
    in_use: Mapping[str, Any],
) -> dict[str, Any]:
    """What `sliders.embed` makes of one width, whose `rows` of fractions.csv these are; seeds are pooled, as there.

    The sliders begin at the thresholds `in_use` of transition.json; where δ_s belongs to the size of a set, that of
    every other size moves with it in proportion.

    Examples come from the first seed's networks. In each stretch of places it is the first that was drawn, of the
    first K that has one there.
    """
    sizes = [int(row["num_train"]) for row in rows]
    members = {size: [m for m in run.members if (m.width, m.num_train) == (width, size)] for size in sizes}
    found = {size: [distances_of(workdir, member) for member in own] for size, own in members.items()}
    sets = [
        sliders.Distances(size, *pooled(found[size]), row["delta_s"])
        for size, row in zip(sizes, rows, strict=True)
    ]
    beside_m: list[sliders.Example] = []
    beside_s: list[sliders.Example] = []
    if run.is_image:
        first = {size: (members[size][0], found[size][0]) for size in sizes}
        deltas = {size: (row["delta_m"], row["delta_s"]) for size, row in zip(sizes, rows, strict=True)}
        beside_m = beside(run, workdir, first, deltas, of_train=True)
        beside_s = beside(run, workdir, first, deltas, of_train=False)
    return sliders.embed(
        sliders.Sliders(
            sets,
            in_use["delta_m"],
            in_use["delta_s"],
            run.metric.phrase,
            shown=int(np.argmax([row["spurious"] for row in rows])),
            beside_m=beside_m,
            beside_s=beside_s,
        )
    )


def pooled(found: Sequence[dict[str, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Both distances of all seeds."""
    near, other = (np.concatenate([one[name] for one in found]) for name in NAMES)
    return near, other


def beside(
    run: TransitionRun,
    workdir: runs.Workdir,
    first: dict[int, tuple[sweep.Member, dict[str, np.ndarray]]],
    deltas: Mapping[int, tuple[float, float]],
    *,
    of_train: bool,
) -> list[sliders.Example]:
    """The examples of one slider: beside δ_m with the nearest training item, beside δ_s with the nearest other sample.

    Args:
      first: K -> the network whose samples are shown, and their distances.
      deltas: K -> δ_m and δ_s.
      of_train: whether the slider is that of δ_m. Beside δ_s no copies are shown.
    """
    joined = {name: np.concatenate([found[name] for _, found in first.values()]) for name in NAMES}
    owner = np.concatenate([np.full(len(found[NAMES[0]]), size) for size, (_, found) in first.items()])
    row = np.concatenate([np.arange(len(found[NAMES[0]])) for _, found in first.values()])
    own_m, own_s = (np.array([deltas[size][which] for size in owner.tolist()]) for which in (0, 1))
    own = own_m if of_train else own_s
    # As multiples of its own threshold, where that is none.
    distance = joined[NAMES[0] if of_train else NAMES[1]] / np.where(own > 0, own, 1)
    at, _ = sliders.places(float(own.max() > 0), distance)
    allowed = None if of_train else joined[NAMES[0]] > own_m
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
