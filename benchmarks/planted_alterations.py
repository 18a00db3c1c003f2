"""Which metric finds which altered copy? Recall at 1% false positives, in one table for each kind of picture.

Copies of 50 training pictures each, altered in fourteen ways, of Fashion-MNIST (1,000 training images) and of colour
photographs (crops of 64 pixels). The threshold of each metric is that at which 1% of pictures that are not in the
training set would count as copies; found is what is at least as near.

    python -m benchmarks.planted_audit --altered [--lpips] [--encoder=FILE]
"""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import alterations
from memgen_jax import metrics, phases
from memgen_jax.audit.encoding import open_encoder

PLANTED = 50
# Versions over which each distance is the least; those of LPIPS are embedded each, so fewer are tried.
VERSIONS = {
    "L2": ("", "flip", "shift=2", "shift=4", "brightness", "tilt", "zoom,shift=3"),
    "LPIPS": ("", "flip", "shift=2", "tilt", "zoom,shift=1"),
    "ST-LPIPS": ("", "flip", "tilt", "zoom"),
    "encoder": ("", "flip"),
}


def table(data: str, lpips: bool, encoder: str | None, quick: bool) -> None:
    """Prints both tables."""
    part = 10 if quick else 1
    for called, sets in (
        ("Fashion-MNIST", alterations.clothes(data, 1000 // part, 500)),
        ("photographs, 64 px", alterations.photographs()),
    ):
        planted = alterations.altered(sets, PLANTED // min(part, 5))
        train, unseen = alterations.middle(sets.train), alterations.middle(sets.unseen)
        count = len(next(iter(planted.values())))
        print(
            f"\n{called}: {len(train):,} training pictures, {len(unseen):,} unseen, {count} copies of each kind"
        )
        print("recall in percent at 1% false positives\n")
        print("| distance | " + " | ".join(planted) + " | δ | s |")
        print("|---" * (len(planted) + 3) + "|")
        for name, metric, orbit in contestants(train.shape[1:], lpips, encoder):
            start = time.perf_counter()
            queries = [metric.vectors(items) for items in (unseen, *planted.values())]
            found = metrics.least_search(
                metric, orbit, np.concatenate(queries), train, metric.vectors(train)
            ).distance[:, 0]
            honest, *each = np.split(found, np.cumsum([len(items) for items in queries])[:-1])
            delta = phases.held_out(honest, honest, 0.01).delta_m
            shares = " | ".join(f"{100 * (own <= delta).mean():.0f}" for own in each)
            print(f"| {name} | {shares} | {delta:.3g} | {time.perf_counter() - start:.0f} |", flush=True)


def contestants(
    item_shape: tuple[int, ...], lpips: bool, encoder: str | None
) -> Iterator[tuple[str, metrics.Metric, metrics.Orbit | None]]:
    """Name, metric and versions of every row."""
    for kind, name, metric in (
        ("L2", "L2", metrics.make_metric("l2", item_shape)),
        ("LPIPS", "LPIPS", metrics.make_metric("lpips", item_shape) if lpips else None),
        ("ST-LPIPS", "ST-LPIPS", metrics.make_metric("stlpips", item_shape) if lpips else None),
        ("encoder", Path(encoder or "").name, open_encoder(encoder, 16) if encoder else None),
    ):
        for up_to in VERSIONS[kind] if metric is not None else ():
            yield f"{name} {up_to}".strip(), metric, metrics.parse_orbit(up_to) if up_to else None
