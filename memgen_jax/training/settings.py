"""How a network is trained."""

import dataclasses

from memgen_jax.errors import InputError, require_at_least


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """How every member is trained.

    Attributes:
      num_steps: optimiser steps.
      batch_size: rows of the batch in the compiled step; a member uses its own `batch_size` of them.
      repeat_small: sets smaller than the batch fill it, each item several times with fresh noise, instead of
        the paper's batch of min(batch_size, K).
      prediction: what the network predicts: "noise" (the paper), "velocity", "denoised" or "score".
      times: law of the training times: "uniform" (the papers), or "mixed" with log-uniform ones, for VE and OU;
        see `diffusion.draw_mixed_time`.
      learning_rate, warmup_steps: Adam's rate, reached linearly.
      schedule: after the warm-up "constant" (the paper) or "cosine" (down to zero at `num_steps`).
      grad_clip: largest global norm of the gradient (Ho et al. 2020: 1).
      ema_decay: of the averaged parameters that samples are drawn from (the paper: 0.9999), warmed up as
        min(ema_decay, (1 + step) / (10 + step)) so that short runs are not an average over their start.
      data_parallel: devices that share one member's batch.
      members_per_step: members that one device advances together (vmap). 1 is fastest on CPU. Changes the
        compiled arithmetic, hence rounding and single labels, but no fraction beyond its interval.
      steps_per_call: steps inside one compiled call; 0 chooses 1 for convolutions on CPU (which XLA runs
        several times slower inside a loop) and 100 elsewhere. Changes rounding likewise.
      checkpoint_seconds: time between checkpoints.
      log_every: steps between lines of metrics.jsonl.
      num_snapshots: steps whose averaged parameters are kept for the axis of training time: the last, half of
        it, a quarter, …; 0 for none. They fall on whole calls and change no bit of the training.
    """

    num_steps: int
    batch_size: int
    repeat_small: bool = False
    prediction: str = "noise"
    times: str = "uniform"
    learning_rate: float = 2e-4
    warmup_steps: int = 5000
    schedule: str = "constant"
    grad_clip: float = 1.0
    ema_decay: float = 0.9999
    data_parallel: int = 1
    members_per_step: int = 1
    steps_per_call: int = 0
    checkpoint_seconds: float = 300.0
    log_every: int = 1000
    num_snapshots: int = 0

    def __post_init__(self):
        require_at_least("train", self, num_steps=1, batch_size=1, data_parallel=1, members_per_step=1)
        require_at_least("train", self, warmup_steps=0, steps_per_call=0, num_snapshots=0)
        require_at_least("train", self, checkpoint_seconds=0, log_every=1)
        for name in ("learning_rate", "grad_clip"):
            if not getattr(self, name) > 0:
                raise InputError.setting(f"train.{name}", getattr(self, name), "positive")
        if not 0 <= self.ema_decay < 1:
            raise InputError.setting("train.ema_decay", self.ema_decay, "in [0, 1)")
        if self.schedule not in ("constant", "cosine"):
            raise InputError.setting("train.schedule", self.schedule, "'constant' or 'cosine'")
        if self.times not in ("uniform", "mixed"):
            raise InputError.setting("train.times", self.times, "'uniform' or 'mixed'")
        if self.batch_size % self.data_parallel:
            allowed = f"divisible by train.data_parallel={self.data_parallel}"
            raise InputError.setting("train.batch_size", self.batch_size, allowed)
