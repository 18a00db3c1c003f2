"""Settings that the data decide: `choose` of a config, as in `configs/own.py`, whose docstring states the rule.

What the command line gives wins. What a run has in its workdir stays, so that the same command continues it.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from ml_collections import ConfigDict

from memgen_jax import data, phases
from memgen_jax.errors import FIELD, InputError
from memgen_jax.programs.settings import settings_from
from memgen_jax.programs.transition.growth import Before
from memgen_jax.programs.transition.settings import TransitionSettings
from memgen_jax.user_code import is_user_function

SIDE = 16  # pixels, to which larger images are brought
SHARE, MOST_HELD_OUT = 5, 500  # a fifth of the items, and never more
NUM_SIZES, LARGEST = 6, 2048
RATES = (0.01, 0.02, 0.05, 0.1)  # of false positives, the first that the held-out items can show
# In so few dimensions the nearest of many items is often nearer than a network is exact.
PLANE, RATE_IN_PLANE = 4, 0.1
# Of the network, by how many numbers an item has: up to 16, up to 1,024, more.
FEW = 16
WIDTHS = {FEW: 128, 1024: 256, math.inf: 512}
# The clean item is predicted: for velocity a network must also carry the noise through all its layers, and on points
# of a plane its training broke down (loss 1.00 at K = 334).
OF_FEW = {
    "train.num_steps": 8000,
    "sampler.spacing": "quadratic",
    "sampler.num_steps": 30,
}

NAMES = (
    *("data.size", "data.scale", "data.num_held_out", "num_train"),
    *("phases.false_positive_rate", "model.width", *OF_FEW),
)


class Choice(NamedTuple):
    """What came of the rule.

    Attributes:
      config: with the chosen settings in it.
      dataset: where it was read already, held-out items set aside; else None.
      told: what was chosen, a phrase each; empty where the workdir has it already.
    """

    config: ConfigDict
    dataset: data.Dataset | None
    told: tuple[str, ...]


def choose(config: ConfigDict, given: Collection[str] = (), before: Before | None = None) -> Choice:
    """The config with what the rule decides; as it is where it has no `choose`.

    Args:
      given: dotted names that the command line gives, which are left alone.
      before: what the workdir has: what it chose stays.
    Raises:
      InputError: the data are of another kind, or too few.
    """
    kind = config.get("choose")
    if not kind:
        return Choice(config, None, ())
    if config.data.name in data.NAMED:  # comes as it is
        config = _with(config, {"data.channels": None})
    free = [name for name in NAMES if name not in given]
    if before is not None and before.settings.get("choose"):
        return Choice(_with(config, _recorded(before.settings, free)), None, ())
    first = _with(config, _of_shape(config, kind, free))
    settings = settings_from(TransitionSettings, first)
    if settings.sets or settings.train_sets:
        raise InputError(
            f"{FIELD[0]} is for networks that are trained here: take --config=own_sets.", "choose"
        )
    dataset = settings.data.load()
    _require_kind(dataset.is_image, dataset.item_shape, kind, settings.data.name)
    found, loaded = _of_count(dataset, settings, free)
    config = _with(first, found)
    return Choice(config, loaded, tuple(_phrases(settings_from(TransitionSettings, config), loaded, free)))


def sizes(largest: int) -> tuple[int, ...]:
    """At most six sizes K, even in log K, from 2 to the largest.

    >>> from memgen_jax.programs.transition.chosen import sizes
    >>> sizes(480), sizes(2048)
    ((2, 6, 18, 54, 161, 480), (2, 8, 32, 128, 512, 2048))
    """
    even = np.geomspace(2, largest, NUM_SIZES)
    return tuple(sorted({round(float(size)) for size in even}))


def rate_for(count: int) -> float | None:
    """The lowest usual rate of false positives that so many distances can show; None for fewer than 9.

    >>> from memgen_jax.programs.transition.chosen import rate_for
    >>> rate_for(120), rate_for(40), rate_for(8)
    (0.01, 0.05, None)
    """
    return next((rate for rate in RATES if phases.fewest_held_out(rate) <= count), None)


def _of_shape(config: ConfigDict, kind: str, free: Sequence[str]) -> dict[str, Any]:
    """What can be said before the data are read whole: how large images are to be, and in what units vectors."""
    name = config.data.name
    if not name:
        raise InputError(
            f"give your data: {FIELD[0]}=PATH, a folder of images or an .npz or .npy file.", "data.name"
        )
    if name in data.NAMED:
        return {}
    found: dict[str, Any] = {}
    shape = None
    if not is_user_function(name):
        reading = {field: config.data.get(field) for field in ("size", "channels", "layout")}
        shape = data.foresee_shape(name, **reading)
        if shape is not None:
            _require_kind(len(shape) == 3, shape, kind, name)
    if kind == "vectors":
        if "data.scale" in free and not config.get("held_out"):
            found["data.scale"] = "spread"
    elif "data.size" in free and (shape is None or max(shape[:2]) > SIDE):
        found["data.size"] = SIDE
    return found


def _require_kind(is_image: bool, shape: Sequence[int], kind: str, name: str) -> None:
    """Refuses vectors where images are asked for, and images where vectors are."""
    if is_image and kind == "vectors":
        raise InputError(
            f"{FIELD[0]}={name} holds images of shape {'×'.join(map(str, shape))}: take --config=own:grey or "
            "own:colour.",
            "data.name",
        )
    if not is_image and kind != "vectors":
        raise InputError(
            f"{FIELD[0]}={name} holds vectors of {math.prod(shape)} numbers, no images: take --config=own:vectors.",
            "data.name",
        )


def _of_count(
    dataset: data.Dataset, settings: TransitionSettings, free: Sequence[str]
) -> tuple[dict[str, Any], data.Dataset | None]:
    """What follows from how many items there are, and the data with their held-out items."""
    found: dict[str, Any] = {}
    count = dataset.num_train
    if not settings.held_out and "data.num_held_out" in free and not len(dataset.held_out):
        aside = min(count // SHARE, MOST_HELD_OUT)
        if aside:
            found["data.num_held_out"] = aside
            dataset = data.set_aside(dataset, aside)
    dataset = data.without_seen(dataset)
    loaded = None if settings.held_out else dataset  # with these it is read again
    if not settings.held_out and settings.phases.rule == "held_out" and "phases.false_positive_rate" in free:
        rate = rate_for(min(len(dataset.held_out), dataset.num_train))
        if rate is None:
            fewest = phases.fewest_held_out(RATES[-1])
            raise InputError(
                f"{FIELD[0]}={settings.data.name} has {count} items, of which {len(dataset.held_out)} are held out, "
                "and "
                f"thresholds take {fewest} or more: give at least {fewest * SHARE} items, or real ones that no network "
                f"sees as {FIELD[1]}.",
                "data.name",
                "held_out",
            )
        in_plane = math.prod(dataset.item_shape) <= PLANE
        found["phases.false_positive_rate"] = RATE_IN_PLANE if in_plane else rate
    if "num_train" in free:
        most = dataset.num_train // 2 if settings.halves else dataset.num_train
        found["num_train"] = sizes(min(most, LARGEST))
    if "model.width" in free and settings.model.name == "mlp":
        numbers = math.prod(dataset.item_shape)
        found["model.width"] = next(width for most, width in WIDTHS.items() if numbers <= most)
        if numbers <= FEW:
            found |= {name: value for name, value in OF_FEW.items() if name in free}
    return found, loaded


def _recorded(settings: Mapping[str, Any], free: Sequence[str]) -> dict[str, Any]:
    """The free settings as a run has them."""
    found = {}
    for name in free:
        group, _, leaf = name.rpartition(".")
        held = settings.get(group, {}) if group else settings
        if leaf in held:
            value = held[leaf]
            found[name] = tuple(value) if isinstance(value, list) else value
    return found


def _with(config: ConfigDict, found: Mapping[str, Any]) -> ConfigDict:
    """A copy of the config with these settings in it."""
    copy = config.copy_and_resolve_references()
    with copy.unlocked(), copy.ignore_type():
        copy.update_from_flattened_dict(dict(found))
    return copy


def _phrases(settings: TransitionSettings, dataset: data.Dataset | None, free: Sequence[str]) -> list[str]:
    """What was chosen, for the terminal."""
    s = settings
    told = []
    if "num_train" in free:
        told.append(f"sizes K = {', '.join(f'{size:,}' for size in s.num_train)}")
    if "data.num_held_out" in free and s.data.num_held_out and dataset is not None:
        every = dataset.num_train + s.data.num_held_out
        told.append(f"{s.data.num_held_out} of {every:,} items held out")
    if "data.size" in free and s.data.size:
        told.append(f"images brought to {s.data.size}×{s.data.size} pixels")
    if "data.scale" in free and s.data.scale:
        told.append("vectors centred and in units of their spread")
    if "model.width" in free and (width := getattr(s.model, "width", None)):
        told.append(f"{s.model.name} of width {width} that predicts {s.train.prediction}")
        told.append(f"{s.train.num_steps:,} steps of {s.train.batch_size}")
    if "phases.false_positive_rate" in free and s.phases.rule == "held_out":
        told.append(f"thresholds that {100 * s.phases.false_positive_rate:g}% of unseen items pass")
    return told


def sentence(choice: Choice) -> str:
    """What was chosen; "" for nothing."""
    return f"Chosen from the data: {'; '.join(choice.told)}." if choice.told else ""
