"""Other thresholds to try: what the two sliders of a page need to know of every sample.

A slider has `2 STEPS + 1` places, the threshold in use in the middle. Of a sample only the first place that reaches
its distance is kept, for either slider; so the shares at every place are exact, and the page holds no more than
(2 STEPS + 2)² counts a set however many samples it has.
"""

import base64
import dataclasses
import io
import typing
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Num

from memgen_jax.report import style
from memgen_jax.report.page import measure

STEPS = 60
"""Places on either side of the threshold in use."""
REACH = 6.0
"""The last place is so many times the threshold in use, the first its inverse."""
EXAMPLES = 24
"""Samples shown beside a threshold, over all its places, at most."""
LARGEST_SIDE = 64
"""Pixels of an example; larger images are made smaller."""


@dataclasses.dataclass(frozen=True)
class Distances:
    """The samples of one synthetic set.

    Attributes:
      num_train: K of the model that made them.
      train_distance: of every sample to its nearest item in S.
      synthetic_distance: to its nearest other sample in S', same metric.
      delta_s: that of a set of this size, where it is another one; it moves with the slider in proportion.
    """

    num_train: int
    train_distance: Float[np.ndarray, " sample"]
    synthetic_distance: Float[np.ndarray, " sample"]
    delta_s: float | None = None


@dataclasses.dataclass(frozen=True)
class Example:
    """A sample and its nearest neighbour; images are uint8, or float in [-1, 1].

    Attributes:
      num_train: K of the model that made it.
      train_distance, synthetic_distance: of the sample, as in `Distances`.
    """

    num_train: int
    train_distance: float
    synthetic_distance: float
    sample: Num[np.ndarray, "height width channel"]
    neighbor: Num[np.ndarray, "height width channel"]


@dataclasses.dataclass(frozen=True)
class Sliders:
    """All that a page with sliders shows.

    Attributes:
      sets: one for each K, ascending; or the only one.
      delta_m, delta_s: the thresholds in use.
      metric: which distance, on which range of values.
      shown: which of `sets` the histograms begin with.
      beside_m: samples with their nearest items of S, for the slider of delta_m; `choose` says which.
      beside_s: samples with their nearest other samples, for that of delta_s.
    """

    sets: Sequence[Distances]
    delta_m: float
    delta_s: float
    metric: str
    shown: int = 0
    beside_m: Sequence[Example] = ()
    beside_s: Sequence[Example] = ()


def places(delta: float, distances: Float[np.ndarray, " sample"]) -> tuple[Float[np.ndarray, " place"], int]:
    """The thresholds that a slider can stand at, ascending, and at which of them it begins.

    They are spaced by ratio around `delta`. Where `delta` is 0 they are 0, where it begins, and what the
    distances span.

    >>> import numpy as np
    >>> from memgen_jax.report import sliders
    >>> at, start = sliders.places(0.5, np.ones(3))
    >>> len(at), start, float(at[start]), round(float(at[-1] / at[start]), 6)
    (121, 60, 0.5, 6.0)
    """
    if delta > 0:
        found = delta * REACH ** (np.arange(-STEPS, STEPS + 1) / STEPS)
        found[STEPS] = delta  # not nearly: the shares there are those of the page's table
        return found, STEPS
    positive = distances[np.isfinite(distances) & (distances > 0)].astype(np.float64)
    low, high = (positive.min(), positive.max()) if len(positive) else (1e-3, 1.0)
    return np.concatenate([[0.0], np.geomspace(low, max(high, low * REACH), 2 * STEPS)]), 0


def _scaled(at: Float[np.ndarray, " place"], start: int, delta: float | None) -> Float[np.ndarray, " place"]:
    """The places in proportion to another threshold than the slider begins at."""
    if delta is None or delta == at[start] or at[start] == 0:
        return at
    found = at * (delta / at[start])
    found[start] = delta
    return found


def place_of(
    distance: Float[np.ndarray, " sample"], at: Float[np.ndarray, " place"]
) -> Int[np.ndarray, " sample"]:
    """The first place that reaches each distance, one beyond the last where none does.

    A place reaches a distance that is at most the threshold there, compared as `phases.classify` compares: in the
    distances' own precision.
    """
    return np.searchsorted(at.astype(distance.dtype), distance, side="left")


