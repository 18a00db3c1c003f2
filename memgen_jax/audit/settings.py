"""What an audit compares, and how."""

import dataclasses
import math
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from memgen_jax import metrics, phases
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import listed
from memgen_jax.errors import FIELD, InputError

METRICS = ("auto", *metrics.METRICS)
TABLES = ("auto", *phases.PAPER, "sscd")
# The similarity from which SSCD pairs usually count as copies is 0.7, hence 2 − 2·0.7.
SSCD = 0.6
FLAGS = {"false_positive_rate": "fpr", "value_range": "range"}  # others are called as their field


@takes_arrays
@dataclasses.dataclass(frozen=True)
class AuditSettings:
    """What to compare, and how; every field has its flag in `memgen audit`.

    Attributes:
      train, samples, holdout: sources as `data.read` takes them; several of one kind are one set.
      out: folder for the results, made where missing.
      metric: "l2" (pixels in [-1, 1], not squared), "lpips" (AlexNet v0.1, squared), or "auto": L2 for
        one channel and for vectors, LPIPS for colour.
      encoder: an .onnx or TorchScript file, a network that makes a vector of each image, in place of a metric:
        distances are 2 − 2cos.
      thresholds: a data set of the paper's table, or "auto": held-out calibration where there is a
        holdout, else the valley rule.
      delta_m, delta_s: both given, they replace `thresholds`.
      false_positive_rate: share of unseen real images that held-out calibration lets pass as copies.
      ratio: also report the share of samples with d1/d2 below it.
      fail_above: `Result.failed` is true where the memorized fraction is above it.
      up_to: distances are the least over these versions of an image, such as "flip,shift=2,rotate,brightness";
        see `metrics.Orbit`. Thresholds are calibrated by the same distances.
      distances: `distances.npz` of an earlier audit, in place of the sets: it is labelled again.
      top: so many nearest training items of every sample stand in labels.csv.
      save_pairs: also write a picture for every copy, beside its training item, in OUT/pairs.
      skip_duplicates_check: leave out the search of the training set in itself, the longest where it is large;
        what needs it is then missing.
      memory: gigabytes that the whole may take, reading, embedding, search and page; None for a third of what is
        free. What does not fit lies in files in TMPDIR.
      size, channels, skip_bad, value_range, layout, data_dir: see `data.read`.
      batch: images per LPIPS batch.
    """

    train: str | Sequence[str] = ()
    samples: str | Sequence[str] = ()
    out: str = ""
    holdout: str | Sequence[str] | None = None
    metric: str = "auto"
    encoder: str | None = None
    thresholds: str = "auto"
    delta_m: float | None = None
    delta_s: float | None = None
    false_positive_rate: float = 0.01
    ratio: float | None = None
    fail_above: float | None = None
    up_to: str | None = None
    distances: str | None = None
    top: int = 1
    save_pairs: bool = False
    skip_duplicates_check: bool = False
    memory: float | None = None
    size: int | None = None
    channels: int | None = None
    skip_bad: bool = False
    value_range: str | None = None
    layout: str | None = None
    data_dir: str | None = None
    batch: int = 64

    def sources(self, name: str) -> tuple[str, ...]:
        """The sources of "train", "samples" or "holdout"; none where there is no holdout."""
        given = getattr(self, name)
        return () if given is None else (given,) if isinstance(given, str) else tuple(given)

    def called(self, name: str) -> str:
        """What sentences call one of the three sets; of many sources the first."""
        return listed(self.sources(name), most=4) or f"held out in {self.called('train')}"

    @property
    def command(self) -> str:
        """The line for a shell that asks for this audit; what is as it would be without its flag is left out."""
        words = ["memgen", "audit"]
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value == field.default:
                continue
            flag = "--" + FLAGS.get(field.name, field.name.replace("_", "-"))
            if isinstance(value, bool):
                words.append(flag)
            elif isinstance(value, str | float | int):
                words.append(f"{flag}={shlex.quote(str(value))}")
            else:
                words += [flag, *(shlex.quote(one) for one in value)]
        return " ".join(words)

    @property
    def orbit(self) -> metrics.Orbit | None:
        """The versions of an image over which distances are the least; None for the image as it is."""
        return None if self.up_to is None else metrics.parse_orbit(self.up_to)

    @property
    def has_rule(self) -> bool:
        """Whether the thresholds are said, so that nothing is calibrated."""
        return self.delta_m is not None or self.thresholds != "auto"

    def rule(self, metric: metrics.Metric, has_holdout: bool) -> phases.Rule:
        """Given numbers, the paper's by name, held-out calibration, or the valley rule, in this order."""
        if self.delta_m is not None and self.delta_s is not None:
            return phases.Rule("given", self.delta_m, self.delta_s)
        if self.thresholds == "sscd":
            return phases.Rule("given", SSCD, SSCD)
        if self.thresholds != "auto":
            return phases.Rule("paper", table=self.thresholds, metric=metric.name)
        if has_holdout:
            return phases.Rule("held_out", false_positive_rate=self.false_positive_rate)
        return phases.Rule("valley", one_for_both=True)


