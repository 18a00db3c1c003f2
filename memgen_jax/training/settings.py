"""How a network is trained, whatever trains it."""

import dataclasses
from typing import Literal, get_args

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import PREDICTIONS
from memgen_jax.errors import InputError, require_at_least

Schedule = Literal["constant", "cosine"]
Times = Literal["uniform", "mixed"]
Weight = Literal["unit", "inverse_time"]


@takes_arrays
@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How one network is trained.

    Attributes:
      num_steps: optimiser steps.
      batch_size: rows of the batch in the compiled step; a network may use fewer of them.
      repeat_small: sets smaller than the batch fill it, each item several times with fresh noise, instead of
        the paper's batch of min(batch_size, K).
      prediction: what the network predicts: "noise" (the paper), "velocity", "denoised" or "score".
      times: law of the training times: "uniform" (the papers), or "mixed" with log-uniform ones, for VE and OU;
        see `draw_mixed_time`.
      weight: of the loss at time t, "unit" (the papers) or "inverse_time", 1 / (t + 0.01).
      learning_rate, warmup_steps: Adam's rate, reached linearly.
      schedule: after the warm-up "constant" (the paper) or "cosine" (down to zero at `num_steps`).
      grad_clip: largest global norm of the gradient (Ho et al. 2020: 1); 0 for none.
      ema_decay: of the averaged parameters that samples are drawn from (the paper: 0.9999). Keep 1 / (1 - ema_decay)
        below a tenth of the run: a longer average still holds the initial weights.
      ema_warmup: whether the decay begins as min(ema_decay, (1 + step) / (10 + step)); not in the paper's code.
      steps_per_call: steps inside one compiled call; 0 chooses 1 for convolutions on CPU (which XLA runs
        several times slower inside a loop) and 100 elsewhere. Changes rounding, hence single labels, only.
      checkpoint_seconds: time between checkpoints.
    """

    num_steps: int
    batch_size: int
    repeat_small: bool = False
    prediction: str = "noise"
    times: str = "uniform"
    weight: str = "unit"
    learning_rate: float = 2e-4
    warmup_steps: int = 5000
    schedule: str = "constant"
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    ema_warmup: bool = True
    steps_per_call: int = 0
    checkpoint_seconds: float = 300.0

    def __post_init__(self):
        require_at_least("train", self, num_steps=1, batch_size=1, warmup_steps=0, steps_per_call=0)
        require_at_least("train", self, grad_clip=0, checkpoint_seconds=0)
        if not self.learning_rate > 0:
            raise InputError.setting("train.learning_rate", self.learning_rate, "positive")
        if not 0 <= self.ema_decay < 1:
            raise InputError.setting("train.ema_decay", self.ema_decay, "in [0, 1)")
        choices = {
            "prediction": PREDICTIONS,
            "schedule": get_args(Schedule),
            "times": get_args(Times),
            "weight": get_args(Weight),
        }
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise InputError.setting(f"train.{name}", getattr(self, name), f"one of {', '.join(allowed)}")
