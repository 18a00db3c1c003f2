"""Where a distance counts as "the same image" in a run: by each of its rules, δ_m of each K and δ_s of each set's size.

    rule = thresholds.first_rule(run, workdir)
    rule.at(num_train, num_samples)  ->  phases.Thresholds

Nearest distances shrink as a set grows. Where thresholds are calibrated on real items, δ_s is that of real sets as
large as the set of samples; where they are given, by name or by a valley, it is one number.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from memgen_jax import phases, runs
from memgen_jax.errors import FIELD, InputError
from memgen_jax.programs.transition import real_distances
from memgen_jax.programs.transition.settings import TransitionRun

RATE_RULE = "held_out_rate"


@dataclasses.dataclass(frozen=True)
class SizedThresholds:
    """The thresholds of one rule.

    Attributes:
      name: of the rule.
      at: (K, number of samples) -> both thresholds.
    """

    name: str
    at: Callable[[int, int], phases.Thresholds]

    def shifted(self, name: str, end: int) -> "SizedThresholds":
        """The same with `name`, "delta_m" or "delta_s", at the lower (0) or the upper (1) end of its interval."""

        def moved(num_train: int, num_samples: int) -> phases.Thresholds:
            own = self.at(num_train, num_samples)
            return dataclasses.replace(own, **{name: getattr(own, f"{name}_interval")[end]})

        return SizedThresholds(self.name, moved)


def first_rule(run: TransitionRun, workdir: runs.Workdir) -> SizedThresholds:
    """The rule of the settings: δ_m is one distance for every K."""
    s = run.settings.phases
    rule = phases.Rule(s.rule, s.delta_m, s.delta_s, s.table, run.metric.name, s.false_positive_rate)
    try:
        fixed = phases.choose_thresholds(rule, RunEvidence(run, workdir))
    except phases.NoValley as error:
        raise InputError(
            f"{error}. Nothing is lost: the same command with {FIELD[0]}=given, {FIELD[1]}=… and {FIELD[2]}=… (or with "
            f"{FIELD[0]}=held_out, or {FIELD[0]}=paper and {FIELD[3]}=…) labels the samples that are there.",
            "phases.rule",
            "phases.delta_m",
            "phases.delta_s",
            "phases.table",
        ) from None
    if s.rule != "held_out":
        return SizedThresholds(s.rule, lambda num_train, num_samples: fixed)
    of_samples = _of_samples(run, workdir)
    return SizedThresholds(
        s.rule, lambda num_train, num_samples: dataclasses.replace(fixed, **of_samples(num_samples))
    )


def rate_rule(run: TransitionRun, workdir: runs.Workdir) -> SizedThresholds:
    """The rule of one rate: δ_m is another distance at every K, which as many unseen items pass."""
    rate, of_samples = run.settings.phases.false_positive_rate, _of_samples(run, workdir)

    @functools.cache
    def of_train(num_train: int) -> phases.Thresholds:
        unseen = [real_distances.of_held_out(run, workdir, member) for member in run.one_a_subset(num_train)]
        any_set = real_distances.of_sets(run, workdir, common_size(run))
        found = phases.held_out(np.stack(unseen, axis=1), any_set, rate)
        return dataclasses.replace(found, rule=f"{found.rule} at every K")

    return SizedThresholds(
        RATE_RULE,
        lambda num_train, num_samples: dataclasses.replace(of_train(num_train), **of_samples(num_samples)),
    )


def can_hold_rate(run: TransitionRun) -> bool:
    """Whether there are held-out items enough for the rule of one rate."""
    fewest = phases.fewest_held_out(run.settings.phases.false_positive_rate)
    return min(len(run.dataset.held_out), common_size(run)) >= fewest


def common_size(run: TransitionRun) -> int:
    """The largest set size that every K reaches."""
    return min(run.num_samples(member) for member in run.members)


def _of_samples(run: TransitionRun, workdir: runs.Workdir) -> Callable[[int], dict[str, Any]]:
    """Number of samples -> δ_s of real sets as large, with its interval."""
    num_real = len(run.comparable_train) + len(run.comparable_held_out)

    @functools.cache
    def of_size(size: int) -> dict[str, Any]:
        distance = real_distances.of_sets(run, workdir, size)
        found = phases.repeat_threshold(distance, num_real, run.settings.phases.false_positive_rate)
        return dict(zip(("delta_s", "delta_s_interval"), found, strict=True))

    return lambda num_samples: of_size(min(num_samples, num_real))


class RunEvidence:
    """The distances of a run that a rule for the thresholds asks for; see `phases.Evidence`."""

    def __init__(self, run: TransitionRun, workdir: runs.Workdir):
        self._run, self._workdir = run, workdir

    def of_samples(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the samples of all members together."""
        pooled: dict[str, list[np.ndarray]] = {"train_distance": [], "synthetic_distance": []}
        for member in self._run.members:
            found = self._workdir.read_npz(f"neighbors/{member.name}.npz") or {}
            for name, parts in pooled.items():
                parts.append(found[name])
        train, synthetic = (np.concatenate(parts) for parts in pooled.values())
        return train, synthetic

    def of_real(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the held-out items to the whole training set, and of real items in sets of the common size."""
        run, workdir = self._run, self._workdir
        return real_distances.of_held_out(run, workdir), real_distances.of_sets(
            run, workdir, common_size(run)
        )
