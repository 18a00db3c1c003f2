"""Where the samples come from whose geometry is measured: a transition run, or a PyTorch pipeline.

Both become a `Source`: groups of labelled samples, and a denoiser for each. What measures them does not
know the difference.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from memgen_jax import bridges, data, diffusion, metrics, neighbors, phases, runs, sweep
from memgen_jax.errors import InputError
from memgen_jax.programs.finished_run import open_run
from memgen_jax.programs.geometry.settings import GeometrySettings


@dataclasses.dataclass(frozen=True)
class Group:
    """Samples of one model.

    Attributes:
      name: stem of the group's file.
      num_train: K of the model; None for a pipeline, whose training set is not known.
      key_parts: integers that name the group's random numbers.
      params_of: loads what the denoiser needs; called when the group is due.
      items: the samples in the process's space, float32 [sample, *item].
      labels: `phases.MEMORIZED`, ... per sample.
      samples: index of each in the model's synthetic set.
      units: samples with one number are one observation: copies of one training item, or repeats of each other.
      references: other samples of the same model, for the energy gaps.
      conditions: what else the denoiser of a sample needs, [sample, ...]; None for nothing.
    """

    name: str
    num_train: int | None
    key_parts: tuple[int, ...]
    params_of: Callable[[], Any]
    items: np.ndarray
    labels: np.ndarray
    samples: np.ndarray
    units: np.ndarray
    references: np.ndarray
    conditions: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Source:
    """Groups of samples and how their model is seen.

    Attributes:
      title: what the page calls it.
      labelled_by: where the labels come from, to follow "labelled by".
      metric: in which a noised copy has come back.
      denoiser_of: (params, condition) -> E[x_0 | x_t].
      in_range: the denoiser as the returns of the basins use it, clipped where the data have a range.
      picture_of: (params, item) -> [height, width, channel] in [-1, 1], None for points; both are traced.
      units_are_prompts: whether samples are one observation because their prompt is one.
    """

    title: str
    labelled_by: str
    process: diffusion.Process
    groups: tuple[Group, ...]
    metric: metrics.Metric
    denoiser_of: Callable[[Any, Any], diffusion.Denoiser]
    in_range: Callable[[diffusion.Denoiser], diffusion.Denoiser]
    picture_of: Callable[[Any, Any], Any] | None
    units_are_prompts: bool = False


def certainty(
    labels: np.ndarray,
    train_distance: np.ndarray,
    synthetic_distance: np.ndarray,
    delta_m: float,
    delta_s: float,
) -> np.ndarray:
    """How well the distances agree with each sample's label: the smallest log ratio to a threshold that counts.

    Positive for every label that `phases.classify` gives, negative where a label from elsewhere contradicts it.
    """
    tiny = np.finfo(np.float32).tiny
    copied = np.log(delta_m + tiny) - np.log(train_distance + tiny)
    repeated = np.log(delta_s + tiny) - np.log(synthetic_distance + tiny)
    by_label = [copied, np.minimum(-copied, repeated), np.minimum(-copied, -repeated)]
    return np.choose(labels, by_label)


def most_certain(labels: np.ndarray, score: np.ndarray, wanted: Sequence[int], count: int) -> np.ndarray:
    """Indices of up to `count` samples per wanted label, most certain first, label by label."""
    return _first_of_each(labels, np.argsort(-score, kind="stable"), wanted, count)


def at_random(labels: np.ndarray, name: tuple[int, ...], wanted: Sequence[int], count: int) -> np.ndarray:
    """Indices of up to `count` samples per wanted label, drawn without replacement, label by label.

    Args:
      name: integers that name the draw.
    """
    order = np.random.default_rng((*name, 11)).permutation(len(labels))
    return _first_of_each(labels, order, wanted, count)


def _first_of_each(labels: np.ndarray, order: np.ndarray, wanted: Sequence[int], count: int) -> np.ndarray:
    return np.concatenate([order[labels[order] == label][:count] for label in wanted]).astype(np.int64)


def units_of(
    labels: np.ndarray, train_index: np.ndarray, synthetic_index: np.ndarray, repeats: np.ndarray
) -> np.ndarray:
    """A number per sample, the same for samples that are one observation, int64 [sample].

    Memorized samples are told apart by the training item that they copy; the others by their cluster: samples that
    a chain of nearest neighbours joins, each of which repeats the next. A sample that repeats nothing is alone.

    Args:
      labels: of every sample of one model.
      train_index, synthetic_index: the nearest training item, and the nearest other sample.
      repeats: whether that other sample is near enough to count, bool.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(labels)
    copies = labels == phases.MEMORIZED
    # A link to a memorized sample would join everything around one training item.
    linked = np.flatnonzero(repeats & ~copies & ~copies[synthetic_index])
    links = coo_array((np.ones(len(linked)), (linked, synthetic_index[linked])), shape=(count, count))
    _, cluster = connected_components(links, directed=False)
    return np.where(copies, -1 - train_index.astype(np.int64), cluster.astype(np.int64))


