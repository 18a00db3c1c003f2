"""Draws every member's synthetic set: the sampling work of all members, dealt out to all devices.

A chunk is a fixed number of samples of one member; chunks of all members form one list, so devices stay busy
although sets run from 8 to 240,000 samples. Sample i of a member depends on (seed, member, i) alone.
"""

import functools
import io
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import encode
from memgen_jax.diffusion import advance, begin, draw_prior, item_of, time_grid
from memgen_jax.errors import InputError
from memgen_jax.files import write_whole
from memgen_jax.runs.progress import SILENT, Progress
from memgen_jax.runs.workdir import Workdir
from memgen_jax.sweep.cost import busy_share
from memgen_jax.sweep.members import Member, Purpose
from memgen_jax.sweep.mesh import MEMBER, stack_over_members
from memgen_jax.sweep.source import Sampler, Source

PyTree = Any


class Chunk(NamedTuple):
    """Samples first, first + 1, … of one member."""

    member: Member
    first: int


@takes_arrays
def synthesize(
    members: Sequence[Member],
    num_samples: Callable[[Member], int],
    source: Source,
    sampler: Sampler,
    *,
    mesh: Mesh,
    workdir: Workdir,
    progress: Progress = SILENT,
    log_seconds: float = 60.0,
) -> None:
    """Writes `samples/<member name>.npz` for every member that has none yet, or one with too few samples.

    The samples that are there stay: those that are drawn follow them.
    The file holds `images`, uint8 [sample, height, width, channel], or `points`, float32 [sample, dim].
    Finished chunks wait in `samples/.chunks` until their member is complete, so a kill costs one chunk.

    Args:
      num_samples: size of a member's synthetic set.
      progress: told how many samples are done; gets a record every `log_seconds` and one at the end: samples
        drawn since the record before, the speed, and the share of the devices' places that held a chunk of
        their own.
    """
    num_steps, chunk_size, steps_per_call = sampler.num_steps, sampler.chunk_size, sampler.steps_per_call
    images = sampler.images
    key = "images" if images else "points"
    parts = workdir / "samples" / ".chunks"
    waiting: list[Chunk] = []
    for member in members:
        count, there = num_samples(member), _there(workdir, member, key)
        progress.resume(count if there >= count else there - there % chunk_size)
        # From the start of the chunk that was not full: a sample has the same bits wherever a set once ended.
        for first in range(there - there % chunk_size, count, chunk_size) if there < count else ():
            part = _read_part(parts / _part(member, first))
            length = min(chunk_size, count - first)
            if part is not None and len(part) == length:  # another chunk_size leaves others
                progress.resume(length)
            else:
                waiting.append(Chunk(member, first))

    places = mesh.size
    flat_mesh = jax.make_mesh(
        (places,), (MEMBER,), axis_types=(jax.sharding.AxisType.Auto,), devices=mesh.devices.ravel().tolist()
    )
    draw = _make_draw(flat_mesh, source, sampler)
    times = time_grid(sampler.process, num_steps, sampler.spacing)
    sharding = NamedSharding(flat_mesh, P(MEMBER))
    shared = jax.device_put(source.shared, NamedSharding(flat_mesh, P())) if waiting else None
    loaded: tuple[list[Member], PyTree] = ([], None)
    last_log = time.monotonic()
    logged = drawn = 0  # chunks in the records so far; samples since the last one

    for start in range(0, len(waiting), places):
        work = waiting[start : start + places]
        placed = [work[i % len(work)] for i in range(places)]  # spare places repeat a chunk
        owners = [chunk.member for chunk in placed]
        if owners != loaded[0]:
            params = {member: source.params_of(member) for member in dict.fromkeys(owners)}
            loaded = (owners, stack_over_members([params[member] for member in owners], sharding))
        keys = jax.device_put(jnp.stack([m.key(Purpose.SAMPLE) for m in owners]), sharding)
        firsts = jax.device_put(jnp.asarray([chunk.first for chunk in placed], jnp.int32), sharding)
        place = draw.start(keys, firsts)
        for now in range(0, num_steps, steps_per_call):
            window = jnp.asarray(times[now : now + steps_per_call + 1])
            place = draw.advance(loaded[1], shared, keys, firsts, place, window, now)
        items = np.asarray(item_of(place))
        for number, chunk in enumerate(work):
            count = min(chunk_size, num_samples(chunk.member) - chunk.first)
            own = items[number, :count]
            _check_finite(own, chunk)
            _write_part(parts / _part(*chunk), encode(own) if images else own)
            drawn += count
            progress.advance(count)
        seconds = time.monotonic() - last_log
        finished = start + len(work)
        if seconds > log_seconds or finished == len(waiting):
            progress.log(
                {
                    "stage": "sample",
                    "samples": drawn,
                    "samples_per_second": round(drawn / seconds, 2),
                    "busy_share": round(busy_share(finished - logged, places), 4),
                }
            )
            last_log, logged, drawn = time.monotonic(), finished, 0

    for member in members:
        there = _there(workdir, member, key)
        if there < num_samples(member):
            start = there - there % chunk_size
            names = [_part(member, first) for first in range(start, num_samples(member), chunk_size)]
            own = np.concatenate([_read_part(parts / name) for name in names])
            if there:
                own = np.concatenate([workdir.read_npz(_file(member), key)[key], own[there - start :]])  # type: ignore[index]
            workdir.write_npz(_file(member), **{key: own})
            for part in parts.glob(f"{member.name},first=*.npy"):
                part.unlink()


