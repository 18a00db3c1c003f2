"""How the members of a sweep are trained."""

import dataclasses

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError, require_at_least
from memgen_jax.training import TrainSettings


@takes_arrays
@dataclasses.dataclass(frozen=True)
class SweepTrainSettings(TrainSettings):
    """How every member of a sweep is trained, and how its training lies on the devices.

    Attributes:
      data_parallel: devices that share one member's batch.
      members_per_step: members that one device advances together (vmap). 1 is fastest on CPU. Changes the
        compiled arithmetic, hence rounding and single labels, but no fraction beyond its interval.
      members_in_sequence: whether these take their steps one after another within one program, each with the
        convolutions of a member alone, instead of together (vmap: grouped convolutions).
      log_every: steps between lines of metrics.jsonl.
      num_snapshots: steps whose averaged parameters are kept for the axis of training time: the last, half of
        it, a quarter, …; 0 for none. They fall on whole calls and change no bit of the training.
    """

    data_parallel: int = 1
    members_per_step: int = 1
    members_in_sequence: bool = False
    log_every: int = 1000
    num_snapshots: int = 0

    def __post_init__(self):
        super().__post_init__()
        require_at_least("train", self, data_parallel=1, members_per_step=1, log_every=1, num_snapshots=0)
        if self.batch_size % self.data_parallel:
            raise InputError.setting(
                "train.batch_size",
                self.batch_size,
                f"divisible by train.data_parallel={self.data_parallel}",
            )
