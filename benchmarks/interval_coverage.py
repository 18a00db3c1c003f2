"""Do the 95% intervals of one training cover? Many sets of samples drawn from the same networks say.

    python -m benchmarks.interval_coverage --run=RUN --out=DIR [--redraws=200] [--size=256] [--num_train=32,64,128]

RUN is a finished transition. Of each K the network of the first seed draws `redraws` sets of `size` samples; every set
is labelled with the run's thresholds and given its intervals by the code that writes fractions.csv, repeats.csv and
the sampling part of the critical sizes in transition.json. The truth is the mean over all sets (the crossing of the
mean shares). Nothing is trained; the same command continues where it was stopped.

Per interval: the truth, the standard deviation over the sets as a multiple of the binomial one, the share of the sets
whose interval holds the truth, and the mean width. Written to DIR/coverage_of_intervals.csv too.
"""

import argparse
import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from memgen_jax import phases, runs, sweep
from memgen_jax.programs import finished_run
from memgen_jax.programs.transition import estimates, tables

HALVES = ("memorized_half", "generalized_half")
NAME = "coverage_of_intervals.csv"


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    flags.add_argument("--run", required=True, metavar="DIR", help="a finished transition")
    flags.add_argument("--out", required=True, metavar="DIR")
    flags.add_argument("--redraws", type=int, default=200)
    flags.add_argument("--size", type=int, default=256, help="samples in a set")
    flags.add_argument("--num_train", default="", metavar="K,K", help="all sizes of the run where left out")
    flags.add_argument("--quick", action="store_true", help="20 sets")
    arguments = flags.parse_args()
    redraws = 20 if arguments.quick else arguments.redraws
    found = finished_run.open_run(arguments.run)
    wanted = [int(size) for size in arguments.num_train.split(",") if size] or found.sizes
    width, seed = found.shown_width, found.run.settings.seeds[0]
    members = [m for m in found.run.members if (m.width, m.seed) == (width, seed) and m.num_train in wanted]
    config = {"program": "interval_coverage", "run": arguments.run, "size": arguments.size}
    with runs.Workdir(arguments.out, config) as workdir:
        draw(found, members, redraws * arguments.size, workdir)
        groups = [list(sets_of(found, workdir, member, redraws, arguments.size)) for member in members]
        rows = [row for own in groups for row in share_rows(own)]
        if len(members) > 1:
            rows += critical_rows(groups, found.run.settings.phases.num_bootstrap)
        workdir.write_csv(NAME, rows)
    show(rows)


def draw(
    found: finished_run.FinishedRun, members: Sequence[sweep.Member], count: int, workdir: runs.Workdir
) -> None:
    """Writes samples/<member>.npz, `count` samples of each."""
    with runs.stage("sample", count * len(members), "samples", workdir) as stage:
        sweep.synthesize(
            members,
            lambda _: count,
            found.source(found.shown_width),
            found.run.sampler,
            mesh=sweep.member_mesh(),
            workdir=workdir,
            progress=stage,
        )


def sets_of(
    found: finished_run.FinishedRun, workdir: runs.Workdir, member: sweep.Member, redraws: int, size: int
) -> Iterator[estimates.Group]:
    """The sets of one member, each as the tables of a run take it."""
    metric = found.run.metric
    delta_m, delta_s = found.deltas[member.num_train]
    thresholds = phases.Thresholds(delta_m, delta_s, "the run's, at every set size")
    samples = metric.vectors(tables.load_samples(workdir, member))[: redraws * size]
    near = metric.search(samples, found.run.comparable_train_of(member)).distance[:, 0]
    for start in range(0, redraws * size, size):
        own = slice(start, start + size)
        others = metric.count_within(samples[own], samples[own], delta_s, exclude_self=True).reshape(-1)
        labels = phases.classify(near[own], np.where(others > 0, 0.0, np.inf), delta_m, delta_s)
        yield estimates.Group(
            member.width, member.num_train, lambda _: thresholds, [labels], [{delta_s: others}]
        )


