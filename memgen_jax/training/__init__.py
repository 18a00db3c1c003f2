"""One optimiser step: settings, optimizer."""

from memgen_jax.training.optimizer import make_optimizer
from memgen_jax.training.settings import TrainSettings

__all__ = [
    "TrainSettings",
    "make_optimizer",
]
