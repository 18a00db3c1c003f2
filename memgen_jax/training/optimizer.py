"""Adam with a schedule and clipped gradients."""

import optax

from memgen_jax.training.settings import TrainSettings


def make_optimizer(settings: TrainSettings) -> optax.GradientTransformation:
    """Adam with warm-up and gradient clipping (Ho et al. 2020, App. B)."""
    rate, warmup = settings.learning_rate, settings.warmup_steps
    if settings.schedule == "cosine":
        # A run shorter than its warm-up ends before the decay, which needs at least one step.
        end = max(settings.num_steps, warmup + 1)
        schedule = optax.warmup_cosine_decay_schedule(0.0, rate, warmup, end)
    else:
        schedule = optax.warmup_constant_schedule(0.0, rate, warmup)
    return optax.chain(optax.clip_by_global_norm(settings.grad_clip), optax.adam(schedule))
