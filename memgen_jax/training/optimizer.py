"""Adam with a schedule and clipped gradients."""

import optax

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.training.settings import TrainSettings


@takes_arrays
def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with warm-up and gradient clipping (Ho et al. 2020, App. B).

    A run shorter than its warm-up ends before the schedule's second part.
    """
    rate, warmup = settings.learning_rate, settings.warmup_steps
    schedule = optax.constant_schedule(rate)
    if settings.schedule == "cosine":
        schedule = optax.cosine_decay_schedule(rate, max(settings.num_steps - warmup, 1))
    if warmup:
        schedule = optax.join_schedules([optax.linear_schedule(0.0, rate, warmup), schedule], [warmup])
    clip = optax.clip_by_global_norm(settings.grad_clip) if settings.grad_clip else optax.identity()
    return optax.chain(clip, optax.adam(schedule))
