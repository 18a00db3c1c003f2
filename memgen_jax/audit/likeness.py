"""Whether the sets' pixels can be of one kind: a set that was stored otherwise makes every copy look new."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Shaped

from memgen_jax.data import Items, room
from memgen_jax.mapped import let_go

LOOKED_AT = 1000  # items of each set, evenly spaced
FAR = 4.0  # standard deviations between the sets' means, of their items' own means
LEVELS = 20.0  # and as many of 255
FEW = 2  # levels of pictures in black and white, beside others with many
REACH = 0.6  # a set that goes no farther than this part of the other's range from its dark or bright end


def warnings(sets: Mapping[str, Items]) -> list[str]:
    """Sentences on sets that differ from the training set as no other pictures of the same things would."""
    train = _Look(sets["train"].values)
    said = []
    for name, items in sets.items():
        if name == "train":
            continue
        other = _Look(items.values)
        if items.values.ndim == 4:
            if why := _pictures_differ(train, other):
                said.append(
                    f"Warning: train and {name} hardly are pictures of one kind: {why}. If they should be, one was "
                    "stored in another range, inverted or otherwise treated, and its copies cannot be found."
                )
        elif max(train.spread, other.spread) > 5 * min(train.spread, other.spread) or (
            abs(train.mean - other.mean) > 5 * max(train.spread, other.spread)
        ):
            said.append(
                f"Warning: the numbers of train are {train.mean:.3g} ± {train.spread:.3g} and those of {name} "
                f"{other.mean:.3g} ± {other.spread:.3g}: if both should be of one scale, no copy can be found."
            )
    return said


class _Look:
    def __init__(self, values: Shaped[np.ndarray, "item ..."]):
        some = values[:: max(1, len(values) // LOOKED_AT)]
        looks = []
        for item in some:
            looks.append((item.min(), item.max(), item.mean(dtype=np.float64), item.var(dtype=np.float64)))
            if item.nbytes * (len(looks) % 32) >= room.BLOCK or len(looks) % 32 == 31:
                let_go(values)
        lows, highs, own, within = np.array(looks, np.float64).T
        self.low, self.high = float(lows.min()), float(highs.max())
        self.levels = int((np.bincount(np.ravel(some[:32]).astype(np.uint8), minlength=256) > 0).sum())
        self.mean, self.between = float(own.mean()), float(own.std())
        self.spread = float(np.sqrt(within.mean() + own.var()))


def _pictures_differ(train: _Look, other: _Look) -> str:
    highs, lows = (train.high, other.high), (train.low, other.low)
    if min(highs) < REACH * max(highs):
        return f"the brightest pixels are {train.high:.0f} and {other.high:.0f} of 255"
    if 255 - max(lows) < REACH * (255 - min(lows)):
        return f"the darkest pixels are {train.low:.0f} and {other.low:.0f} of 255"
    if min(train.levels, other.levels) <= FEW and max(train.levels, other.levels) >= 8 * FEW:
        return f"they have {train.levels} and {other.levels} different levels of 256"
    if abs(train.mean - other.mean) > max(LEVELS, FAR * max(train.between, other.between)):
        return f"their mean levels are {train.mean:.0f} and {other.mean:.0f} of 255"
    return ""