def check(settings: AuditSettings) -> None:
    """Refuses settings that contradict each other, before anything is read."""
    _check_what_is_compared(settings)
    _check_places(settings)
    if (settings.delta_m is None) != (settings.delta_s is None):
        raise InputError(f"only one of {FIELD[0]} and {FIELD[1]} is given; give both", "delta_m", "delta_s")
    if settings.delta_m is not None and settings.delta_s is not None:
        if settings.thresholds != "auto":
            raise InputError(
                f"{FIELD[0]} and {FIELD[1]} exclude each other; give one of them", "thresholds", "delta_m"
            )
        phases.given(settings.delta_m, settings.delta_s)
    for name, choices in (("metric", METRICS), ("thresholds", TABLES)):
        if getattr(settings, name) not in choices:
            raise InputError.setting(name, getattr(settings, name), f"one of {', '.join(choices)}")
    if settings.encoder is not None and settings.metric != "auto":
        raise InputError(f"{FIELD[0]} is a metric of its own; leave out {FIELD[1]}", "encoder", "metric")
    if settings.thresholds == "sscd" and settings.encoder is None and settings.distances is None:
        raise InputError(
            f"{FIELD[0]} sscd belong to an encoder's distances; give {FIELD[1]}", "thresholds", "encoder"
        )
    for name in ("fail_above", "ratio", "false_positive_rate"):
        value = getattr(settings, name)
        if value is not None and not 0 <= value <= 1:
            raise InputError.setting(name, value, "a fraction in 0..1")
    if settings.false_positive_rate in (0, 1):
        raise InputError.setting(
            "false_positive_rate",
            settings.false_positive_rate,
            "inside (0, 1), for it leaves nothing to calibrate; 0.01 is usual",
        )
    if settings.ratio == 0:
        raise InputError.setting("ratio", settings.ratio, "positive; 0.333 is usual")
    refuse_thresholds_of_plain_images(settings)
    if settings.top < 1:
        raise InputError.setting("top", settings.top, "at least 1, the nearest training item")
    if settings.memory is not None and not 0 < settings.memory < math.inf:
        raise InputError.setting("memory", settings.memory, "a positive number of gigabytes")
    if settings.batch < 1:
        raise InputError.setting("batch", settings.batch, "positive; 64 is usual")


def _check_places(settings: AuditSettings) -> None:
    """No set twice, none inside another, and the results in none of them."""
    places: dict[str, tuple[str, str]] = {}
    above: dict[str, str] = {}  # every folder that a place lies in -> the first such place
    out = os.path.realpath(settings.out) if settings.out else ""
    for name in ("train", "samples", "holdout"):
        for source in settings.sources(name):
            if not source:
                raise InputError(f"{FIELD[0]} is empty; give a path", name)
            plain = source.startswith("tfds:")
            place = (
                source if plain else os.path.realpath(os.path.expanduser(re.sub("^(idx|cifar):", "", source)))
            )
            if place in places:
                if places[place][0] == name:
                    raise InputError(f"{FIELD[0]} names {source} twice; give it once", name)
                raise InputError(
                    f"{FIELD[0]} and {FIELD[1]} are both {source}; give two different sets",
                    places[place][0],
                    name,
                )
            folders = [] if plain else [str(folder) for folder in Path(place).parents]
            other = next((folder for folder in folders if folder in places), above.get(place))
            if other is not None:
                other_name, other_source = places[other]
                raise InputError(
                    f"of {FIELD[0]} {other_source} and {FIELD[1]} {source} one lies inside the other, whose items it "
                    "would share; give two different folders",
                    other_name,
                    name,
                )
            if out and f"{out}/".startswith(f"{place}/"):
                raise InputError(
                    f"{FIELD[0]} {settings.out} is {'' if out == place else 'inside '}{FIELD[1]} {source}, which the "
                    "next audit would read with the results in it; give another folder",
                    "out",
                    name,
                )
            places[place] = name, source
            for folder in folders:
                above.setdefault(folder, place)


def _check_what_is_compared(settings: AuditSettings) -> None:
    """Either two sets, or what an earlier audit found of them."""
    if settings.distances is not None:
        for name in ("train", "samples", "holdout"):
            if settings.sources(name):
                raise InputError(
                    f"{FIELD[0]} labels an earlier audit again, and {FIELD[1]} asks for a new one; give one of them",
                    "distances",
                    name,
                )
        if settings.up_to is not None:
            raise InputError(
                f"{FIELD[0]} holds distances that are what they are; {FIELD[1]} needs the sets",
                "distances",
                "up_to",
            )
        if settings.encoder is not None or settings.metric != "auto":
            raise InputError(
                f"{FIELD[0]} holds distances that are what they are; leave out {FIELD[1]}",
                "distances",
                "metric" if settings.encoder is None else "encoder",
            )
        if settings.save_pairs:
            raise InputError(
                f"{FIELD[0]} has no pictures to save; give the sets themselves for {FIELD[1]}",
                "distances",
                "save_pairs",
            )
        return
    for name in ("train", "samples"):
        if not settings.sources(name):
            raise InputError(
                f"{FIELD[0]} is missing; give a path, or {FIELD[1]} of an earlier audit", name, "distances"
            )
    if settings.skip_duplicates_check and not settings.has_rule and settings.holdout is None:
        raise InputError(
            f"{FIELD[0]} leaves out what tells whether a valley is a threshold: give {FIELD[1]}, or {FIELD[2]} and "
            f"{FIELD[3]}",
            "skip_duplicates_check",
            "holdout",
            "delta_m",
            "delta_s",
        )


def refuse_thresholds_of_plain_images(settings: AuditSettings) -> None:
    """Refuses named thresholds beside least distances, to which they do not belong."""
    if settings.up_to is not None and settings.orbit and settings.thresholds != "auto":
        raise InputError(
            f"{FIELD[0]} by name are for images as they are, and {FIELD[1]} makes all distances smaller: give "
            f"{FIELD[2]}, or {FIELD[3]} and {FIELD[4]}",
            "thresholds",
            "up_to",
            "holdout",
            "delta_m",
            "delta_s",
        )
