"""One optimiser step: its settings, the optimizer, the averaged parameters, the times trained at."""

from memgen_jax.training.ema import update_ema
from memgen_jax.training.optimizer import make_optimizer
from memgen_jax.training.settings import TrainSettings
from memgen_jax.training.times import draw_mixed_time, draw_training_time, weighted

__all__ = [
    "TrainSettings",
    "draw_mixed_time",
    "draw_training_time",
    "make_optimizer",
    "update_ema",
    "weighted",
]
