"""Samples from a pipeline, with our samplers on its own grid of times."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Float, UInt8
from tqdm import tqdm

from memgen_jax import data
from memgen_jax.annotations import NotNegative, Positive, Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.bridges.diffusers import Pipeline
from memgen_jax.bridges.schedule import own_step, sampling_times
from memgen_jax.diffusion import draw_prior
from memgen_jax.errors import InputError
from memgen_jax.files import write_whole


@takes_arrays
def generate(
    pipeline: Pipeline,
    num_samples: Positive,
    *,
    prompts: Sequence[str] = (),
    guidance_scale: float = 7.5,
    num_steps: Positive = 50,
    seed: NotNegative = 0,
    batch_size: Positive = 8,
    advanced: Callable[[int], None] = lambda count: None,
) -> UInt8[np.ndarray, "sample height width channel"]:
    """Draws pictures from a pipeline.

    Args:
      pipeline: from `load`.
      num_samples: pictures in all; the prompts take turns.
      prompts: for Stable Diffusion at least one; none for a pipeline without prompts.
      guidance_scale: of classifier-free guidance.
      num_steps: sampler steps.
      seed: sample i is drawn from fold_in(key(seed), i), whatever the batch is.
      batch_size: samples at a time.
      advanced: called with the number of samples just finished.
    """
    pipeline.check_prompts(prompts, "prompts")
    contexts = pipeline.contexts(prompts)[np.arange(num_samples) % len(prompts)] if prompts else None
    latents = sample_latents(
        pipeline,
        num_samples,
        contexts=contexts,
        guidance_scale=guidance_scale,
        num_steps=num_steps,
        seed=seed,
        batch_size=batch_size,
        advanced=advanced,
    )
    return to_pictures(pipeline, latents, batch_size=batch_size)


@takes_arrays
def draw_items(
    pipeline: Pipeline,
    num_samples: Positive,
    out: epath.PathLike,
    *,
    prompts: Sequence[str] = (),
    **settings: Any,
) -> data.Items:
    """Draws pictures with a bar on the terminal, keeps them in `out`/samples.npz, and names each.

    Args: as for `generate`.
    """
    with tqdm(total=num_samples, desc="draw samples", unit="image", disable=None) as bar:
        images = generate(pipeline, num_samples, prompts=prompts, advanced=bar.update, **settings)
    file = io.BytesIO()
    np.savez(file, images=images)
    kept = write_whole(epath.Path(out) / "samples.npz", file.getvalue())
    turns = [f": {prompts[i % len(prompts)]}" if prompts else "" for i in range(num_samples)]
    names = [f"{kept.name}[{i}]{turn}" for i, turn in enumerate(turns)]
    return data.Items(images, names, f"drawn, kept in {kept}")


@takes_arrays
def sample_latents(
    pipeline: Pipeline,
    num_samples: Positive,
    *,
    contexts: Float[np.ndarray, "sample 2 token feature"] | None = None,
    guidance_scale: float = 7.5,
    num_steps: Positive = 50,
    seed: NotNegative = 0,
    batch_size: Positive = 8,
    advanced: Callable[[int], None] = lambda count: None,
) -> Float[np.ndarray, " sample *item"]:
    """Draws samples in the pipeline's own space; see `generate`."""
    step = own_step(pipeline.folder.scheduler_name, pipeline.folder.scheduler)
    times = sampling_times(pipeline.folder.scheduler, num_steps)
    key = jax.random.key(seed)

    @jax.jit
    def start(index: jax.Array) -> jax.Array:
        return jax.vmap(
            lambda i: draw_prior(jax.random.fold_in(key, i), pipeline.item_shape, pipeline.process)
        )(index)

    # One compiled step called from Python: XLA on CPU runs a convolution several times slower in a loop.
    @jax.jit
    def advance(params, context, index, x, number, t, u):
        def one(context, index, x):
            denoiser = pipeline.in_range(pipeline.denoiser(params, context, guidance_scale))
            step_key = jax.random.fold_in(jax.random.fold_in(key, index), number)
            return step(step_key, x, t, u, denoiser, pipeline.process)

        return jax.vmap(one)(context, index, x)

    def draw(rows: np.ndarray) -> np.ndarray:
        context = None if contexts is None else jnp.asarray(contexts[rows])
        x = start(jnp.asarray(rows))
        for number in range(num_steps):
            t, u = jnp.float32(times[number]), jnp.float32(times[number + 1])
            x = advance(pipeline.params, context, jnp.asarray(rows), x, jnp.int32(number), t, u)
        return np.asarray(x)

    return _in_batches(draw, num_samples, batch_size, advanced)


@takes_arrays
def to_pictures(
    pipeline: Pipeline, latents: Some[Float[np.ndarray, " sample *item"]], *, batch_size: Positive = 8
) -> UInt8[np.ndarray, "sample height width channel"]:
    """Decodes samples into pictures."""
    if latents.shape[1:] != pipeline.item_shape:
        raise InputError(f"latents have shape {latents.shape[1:]} each, and {pipeline.item_shape} is wanted")
    decode = jax.jit(jax.vmap(pipeline.decode, in_axes=(None, 0)))

    def pictures(rows: np.ndarray) -> np.ndarray:
        return data.encode(np.asarray(decode(pipeline.params, jnp.asarray(latents[rows]))))

    return _in_batches(pictures, len(latents), batch_size)


def _in_batches(
    function: Callable[[np.ndarray], np.ndarray],
    count: int,
    batch_size: int,
    advanced: Callable[[int], None] = lambda count: None,
) -> np.ndarray:
    """function(rows) for rows 0..count-1, always `batch_size` of them so that it compiles once."""
    results = []
    batch_size = min(batch_size, count)
    for first in range(0, count, batch_size):
        rows = np.minimum(np.arange(first, first + batch_size), count - 1)
        kept = min(batch_size, count - first)
        results.append(function(rows)[:kept])
        advanced(kept)
    return np.concatenate(results)