def choose(
    distance: Float[np.ndarray, " sample"], at: Float[np.ndarray, " place"], allowed: typing.Any = None
) -> Int[np.ndarray, " chosen"]:
    """Samples that lie beside the places of a slider: in each stretch of places the first that was drawn.

    Args:
      distance: of every sample, in the order in which they were drawn.
      at: the slider's places, see `places`.
      allowed: which samples may be taken, a mask; all where not given.
    Returns:
      Rows of at most `EXAMPLES` samples, nearest first.
    """
    place = place_of(distance, at)
    stretch = place * EXAMPLES // len(at)
    inside = (place > 0) & (place < len(at))
    if allowed is not None:
        inside &= allowed
    rows = np.flatnonzero(inside)
    _, first = np.unique(stretch[rows], return_index=True)
    chosen = rows[first]
    return chosen[np.argsort(distance[chosen], kind="stable")]


def embed(shown: Sliders) -> dict[str, typing.Any]:
    """What stands in the page for its script, as JSON holds it.

    Returns:
      "m", "s": of each slider its places as texts (`at`) and where it begins (`start`).
      "scaled": whether δ_s differs from set to set.
      "sets": for each K `num_train`, `total`, `ends` (its own first and last δ_s), `cells`: bytes in base64, three for
        up to 255 samples that have the same two places: that of δ_m, that of δ_s, how many.
      "beside_m", "beside_s": places (`m`, `s`), distance, K and two pictures of each example, nearest first.
      "metric", "shown".
    """
    pooled_train = np.concatenate([one.train_distance for one in shown.sets])
    pooled_synthetic = np.concatenate([one.synthetic_distance for one in shown.sets])
    at_m, start_m = places(shown.delta_m, pooled_train)
    at_s, start_s = places(shown.delta_s, pooled_synthetic)
    own_s = {one.num_train: _scaled(at_s, start_s, one.delta_s) for one in shown.sets}

    def beside_own(one: Example) -> str:
        """The distance of an example to another sample, with the δ_s of its set where that is another one."""
        own = own_s[one.num_train]
        told = f" (δₛ {measure(own[start_s])})" if own[start_s] != at_s[start_s] else ""
        return measure(float(one.synthetic_distance)) + told

    def example(one: Example, distance: str) -> dict[str, typing.Any]:
        of_train = np.asarray(one.train_distance, pooled_train.dtype)[None]
        of_other = np.asarray(one.synthetic_distance, pooled_synthetic.dtype)[None]
        return {
            "m": int(place_of(of_train, at_m)[0]),
            "s": int(place_of(of_other, own_s[one.num_train])[0]),
            "distance": distance,
            "num_train": one.num_train,
            "images": [thumbnail(one.sample), thumbnail(one.neighbor)],
        }

    return {
        "m": {"at": [measure(delta) for delta in at_m], "start": start_m},
        "s": {"at": [measure(delta) for delta in at_s], "start": start_s},
        "sets": [
            {
                "num_train": int(one.num_train),
                "total": len(one.train_distance),
                "ends": [measure(own_s[one.num_train][place]) for place in (0, -1)],
                "cells": cells(
                    place_of(one.train_distance, at_m),
                    place_of(one.synthetic_distance, own_s[one.num_train]),
                ),
            }
            for one in shown.sets
        ],
        "beside_m": [example(one, measure(float(one.train_distance))) for one in shown.beside_m],
        "beside_s": [example(one, beside_own(one)) for one in shown.beside_s],
        "scaled": len({float(own[start_s]) for own in own_s.values()}) > 1,
        "metric": shown.metric,
        "shown": shown.shown,
    }


def cells(m: Int[np.ndarray, " sample"], s: Int[np.ndarray, " sample"]) -> str:
    """How many samples have each pair of places, see `embed`."""
    pairs, counts = np.unique(np.stack([m, s], -1), axis=0, return_counts=True)
    parts = []
    for (place_m, place_s), count in zip(pairs.tolist(), counts.tolist(), strict=True):
        whole, rest = divmod(count, 255)
        parts += [bytes([place_m, place_s, 255])] * whole + [bytes([place_m, place_s, rest])] * bool(rest)
    return base64.b64encode(b"".join(parts)).decode("ascii")


def thumbnail(image: Num[np.ndarray, "height width channel"]) -> str:
    """A picture as a `data:` address: as it is up to 32 pixels a side, beyond it JPEG, at most `LARGEST_SIDE`."""
    from PIL import Image

    pixels = style.as_pixels(image)
    grey = bool((pixels == pixels[..., :1]).all())
    made = Image.fromarray(pixels[..., 0] if grey else pixels)
    small = max(made.size) <= 32
    if max(made.size) > LARGEST_SIDE:
        made.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    stream = io.BytesIO()
    if small:
        made.save(stream, "PNG", optimize=True)
    else:
        made.save(stream, "JPEG", quality=85)
    kind = "png" if small else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
