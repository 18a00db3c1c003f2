"""How samples are labelled, and the control that must come out as memorizing."""

import dataclasses

from memgen_jax import metrics
from memgen_jax.errors import InputError, require_at_least


@dataclasses.dataclass(frozen=True)
class PhaseSettings:
    """The distance, and where the thresholds on it come from; see `phases.thresholds`.

    Attributes:
      rule: "given", "paper", "valley" or "held_out".
      metric: "l2", or "lpips" for images of at least 28 pixels a side, those below 32 brought to 32 as in the paper's
        code, or "lpips_bilinear"; "stlpips"; or FILE.py:FUNCTION, see `metrics.make_metric`.
      metric_code: what that file does, recorded by the run; not to be given.
      table: whose thresholds "paper" takes: cifar10, lsun_church, fashion_mnist or mnist.
    """

    rule: str = "held_out"
    metric: str = "l2"
    table: str = ""
    delta_m: float = 0.0
    delta_s: float = 0.0
    false_positive_rate: float = 0.01
    num_bootstrap: int = 1000
    metric_code: str = ""

    def __post_init__(self):
        require_at_least("phases", self, num_bootstrap=1)
        code = metrics.metric_code(self.metric, "phases.metric")
        if self.metric_code not in ("", code):
            raise InputError(
                f"phases.metric={self.metric}: the file has changed since this run was made; bring it back as it was, "
                "or run in a new workdir."
            )
        object.__setattr__(self, "metric_code", code)


@dataclasses.dataclass(frozen=True)
class ControlSettings:
    """The exact score run through the same pipeline: it must come out as memorizing at every K."""

    run: bool = True
    num_samples: int = 256

    def __post_init__(self):
        require_at_least("control", self, num_samples=2)