class _Draw(NamedTuple):
    start: Callable
    advance: Callable


def _make_draw(mesh: Mesh, source: Source, sampler: Sampler) -> _Draw:
    """The two compiled programs of a round, one chunk a device: draw the prior; take some steps."""
    process, step = sampler.process, sampler.step
    shard_map = functools.partial(jax.shard_map, mesh=mesh, out_specs=P(MEMBER), check_vma=False)

    def sample_keys(keys, firsts):
        return jax.vmap(jax.random.fold_in, (None, 0))(keys[0], firsts[0] + jnp.arange(sampler.chunk_size))

    def start(keys, firsts):
        def one(key):
            return begin(step, draw_prior(key, sampler.item_shape, process))

        return jax.tree.map(lambda leaf: leaf[None], jax.vmap(one)(sample_keys(keys, firsts)))

    def some_steps(params, shared, keys, firsts, place, times, first_step):
        own, place = jax.tree.map(lambda leaf: leaf[0], (params, place))
        denoiser = sampler.denoiser(source.denoiser_of(own, shared))

        def one(key, place):
            return advance(key, place, times, first_step, step, denoiser, process)

        moved = jax.vmap(one)(sample_keys(keys, firsts), place)
        return jax.tree.map(lambda leaf: leaf[None], moved)

    over = P(MEMBER)
    return _Draw(
        jax.jit(shard_map(start, in_specs=(over, over))),
        jax.jit(shard_map(some_steps, in_specs=(over, P(), over, over, over, P(), P())), donate_argnums=4),
    )


def _there(workdir: Workdir, member: Member, key: str) -> int:
    """How many samples of a member are on disk."""
    arrays = workdir.read_npz(_file(member), key)
    return 0 if arrays is None else len(arrays[key])


def _file(member: Member) -> str:
    return f"samples/{member.name}.npz"


def _part(member: Member, first: int) -> str:
    return f"{member.name},first={first:09d}.npy"


def _write_part(path: epath.Path, array: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_whole(path, buffer.getvalue())


def _read_part(path: epath.Path) -> np.ndarray | None:
    """A finished chunk, or None where it is absent or damaged."""
    if not path.exists():
        return None
    try:
        return np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None


def _check_finite(samples: np.ndarray, chunk: Chunk) -> None:
    """Refuses what rounding to uint8 would turn into black images."""
    finite = np.isfinite(samples).reshape(len(samples), -1).all(axis=1)
    if not finite.all():
        raise InputError(
            f"sample {chunk.first + int(np.argmin(finite))} of {chunk.member.name} is not finite: take more "
            "sampler steps or another sampler, or look at the losses in metrics.jsonl, in a new workdir."
        )