def wanted_labels(asked: Sequence[str], found: np.ndarray, where: str) -> list[int]:
    """The labels to measure: those asked for, each of which must occur; all that occur if none is asked for.

    Raises:
      InputError: a phase is unknown, or no sample has it (says how many of each there are).
    """
    counts = np.bincount(found, minlength=len(phases.NAMES))
    for name in asked:
        if name not in phases.NAMES:
            raise InputError(f"select.phases names {name!r}, which is not one of {', '.join(phases.NAMES)}.")
        if not counts[phases.NAMES.index(name)]:
            have = ", ".join(f"{n} {phase}" for n, phase in zip(counts, phases.NAMES, strict=True))
            raise InputError(
                f"{where} has no {name} sample (it has {have}): "
                "leave it out of select.phases or take another run."
            )
    return [label for label, name in enumerate(phases.NAMES) if (name in asked if asked else counts[label])]


def ready_metric(field: str, name: str, shape: tuple[int, ...]) -> metrics.Metric:
    """The metric of a setting; refuses, before anything is drawn or measured, one that cannot be taken."""
    metric = metrics.make_metric(name, shape, field=field)
    metric.require_ready()
    return metric


def from_run(settings: GeometrySettings) -> Source:
    """A finished transition run: its models, and samples by the labels it gave them.

    Raises:
      InputError: no finished run is there, or it lacks what `select` asks for.
    """
    select = settings.select
    if not settings.run:
        raise InputError("no run given: name a finished transition run with --config.run=DIR.")
    finished = open_run(settings.run)
    run, folder, sizes = finished.run, finished.folder, finished.sizes
    unknown = sorted(set(select.num_train) - set(sizes))
    if unknown:
        raise InputError(
            f"select.num_train={unknown[0]} is not a size of {folder}; it has {', '.join(map(str, sizes))}."
        )
    width = select.width or finished.shown_width
    if width not in run.widths:
        raise InputError(f"select.width={width} is not a width of {folder}; it has {run.widths}.")
    source = finished.source(width)
    members = [
        m
        for m in run.members
        if (not select.num_train or m.num_train in select.num_train) and m.width == width
    ]
    distances = {m: finished.distances(m) for m in members}
    labels = {m: phases.classify(*distances[m], *finished.deltas[m.num_train]) for m in members}
    wanted = wanted_labels(select.phases, np.concatenate(list(labels.values())), str(folder))
    metric = ready_metric("basins.metric", settings.basins.metric, run.dataset.item_shape)

    groups = []
    for member in members:
        items, deltas = finished.samples(member), finished.deltas[member.num_train]
        parts = (member.num_train, member.seed)
        if select.order == "random":
            chosen = at_random(labels[member], (settings.seed, *parts), wanted, select.per_phase)
        else:
            score = certainty(labels[member], *distances[member], *deltas)
            chosen = most_certain(labels[member], score, wanted, select.per_phase)
        units = units_of(labels[member], *finished.nearest(member), distances[member][1] <= deltas[1])
        groups.append(
            Group(
                member.name,
                member.num_train,
                parts,
                functools.partial(params_and_shared, source, member),
                items[chosen],
                labels[member][chosen],
                chosen,
                units[chosen],
                _draw(items, settings.energy_gap.references, parts),
            )
        )
    return Source(
        f"{run.settings.data.name}, models of {folder.name}",
        "the run: " + _thresholds(run.metric.phrase, *(finished.deltas[m.num_train] for m in members)),
        run.process,
        tuple(groups),
        metric,
        lambda params, condition: source.denoiser_of(*params),
        diffusion.clipped if run.dataset.is_image else lambda denoiser: denoiser,
        (lambda params, item: item) if run.dataset.is_image else None,
    )


def params_and_shared(source: sweep.Source, member: sweep.Member) -> tuple[Any, Any]:
    """All that a member's denoiser needs, as arguments of a program: what it closed over would be written into it."""
    return source.params_of(member), source.shared


