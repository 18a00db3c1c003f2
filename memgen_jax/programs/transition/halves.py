"""Do two networks that share no training item make the same thing of the same noise? (Kadkhodaie et al. 2024)

Needs `halves=True`: each member then has a twin, trained on the next K items. Writes halves.csv, one row for each K
(and width):

num_train,num_pairs,num_seeds   how many pairs of samples, of all seeds together
cosine, _low, _high             of a sample and its twin from the same noise, as deviations from the mean training item
null_cosine, _low, _high        of samples from different noise: what any two samples of the two have in common
nearer_own, _low, _high         share of samples nearer to their own network's items than to the twin's

Intervals are over pairs, or Student's over seeds where there are several.
"""

import itertools
from typing import Any

import numpy as np

from memgen_jax import runs, statistics, sweep
from memgen_jax.programs.transition.denoising import decoded
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import (
    distances_of,
    load_samples,
    of_width,
    read_table,
    shown_width,
    write_rows,
)
from memgen_jax.report import halves_figures

NAME = "halves.csv"


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Writes the table; nothing where members have no twins."""
    if not run.twins:
        return
    centre = decoded(run.train).mean(0)
    rows = []
    pairs = sorted(run.members, key=lambda m: (run.widths.index(m.width), m.num_train))
    for (width, size), seeds in itertools.groupby(pairs, key=lambda m: (m.width, m.num_train)):
        found = [compare(run, workdir, member, centre) for member in seeds]
        row: dict[str, Any] = {"num_train": size, "num_pairs": sum(len(one["cosine"]) for one in found)}
        row["num_seeds"] = len(found)
        for name in ("cosine", "null_cosine", "nearer_own"):
            values, low, high = pooled([one[name] for one in found], share=name == "nearer_own")
            row |= {name: values, f"{name}_low": low, f"{name}_high": high}
        rows.append(row if width is None else row | {"width": width})
    write_rows(run, workdir, NAME, rows)


def compare(
    run: TransitionRun, workdir: runs.Workdir, member: sweep.Member, centre: np.ndarray
) -> dict[str, np.ndarray]:
    """Of a member and its twin: both cosines of each pair, and whether a sample's own items are nearer."""
    twin = member.twin()
    first, second = (unit_deviations(load_samples(workdir, one), centre) for one in (member, twin))
    nearer = []
    for own, other in ((member, twin), (twin, member)):
        samples = run.metric.vectors(load_samples(workdir, own))
        to_own = distances_of(workdir, own)["train_distance"]
        to_other = run.metric.search(samples, run.comparable_train_of(other)).distance[:, 0]
        nearer.append((1 + np.sign(to_other - to_own)) / 2)
    return {
        "cosine": np.sum(first * second, axis=1),
        "null_cosine": np.sum(first * np.roll(second, 1, axis=0), axis=1),
        "nearer_own": np.concatenate(nearer),
    }


def unit_deviations(items: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Items less the centre, as vectors of length 1; one that is the centre stays 0."""
    away = (decoded(items) - centre).reshape(len(items), -1).astype(np.float64)
    length = np.linalg.norm(away, axis=1, keepdims=True)
    return away / np.where(length > 0, length, 1)


def pooled(seeds: list[np.ndarray], share: bool) -> tuple[float, float, float]:
    """The mean over all pairs and its interval; of a share, Wilson's with one seed."""
    everyone = np.concatenate(seeds)
    mean = float(everyone.mean())
    if len(seeds) > 1:
        low, high = statistics.student_interval([float(own.mean()) for own in seeds])
    elif share:
        count = float(everyone.sum())
        low, _ = statistics.wilson_interval(int(np.floor(count)), len(everyone))
        _, high = statistics.wilson_interval(int(np.ceil(count)), len(everyone))
    else:
        found = statistics.mean_interval(everyone)
        low, high = found.low, found.high
    bound = (0.0, 1.0) if share else (-1.0, 1.0)
    return mean, max(low, bound[0]), min(high, bound[1])


def exists(workdir: runs.Workdir) -> bool:
    return (workdir / NAME).exists()


def draw(run: TransitionRun, workdir: runs.Workdir) -> tuple[Any, str, str]:
    """Agreement against K, of the shown width: the figure, its description, its caption."""
    rows = of_width(read_table(workdir, NAME), shown_width(run))
    alt = "Cosine similarity of paired samples of two networks, and share nearer to own items, against K."
    caption = (
        "Two networks for each K, trained on sets that share no item, sampled from the same noise. Above: how alike "
        "their samples are (1: the same), beside samples from different noise (dashed). Below: the share of samples "
        "nearer to their own network's items; one half where these leave no trace. Bands are 95% intervals."
    )
    return halves_figures.halves(rows), alt, caption