def share_rows(sets: Sequence[estimates.Group]) -> list[dict[str, Any]]:
    """How often the intervals of fractions.csv and repeats.csv hold the mean over the sets, of one K."""
    size, rows = sets[0].num_samples, []
    tables_of = {
        "fractions.csv": [[estimates.fraction_row("", own) | {"num_samples": size}] for own in sets],
        "repeats.csv": [estimates.repeat_rows("", own, size // 2) for own in sets],
    }
    for name, each in tables_of.items():
        for place, row in enumerate(each[0]):
            for phase in phases.NAMES:
                if phase in row:
                    values, low, high = (
                        np.array([own[place][f"{phase}{end}"] for own in each])
                        for end in ("", "_low", "_high")
                    )
                    key = {"table": name, "num_train": sets[0].num_train, "num_samples": row["num_samples"]}
                    rows.append(key | {"estimate": phase} | covered(values, low, high, float(values.mean())))
    return rows


def covered(values: np.ndarray, low: np.ndarray, high: np.ndarray, truth: float) -> dict[str, Any]:
    """How often [low, high] holds the truth."""
    return {
        "truth": truth,
        "standard_deviation": float(values.std(ddof=1)),
        "coverage": float(np.mean((low <= truth) & (truth <= high))),
        "mean_width": float(np.mean(high - low)),
        "num_sets": len(values),
    }


def critical_rows(groups: Sequence[Sequence[estimates.Group]], resamples: int) -> list[dict[str, Any]]:
    """The same of the sampling parts of both halves; a set of sets is one of every K."""
    size = groups[0][0].num_samples
    drawn = [estimates.critical(own, [], resamples) for own in zip(*groups, strict=True)]
    sizes = np.array([own[0].num_train for own in groups], float)
    rows = []
    for name in HALVES:
        phase, rising = name.removesuffix("_half"), name == "generalized_half"
        curve = np.array([np.mean([values_of(own, phase) for own in sets]) for sets in groups])
        truth = phases.half_crossing(sizes, curve, np.ones(len(sizes)), increasing=rising)
        crossed = [own[name] for own in drawn if own[name]["num_train"] is not None]
        if math.isfinite(truth) and len(crossed) > 1:
            ends = np.array([[own["num_train"], *own["sampling"]] for own in crossed])
            key = {"table": "transition.json", "num_train": None, "num_samples": size, "estimate": name}
            rows.append(key | covered(*ends.T, truth))
    return rows


def values_of(group: estimates.Group, phase: str) -> float:
    return getattr(group.shares(group.num_samples)[0], phase).value


def show(rows: Sequence[dict[str, Any]]) -> None:
    """The table as text, standard deviations as multiples of the binomial ones, and the coverage of each kind."""
    print(
        f"{'table':<16}{'K':>6}{'n':>6}  {'estimate':<18}{'truth':>8}{'sd/binomial':>13}{'covered':>9}{'width':>9}"
    )
    for row in rows:
        binomial = math.sqrt(max(row["truth"] * (1 - row["truth"]), 0) / row["num_samples"])
        share = row["num_train"] is not None and binomial > 0
        ratio = f"{row['standard_deviation'] / binomial:.2f}" if share else "–"
        place = f"{row['num_train'] or '':>6}{row['num_samples']:>6}"
        print(
            f"{row['table']:<16}{place}  {row['estimate']:<18}{row['truth']:>8.3f}{ratio:>13}"
            f"{row['coverage']:>9.3f}{row['mean_width']:>9.3f}"
        )
    print()
    kind = lambda row: (row["table"], row["estimate"])  # noqa: E731
    for key, own in itertools.groupby(sorted(rows, key=kind), key=kind):
        values = [row["coverage"] for row in own]
        print(
            f"{key[0]:<16} {key[1]:<18} mean {np.mean(values):.3f}, least {min(values):.3f}, of {len(values)}"
        )


if __name__ == "__main__":
    main()