def from_pipeline(settings: GeometrySettings, workdir: runs.Workdir) -> Source:
    """A diffusers folder: many samples per prompt, labelled by the prompts' file or by what they repeat.

    Raises:
      InputError: the folder, the prompts or the training pictures cannot be used.
    """
    sampling, select = settings.sampling, settings.select
    if not settings.pipeline:
        raise InputError("no pipeline given: name a diffusers folder with --config.pipeline=PATH.")
    pipeline = bridges.load(settings.pipeline)
    prompts, given = bridges.read_prompts(settings.prompts) if settings.prompts else ([], [])
    pipeline.check_prompts(prompts, "--config.prompts")
    item = jax.ShapeDtypeStruct(pipeline.item_shape, jnp.float32)
    picture_shape = jax.eval_shape(pipeline.decode, pipeline.params, item).shape
    metric = ready_metric("basins.metric", settings.basins.metric, picture_shape)
    labelling = ready_metric("sampling.metric", sampling.metric, picture_shape)
    prompt = np.repeat(np.arange(max(len(prompts), 1)), sampling.samples_per_prompt)
    if len(prompt) < 2:
        raise InputError(
            f"sampling.samples_per_prompt={sampling.samples_per_prompt} gives a single sample in all: "
            "repeats need at least two."
        )
    contexts = pipeline.contexts(prompts)[prompt] if prompts else None

    drawn = workdir.read_npz("samples/pipeline.npz", "images", "items", "prompt")
    if drawn is None:
        items = bridges.sample_latents(
            pipeline,
            len(prompt),
            contexts=contexts,
            guidance_scale=sampling.guidance_scale,
            num_steps=sampling.num_steps,
            seed=sampling.seed,
            batch_size=sampling.batch_size,
        )
        images = bridges.to_pictures(pipeline, items, batch_size=sampling.batch_size)
        drawn = {"images": images, "items": items, "prompt": prompt}
        workdir.write_npz("samples/pipeline.npz", **drawn)

    distances, nearest = pipeline_neighbors(drawn["images"], settings.train, labelling)
    deltas = (sampling.delta_m, sampling.delta_s)
    if given and given[0] is not None:
        labels = np.array([phases.NAMES.index(label) for label in given], np.int32)[prompt]
        units = prompt  # what was labelled is the prompt, however many samples it has
        labelled_by = "the file of prompts"
    else:
        labels = phases.classify(*distances, *deltas)
        train = epath.Path(settings.train).name
        units = units_of(labels, *nearest, distances[1] <= sampling.delta_s)
        known = train or "none given, so that nothing counts as memorized"
        labelled_by = f"what they repeat: {_thresholds(labelling.phrase, deltas)}; training pictures: {known}"
    wanted = wanted_labels(select.phases, labels, str(settings.pipeline))
    if select.order == "random":
        chosen = at_random(labels, (settings.seed, sampling.seed), wanted, select.per_phase)
    else:
        chosen = most_certain(labels, certainty(labels, *distances, *deltas), wanted, select.per_phase)
    group = Group(
        "pipeline",
        None,
        (sampling.seed,),
        lambda: pipeline.params,
        drawn["items"][chosen],
        labels[chosen],
        chosen,
        units[chosen],
        _draw(drawn["items"], settings.energy_gap.references, (sampling.seed,)),
        None if contexts is None else contexts[chosen],
    )
    return Source(
        f"{pipeline.folder.kind} of {epath.Path(settings.pipeline).name}",
        labelled_by,
        pipeline.process,
        (group,),
        metric,
        lambda params, context: pipeline.denoiser(params, context, sampling.guidance_scale),
        pipeline.in_range,
        pipeline.decode,
        units_are_prompts=units is prompt,
    )


def pipeline_neighbors(
    images: np.ndarray, train: str, metric: metrics.Metric
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Every picture's distances to the nearest training picture and to the nearest other sample, and which they are.

    Args:
      images: uint8 [sample, height, width, channel].
      train: the training set, as `data.load` reads it; without one ("") the first distance is infinite.
      metric: in whose scale the distances are.
    """
    prepared = metric.vectors(images)
    among = _first(metric.search(prepared, prepared, exclude_self=True))
    if not train:
        return (np.full(len(images), np.inf, np.float32), among[0]), (np.zeros(len(images), int), among[1])
    height, width = images.shape[1:3]
    known = data.load(train, size=height).train
    if known.shape[1:] != images.shape[1:]:
        raise InputError(
            f"the training pictures in {train} have shape {known.shape[1:]}, "
            f"the pipeline's {images.shape[1:]}: bring them to {height}×{width}."
        )
    copied = _first(metric.search(prepared, metric.vectors(known)))
    return (copied[0], among[0]), (copied[1], among[1])


def _first(found: neighbors.Neighbors) -> tuple[np.ndarray, np.ndarray]:
    """Distance and index of the nearest."""
    return np.asarray(found.distance[:, 0]), np.asarray(found.index[:, 0])


def _thresholds(metric: str, *deltas: tuple[float, float]) -> str:
    """The metric, and each threshold or the smallest and the largest of several."""
    told = [
        " to ".join(dict.fromkeys(f"{end:.3g}" for end in (min(own), max(own))))
        for own in zip(*deltas, strict=True)
    ]
    return f"{metric}, δₘ = {told[0]}, δₛ = {told[1]}"


def _draw(items: np.ndarray, count: int, parts: tuple[int, ...]) -> np.ndarray:
    """`count` items by a draw that the group's name decides; all of them if there are fewer."""
    order = np.random.default_rng((*parts, 7)).permutation(len(items))
    return items[order[: min(count, len(items))]]


def as_conditions(group: Group, rows: np.ndarray) -> Any:
    """The conditions of some samples as device arrays; None where there are none."""
    return None if group.conditions is None else jnp.asarray(group.conditions[rows])
