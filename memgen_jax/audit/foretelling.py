"""What an audit is going to take, told before it begins: room on the disk for vectors, and time on this machine."""

import functools
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from memgen_jax import metrics
from memgen_jax.audit import budget
from memgen_jax.audit.comparing import num_draws
from memgen_jax.audit.settings import AuditSettings
from memgen_jax.data import Items
from memgen_jax.errors import FIELD, InputError
from memgen_jax.neighbors import in_parts, rows

WORTH_TELLING = 30.0  # seconds
SIDE, DEPTH = 512, 4096  # of the matrices whose product is timed
PICTURES = (
    8,
    256,
)  # that are embedded on trial: more where a few take no time that could be told from starting
STARTING = 0.1  # seconds
MANY = 2**25  # pixels, from which embedding is timed


class Counts(NamedTuple):
    """Items of each set."""

    train: int
    samples: int
    holdout: int = 0

    @classmethod
    def of(cls, train: Items, samples: Items, holdout: Items | None) -> "Counts":
        return cls(*(0 if items is None else len(items.values) for items in (train, samples, holdout)))

    def pairs(self, settings: AuditSettings) -> int:
        """Distances that the answer needs, over all versions of an item."""
        train, samples, unseen = self
        found = samples * (train + samples)
        if not settings.skip_duplicates_check:
            found += train * train
        if unseen:
            size = min(samples, train + unseen)
            drawn = num_draws(size, train + unseen) * size**2
            found += unseen * train + 2 * samples * min(train, unseen) + drawn
        return found * (1 if settings.orbit is None else len(settings.orbit))


def require_room(
    settings: AuditSettings, metric: metrics.Metric, counts: Counts, item_shape: tuple[int, ...]
) -> int:
    """Bytes that vectors will take in files.

    Raises:
      InputError: the folder for temporary files has less.
    """
    if not metric.embeds:
        return 0
    each = 4 * metric.num_features(item_shape)
    train, samples, unseen = counts
    drawn = max(min(train, unseen), min(samples, train + unseen)) if unseen else 0  # sets made of both
    in_memory = budget.of(settings.memory).embedding // 2
    needed = sum(count * each for count in (train, samples, unseen, drawn) if count * each > in_memory)
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"vectors of {sum(counts):,} items of {'×'.join(map(str, item_shape))} take {needed / 1e9:,.1f} GB in "
            f"files, for {metric.short} makes {each / 1e6:,.1f} MB of each, and {folder} has {free / 1e9:,.1f}: give "
            f"{FIELD[0]} to shrink images, another {FIELD[1]}, or set TMPDIR to a folder with room",
            "size",
            "metric",
        )
    return needed


def foretell(
    settings: AuditSettings,
    metric: metrics.Metric,
    counts: Counts,
    items: np.ndarray,
    say: Callable[[str], object],
    shards: int = 1,
) -> None:
    """Says what time and room the comparison will take, where that is worth a word.

    Args:
      items: of one of the sets, some of which are embedded on trial.
      shards: among which the distances are divided; this is to be one of them.
    Raises:
      InputError: vectors have no room on the disk.
    """
    shape = items.shape[1:]
    room = require_room(settings, metric, counts, shape)
    pairs, numbers = counts.pairs(settings) // shards, metric.num_features(shape)
    seconds = _search_seconds(settings, counts, pairs, numbers) + _embedding_seconds(metric, counts, items)
    if seconds < WORTH_TELLING:
        return
    from memgen_jax.runs import duration  # whose imports take longer than a small audit

    files = f", and {room / 1e9:,.1f} GB in files in {tempfile.gettempdir()}" if room else ""
    say(
        f"This will take about {duration(seconds)} on this machine{files}: {pairs:,} distances between vectors of "
        f"{numbers:,} numbers."
    )


def _search_seconds(settings: AuditSettings, counts: Counts, pairs: int, numbers: int) -> float:
    """Of the products, and of bringing items to the devices: each tile of queries meets all references."""
    if 2 * pairs * numbers < 1e11:  # done before it could be measured
        return 0.0
    devices = jax.local_device_count()
    memory = budget.of(settings.memory).tiles or rows.tile_memory(rows.local_mesh())
    at_once = min(rows.tile_sides(memory, numbers, max(counts))[0] * devices, max(counts))
    if in_parts.are_long(counts.train, numbers, memory):
        at_once = max(at_once, min(in_parts.ROWS, max(counts)))
    moved = 4 * numbers * pairs / at_once
    if rows.place_of_references(counts.train, numbers, memory, devices) != "sent":
        moved = 0
    product, transfer = _speeds()
    return 2 * pairs * numbers / (product * devices) + moved / transfer


def _speeds() -> tuple[float, float]:
    """Of one device: floating-point operations a second of a product, bytes a second that come to it as float32."""
    multiply = jax.jit(lambda x: jnp.matmul(x, x.T, precision=jax.lax.Precision.HIGHEST))
    block = np.ones((SIDE, DEPTH), np.uint8)
    here = jnp.asarray(block.astype(np.float32))
    product = _timed(lambda: multiply(here))
    transfer = _timed(lambda: jax.device_put(block.astype(np.float32)) - 1.0)
    return 2 * SIDE**2 * DEPTH / product, 4 * block.size / transfer


def _embedding_seconds(metric: metrics.Metric, counts: Counts, items: np.ndarray) -> float:
    count = sum(counts)
    if not metric.embeds or count * math.prod(items.shape[1:3]) < MANY:
        return 0.0
    each = 0.0
    for several in PICTURES:
        few = items[:several]
        seconds = _timed(functools.partial(metric.vectors, few))
        each = seconds / len(few)
        if seconds > STARTING:
            break
    return each * count


def _timed(call: Callable[[], object]) -> float:
    """Seconds of the faster of two calls, after one that compiles."""
    found = []
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(call())
        found.append(time.perf_counter() - start)
    return min(found[1:])
