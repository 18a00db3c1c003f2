"""How the synthetic sets of a transition are drawn, and how many samples each has."""

import dataclasses

from memgen_jax.errors import InputError, require_at_least


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """How synthetic sets are drawn.

    Attributes:
      name, num_steps, eta, variance: see `diffusion.make_step`; eta is DDIM's, variance the ancestral one's.
      clipped_noise: whether DDIM's noise is that of the clipped image or (diffusers' default) the network's own.
      spacing: of the times, "uniform", "quadratic" or "karras"; see `diffusion.time_grid`.
      clip: clip the predicted clean image to [-1, 1] (Ho et al. 2020).
      per_train: samples per training item (the paper: 4), but
      at_least, at_most: never fewer or more than these; 0 for no limit.
      snapshot_at_most: the same for the sets of earlier training steps (`train.num_snapshots`).
      chunk_size: samples that a device draws at once; changes rounding, hence single samples, only.
      steps_per_call: sampler steps in one compiled call; 0 chooses as in training.
    """

    name: str = "ancestral"
    num_steps: int = 1000
    eta: float = 0.0
    clipped_noise: bool = True
    variance: str = "posterior"
    spacing: str = "uniform"
    clip: bool = True
    per_train: int = 4
    at_least: int = 0
    at_most: int = 0
    snapshot_at_most: int = 1024
    chunk_size: int = 256
    steps_per_call: int = 0

    def __post_init__(self):
        require_at_least("sampler", self, per_train=1, at_least=0, at_most=0, snapshot_at_most=2)
        require_at_least("sampler", self, chunk_size=1, steps_per_call=0)
        if not 0 <= self.eta <= 1:
            allowed = "in 0..1: 0 is deterministic, 1 ancestral sampling"
            raise InputError.setting("sampler.eta", self.eta, allowed)

    def size(self, num_train: int) -> int:
        """Number of samples of a member: per_train * K within the limits."""
        size = max(self.per_train * num_train, self.at_least)
        return min(size, self.at_most) if self.at_most else size
