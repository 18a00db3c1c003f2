"""In which range float images are stored: decided for all sets together, or said."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float32, UInt8

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import FIELD, InputError

RANGES = {"0,1": (0.0, 1.0), "-1,1": (-1.0, 1.0), "0,255": (0.0, 255.0)}
NEAR = 0.25  # a lowest value above minus this, and below 0, is neither range's: [-1, 1] reaches lower
OVERSHOOT = 0.6  # parts of a range by which values may leave it that the user has said it is
UNUSED = 8.0  # levels of 0..255: [0, 1] and [-1, 1] span fewer
ROUNDING = 1e-3  # by how much a float image may leave [0, 1] or [-1, 1] and still count as inside


class Guess(str):
    """A range that was inferred from the set as a whole, not said: its parts may yet contradict it."""


def require_known(value_range: str | None) -> None:
    """Refuses a range that is none of `RANGES`."""
    if value_range is not None and value_range not in RANGES:
        raise InputError.setting("value_range", value_range, f"one of {' or '.join(RANGES)}")


@takes_arrays
def decide(spans: Mapping[str, tuple[float, float]], value_range: str | None = None) -> dict[str, str]:
    """The range of each set of float images, of those in `RANGES`; a `Guess` where it was not given.

    A wrong guess makes a copy look new, so what fits no range clearly is refused: a lowest value a little below 0,
    and a set that never comes near 0 beside another that is clearly in [-1, 1].

    Args:
      spans: what to call a set -> its lowest and highest value.
      value_range: of all of them, in place of the guess.
    Raises:
      InputError: names the set.
    """
    require_known(value_range)
    if value_range is not None:
        for name, (low, high) in spans.items():
            require_fitting(low, high, name, value_range)
        return dict.fromkeys(spans, value_range)
    chosen: dict[str, str] = {name: Guess(_guessed(low, high, name)) for name, (low, high) in spans.items()}
    signed = next((name for name, key in chosen.items() if key == "-1,1"), None)
    for name, (low, high) in spans.items():
        if signed is not None and chosen[name] == "0,1" and low > ROUNDING:
            raise InputError(
                f"the float images of {name} run from {low:g} to {high:g} and those of {signed} from "
                f"{spans[signed][0]:g}: they may be bright ones in [-1, 1] or others in [0, 1]; say which with "
                f"{FIELD[0]}=-1,1, or save them as uint8 0..255",
                "value_range",
            )
    return chosen


@takes_arrays
def of_one_set(
    spans: Mapping[str, tuple[float, float]], value_range: str | None = None
) -> tuple[float, float]:
    """The lowest and highest value of a set that has several sources, all of one range.

    A source that never comes near 0 beside one that is clearly in [-1, 1] is a bright part of it. One that ends at 0
    is in [0, 1]: it has black there.

    Args:
      spans: what to call a source -> its lowest and highest value; one or more.
    Raises:
      InputError: the sources' ranges differ, and `value_range` does not say what they are.
    """
    if value_range is None:
        signed = next((name for name, (low, _) in spans.items() if low <= -NEAR), None)
        black = next((name for name, (low, _) in spans.items() if abs(low) <= ROUNDING), None)
        if signed is not None and black is not None:
            raise InputError(
                f"the float images of {black} run from {spans[black][0]:g} and those of {signed} from "
                f"{spans[signed][0]:g}, and both are one set: save them in one range, or say it with {FIELD[0]}",
                "value_range",
            )
    return min(low for low, _ in spans.values()), max(high for _, high in spans.values())


def _guessed(low: float, high: float, name: str) -> str:
    if low < -1 - ROUNDING or high > 1 + ROUNDING:
        raise InputError(
            f"the float images of {name} run from {low:g} to {high:g}: save them as uint8 0..255, scale them to "
            f"[0, 1] or [-1, 1], or say their range with {FIELD[0]}",
            "value_range",
        )
    if -NEAR < low < -ROUNDING:
        raise InputError(
            f"the float images of {name} run from {low:g} to {high:g}, which is neither [0, 1] nor clearly [-1, 1]: "
            f"say which with {FIELD[0]}=0,1 or {FIELD[0]}=-1,1",
            "value_range",
        )
    return "0,1" if low >= -ROUNDING else "-1,1"


def require_fitting(low: float, high: float, name: str, value_range: str) -> None:
    """Refuses a range that was said and cannot be: left by far, or 0..255 of which next to nothing is used.

    What leaves it a little is clipped, for samplers overshoot.
    """
    bottom, top = RANGES[value_range]
    margin = OVERSHOOT * (top - bottom)
    unused = value_range == "0,255" and 0 < high - low < UNUSED
    if low >= bottom - margin and high <= top + margin and not unused:
        return
    raise InputError(
        f"the float images of {name} run from {low:g} to {high:g}, which cannot be {FIELD[0]}={value_range}: give "
        "the range that they have, or save them as uint8 0..255",
        "value_range",
    )


def to_pixels(images: Float32[np.ndarray, "*shape"], value_range: str) -> UInt8[np.ndarray, "*shape"]:
    """Floats of a range as 0..255, rounded; values beyond the range are clipped."""
    low, high = RANGES[value_range]
    return ((images - low) / (high - low) * 255).round().clip(0, 255).astype(np.uint8)


def described(value_range: str) -> str:
    """What a note says."""
    low, high = RANGES[value_range]
    return f"floats in [{low:g}, {high:g}] rounded to 256 levels"
