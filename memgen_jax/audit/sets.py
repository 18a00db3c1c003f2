"""The transition of samples that one already has: a set for each training-set size K, from arrays to a curve."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Int, Shaped

from memgen_jax import metrics, phases
from memgen_jax.arrays_in import as_array, takes_arrays
from memgen_jax.audit.reading import items_at_hand
from memgen_jax.audit.shared import identical_in
from memgen_jax.data import subset_order
from memgen_jax.errors import InputError

OWN_RULES = ("held_out", "valley", "given")


@dataclasses.dataclass(frozen=True)
class SetsResult:
    """What the sets are, by size.

    Attributes:
      thresholds: those of the smallest set. By "held_out" δ_s belongs to the size of a set, and stands with each in
        `fractions`; δ_m is one for all.
      labels: K -> those of `phases.classify`, int32 [sample].
      fractions: one for each K, smallest first, with 95% intervals; those of repeats know that these come in groups.
      critical: see `phases.critical_sizes`.
    """

    thresholds: phases.Thresholds
    labels: dict[int, Int[np.ndarray, " sample"]]
    fractions: tuple[phases.Fractions, ...]
    critical: dict[str, Any]

    def figure(self, title: str = ""):
        """The fractions against K, a Matplotlib figure."""
        from memgen_jax.report import transition_figures

        rows = [dataclasses.asdict(row) for row in self.fractions]
        panel = transition_figures.TransitionPanel(
            rows, title=title, control_rows=[], critical=[], seed_rows=[]
        )
        return transition_figures.transition([panel])


@takes_arrays
def audit_sets(
    sets: Any,
    train: Shaped[np.ndarray, "train ..."],
    held_out: Shaped[np.ndarray, "unseen ..."] | None = None,
    *,
    order: str = "given",
    metric: str = "l2",
    rule: str | None = None,
    false_positive_rate: float = 0.01,
    delta_m: float | None = None,
    delta_s: float | None = None,
) -> SetsResult:
    """Labels the samples of every K with the thresholds of `memgen transition --config=own_sets`.

    Args:
      sets: {K: samples of the network that saw K training items}, or such pairs: images or vectors as
        `data.read_array` takes them, PyTorch's floats [sample, channel, height, width] among them.
      train: the training items likewise; those of size K are the first K of them.
      held_out: real items that no network has seen; those that are in `train`, identical, are left out.
      order: "given" (`train` as it lies), or "numpy" or "torch" as in data.order.
      metric: "l2", or "lpips" for images of at least 28 pixels a side.
      rule: "held_out" (the default with held-out items), "valley" (without) or "given", which takes `delta_m` and
        `delta_s`.
      false_positive_rate: of "held_out".
    Raises:
      InputError: arrays that cannot be compared, a size without its training items, or a rule that cannot work.

    >>> import numpy as np
    >>> from memgen_jax import audit_sets, load
    >>> digits = load("digits")
    >>> sets = {4: np.repeat(digits.train[:4], 25, axis=0), 400: digits.train[900:1000]}
    >>> found = audit_sets(sets, digits.train, digits.held_out)
    >>> [(row.num_train, row.memorized) for row in found.fractions]
    [(4, 1.0), (400, 0.0)]
    """
    by = _rule_name(rule, delta_m, delta_s, held_out is not None)
    phases.fewest_held_out(false_positive_rate)  # refuses what is no rate
    sets = _by_size(sets)
    given = {"train": train, **({} if held_out is None else {"held_out": held_out})}
    given |= {f"sets[{size}]": samples for size, samples in sets.items()}
    given = {name: items.values for name, items in items_at_hand(given).items()}
    train, held_out = given["train"], given.get("held_out")
    sets = {size: given[f"sets[{size}]"] for size in sets}
    for name, items in given.items():
        if (items.dtype == np.uint8, items.shape[1:]) != (train.dtype == np.uint8, train.shape[1:]):
            raise InputError(
                f"{name} is {items.dtype} of shape {items.shape[1:]} an item, and train {train.dtype} of "
                f"{train.shape[1:]}: bring all to one kind and shape"
            )
    chosen = metrics.make_metric(metric, train.shape[1:])
    items = train[subset_order(len(train), order)]
    references = chosen.vectors(items)
    distances, others = {}, {}
    for size, samples in sorted(sets.items()):
        if not (1 <= size <= len(train) and len(samples) > 1):
            raise InputError(
                f"sets[{size}] has {len(samples)} samples of a network that saw {size} of {len(train)} training items: "
                f"give at least 2, of a size in 1..{len(train)}"
            )
        vectors = chosen.vectors(samples)
        near = chosen.search(vectors, references[:size]).distance[:, 0]
        other = chosen.search(vectors, vectors, k=min(2, len(vectors) - 1), exclude_self=True)
        distances[size] = near, other.distance[:, 0]
        second = other.distance[:, 1] if len(vectors) > 2 else np.full(2, np.inf, np.float32)
        others[size] = other.index[:, 0], other.distance[:, 0], second
    if held_out is not None:
        held_out = held_out[~identical_in(train, held_out)]
        if not len(held_out):
            raise InputError(
                "every held_out item is in train, identical: give items that no network has seen"
            )
    unseen = None if held_out is None else chosen.vectors(held_out)
    asked = phases.Rule(
        by, delta_m or 0.0, delta_s or 0.0, metric=metric, false_positive_rate=false_positive_rate
    )
    evidence = _Evidence(distances, references, unseen, chosen)
    try:
        thresholds = phases.choose_thresholds(asked, evidence)
    except InputError as error:
        if by != "valley":
            raise
        raise error.and_so(": give held_out items that no network has seen, or delta_m and delta_s") from None
    counts = {size: len(near) for size, (near, _) in distances.items()}
    of_count = dict.fromkeys(counts.values(), (thresholds.delta_s, thresholds.delta_s_interval))
    if by == "held_out":
        of_count = {count: evidence.delta_s_of(count, false_positive_rate) for count in of_count}
    delta_s, interval = of_count[min(of_count)]
    thresholds = dataclasses.replace(thresholds, delta_s=delta_s, delta_s_interval=interval)
    deltas = {size: (thresholds.delta_m, of_count[count][0]) for size, count in counts.items()}
    labels = {size: phases.classify(*own, *deltas[size]) for size, own in distances.items()}
    shares = {
        size: phases.grouped_shares(own, *others[size], deltas[size][1]) for size, own in labels.items()
    }
    return SetsResult(
        thresholds,
        labels,
        tuple(
            phases.with_grouped_repeats(phases.fractions(own, size, *deltas[size]), shares[size])
            for size, own in labels.items()
        ),
        phases.critical_from_shares(list(labels), [[own] for own in shares.values()]),
    )


def _rule_name(rule: str | None, delta_m: float | None, delta_s: float | None, has_unseen: bool) -> str:
    """The rule that counts, with the thresholds that belong to it and no others."""
    given = [name for name, delta in (("delta_m", delta_m), ("delta_s", delta_s)) if delta is not None]
    name = rule or ("given" if given else "held_out" if has_unseen else "valley")
    if name not in OWN_RULES:
        raise InputError.setting("rule", name, f"one of {', '.join(OWN_RULES)}")
    if name == "given":
        if len(given) < 2:
            raise InputError(
                f"the rule given needs delta_m and delta_s, and only {given[0]} is given: give both"
                if given
                else "the rule given needs delta_m and delta_s: give them, or another rule"
            )
        if delta_m == delta_s == 0:
            raise InputError(
                "the rule given needs delta_m and delta_s, both are 0: give them, or another rule"
            )
    elif given:
        raise InputError(
            f"the rule {name} finds the thresholds itself: leave out {' and '.join(given)}, or give rule='given'"
        )
    if name == "held_out" and not has_unseen:
        raise InputError("the rule held_out needs held_out items: give them, or another rule")
    return name


def _by_size(sets: Any) -> dict[int, Any]:
    """The sets by their sizes K, from a dict or from pairs."""
    try:
        pairs = list(sets.items() if isinstance(sets, Mapping) else sets)
        if not pairs:
            raise InputError("sets is empty: give the samples of at least one size K, {K: samples}")
        found = {_whole(size): as_array(f"sets[{size}]", samples) for size, samples in pairs}
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError("sets must give samples by whole numbers K, {K: samples}") from None
    if len(found) < len(pairs):
        raise InputError("sets names a size K twice: give the samples of each once")
    return found


def _whole(size: Any) -> int:
    """A size K: a whole number, a float that is one, or the text of one."""
    is_whole = isinstance(size, float | np.floating) and float(size).is_integer()
    return int(size) if is_whole else int(str(size))


@dataclasses.dataclass(frozen=True)
class _Evidence:
    """The distances that a rule asks for; see `phases.Evidence`."""

    distances: Mapping[int, tuple[np.ndarray, np.ndarray]]
    train: np.ndarray
    unseen: np.ndarray | None
    metric: metrics.Metric
    known: dict[int, np.ndarray] = dataclasses.field(
        default_factory=dict
    )  # by size: each set is searched once

    def of_samples(self) -> tuple[np.ndarray, np.ndarray]:
        near, other = zip(*self.distances.values(), strict=True)
        return np.concatenate(near), np.concatenate(other)

    def of_real(self) -> tuple[np.ndarray, np.ndarray]:
        if self.unseen is None:
            raise InputError("the rule held_out needs held_out items: give them, or another rule")
        fewest = min(len(near) for near, _ in self.distances.values())
        return self.metric.search(self.unseen, self.train).distance[:, 0], self._of_sets(fewest)

    def delta_s_of(self, count: int, rate: float) -> tuple[float, tuple[float, float]]:
        """δ_s of real sets of `count` items, with its interval."""
        return phases.repeat_threshold(self._of_sets(count), self._num_real, rate)

    def _of_sets(self, count: int) -> np.ndarray:
        assert self.unseen is not None
        if count in self.known:
            return self.known[count]
        real = np.concatenate([self.train, self.unseen])
        nearest = [
            self.metric.search(real[items], real[items], exclude_self=True).distance[:, 0]
            for items in phases.real_sets(self._num_real, count)
        ]
        self.known[count] = np.stack(nearest, axis=1)
        return self.known[count]

    @property
    def _num_real(self) -> int:
        return len(self.train) + (0 if self.unseen is None else len(self.unseen))
