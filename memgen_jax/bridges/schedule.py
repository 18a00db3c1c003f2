"""A diffusers scheduler as a `Process`, a kind of prediction and a grid of times.

Time: our t = 0 is clean data and t = 1..T are the noised ones; their timestep s = 0..T-1 is our t = s + 1.
"""

import dataclasses
import functools
import math
import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.diffusion import DDPM, Step, make_step
from memgen_jax.errors import InputError, whole_number

# These differ in how they walk back; all noise forward by the same alpha_bar, which is what we take.
SCHEDULERS = (
    "DDPMScheduler",
    "DDIMScheduler",
    "PNDMScheduler",
    "LMSDiscreteScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
)
# The default of `clip_sample`, where a scheduler has that setting; the others never clip.
CLIP_SAMPLE = {"DDPMScheduler": True, "DDIMScheduler": True, "HeunDiscreteScheduler": False}
PREDICTIONS = {"epsilon": "noise", "v_prediction": "velocity", "sample": "denoised"}
BETA_SCHEDULES = ("linear", "scaled_linear", "squaredcos_cap_v2")


@takes_arrays
@dataclasses.dataclass(frozen=True)
class ScheduledDDPM(DDPM):
    """DDPM with any betas, beta_1..beta_T."""

    betas: tuple[float, ...] = dataclasses.field(default=(), repr=False)

    def __post_init__(self):
        super().__post_init__()
        if len(self.betas) != self.num_steps or not all(0 < beta < 1 for beta in self.betas):
            raise InputError(
                f"the schedule has {len(self.betas)} betas for {self.num_steps} steps; "
                "it needs one in (0, 1) for each."
            )

    @functools.cached_property
    def log_alpha_bar(self) -> np.ndarray:
        """log alpha_bar at t = 0..T, float64 [T + 1]."""
        return np.concatenate([[0.0], np.cumsum(np.log1p(-np.asarray(self.betas)))])


def _flag(config: Mapping[str, Any], name: str, default: bool) -> bool:
    """A setting that is true or false; null is false, as diffusers takes it."""
    value = config.get(name, default)
    if not (value is None or isinstance(value, bool | np.bool_)):
        raise InputError(
            f"the scheduler's {name}={value!r} is neither true nor false: mend scheduler_config.json."
        )
    return bool(value)


def _number(config: Mapping[str, Any], name: str, default: float) -> float:
    value = config.get(name, default)
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InputError(f"the scheduler's {name}={value!r} is no number: mend scheduler_config.json.")
    return float(value)


def _whole(config: Mapping[str, Any], name: str, default: int, least: int) -> int:
    value = _number(config, name, default)
    if value != int(value) or value < least:
        raise InputError(
            f"the scheduler's {name}={config[name]!r} is no whole number from {least} on: mend "
            "scheduler_config.json."
        )
    return int(value)


@takes_arrays
def process_of(name: str, config: Mapping[str, Any]) -> ScheduledDDPM:
    """The noising process that a scheduler's settings describe.

    Raises:
      InputError: a setting that is none; a scheduler, or a schedule of betas, that is not variance-preserving with
        0 < beta < 1; or dynamic thresholding (Saharia et al. 2022), which our samplers lack.
    """
    if name not in SCHEDULERS:
        raise InputError(f"scheduler {name!r} is not supported; supported are {', '.join(SCHEDULERS)}.")
    if _flag(config, "rescale_betas_zero_snr", False):
        raise InputError(
            "the scheduler sets rescale_betas_zero_snr: pure noise at the last step holds nothing of the "
            "sample, so a noise prediction cannot be read as one; supported are schedules without it."
        )
    if _flag(config, "thresholding", False):
        raise InputError(
            "the scheduler sets thresholding: our samplers clip the prediction at fixed bounds or not at all, "
            "and would draw other pictures; supported are schedulers without it."
        )
    num_steps = _whole(config, "num_train_timesteps", 1000, 1)
    betas = _betas(config, num_steps)
    return ScheduledDDPM(
        num_steps=num_steps,
        beta_first=float(betas[0]),
        beta_last=float(betas[-1]),
        betas=tuple(map(float, betas)),
    )


def _betas(config: Mapping[str, Any], num_steps: int) -> np.ndarray:
    if config.get("trained_betas") is not None:
        given = config["trained_betas"]
        if not isinstance(given, list | tuple | np.ndarray) or len(given) != num_steps:
            raise InputError(
                f"the scheduler's trained_betas are no list of num_train_timesteps={num_steps} numbers: mend "
                "scheduler_config.json."
            )
        return np.array([_number({"trained_betas": beta}, "trained_betas", 0.0) for beta in given])
    first, last = _number(config, "beta_start", 1e-4), _number(config, "beta_end", 2e-2)
    for name, value in (("beta_start", first), ("beta_end", last)):
        if not 0 < value < 1:
            raise InputError(
                f"the scheduler's {name}={value:g} is outside (0, 1): mend scheduler_config.json."
            )
    kind = config.get("beta_schedule", "linear")
    if kind == "linear":
        return np.linspace(first, last, num_steps)
    if kind == "scaled_linear":  # Rombach et al. 2022
        return np.linspace(first**0.5, last**0.5, num_steps) ** 2
    if kind == "squaredcos_cap_v2":  # Nichol & Dhariwal 2021, Eq. 17
        alpha_bar = np.cos((np.arange(num_steps + 1) / num_steps + 0.008) / 1.008 * np.pi / 2) ** 2
        return np.minimum(1 - alpha_bar[1:] / alpha_bar[:-1], 0.999)
    raise InputError(f"beta_schedule {kind!r} is not supported; supported are {', '.join(BETA_SCHEDULES)}.")


@takes_arrays
def prediction_of(config: Mapping[str, Any]) -> str:
    """What the network predicts, as `Process.denoised_from_output` names it."""
    kind = config.get("prediction_type", "epsilon")
    if not isinstance(kind, str) or kind not in PREDICTIONS:
        raise InputError(
            f"prediction_type {kind!r} is not supported; supported are {', '.join(PREDICTIONS)}."
        )
    return PREDICTIONS[kind]


@takes_arrays
def sampling_times(config: Mapping[str, Any], num_steps: int) -> np.ndarray:
    """The scheduler's own grid of times, descending, in our t, float32 [num_steps + 1].

    It ends at clean data, t = 0, or with `set_alpha_to_one=False` (Stable Diffusion) at t = 1. Equal to the
    scheduler's wherever num_steps divides T; elsewhere its DDIM steps aim between its own times.

    Raises:
      InputError: num_steps is no whole number in 1..T, or a setting of the scheduler is none.
    """
    total = _whole(config, "num_train_timesteps", 1000, 1)
    num_steps = whole_number("num_steps", num_steps, 1, total)
    spacing = config.get("timestep_spacing", "leading")
    steps: np.ndarray
    if spacing == "leading":
        steps = np.arange(num_steps) * (total // num_steps) + _whole(config, "steps_offset", 0, 0)
    elif spacing == "linspace":
        steps = np.linspace(0, total - 1, num_steps).round()
    elif spacing == "trailing":
        steps = np.arange(total, 0, -total / num_steps).round()[::-1] - 1
    else:
        raise InputError(
            f"timestep_spacing {spacing!r} is not supported; supported are leading, linspace and trailing."
        )
    last = 0.0 if _flag(config, "set_alpha_to_one", True) else 1.0
    # A grid that already touches its end (linspace with the last alpha kept) must not fall below it.
    return np.maximum(np.append(steps[::-1] + 1, last), last).astype(np.float32)


@takes_arrays
def clip_limit(name: str, config: Mapping[str, Any]) -> float | None:
    """Where a scheduler clips the predicted item, at plus and minus this; None where it does not clip.

    Raises:
      InputError: it clips, and at no positive number; or it does not say whether.
    """
    if name not in CLIP_SAMPLE or not _flag(config, "clip_sample", CLIP_SAMPLE[name]):
        return None
    limit = _number(config, "clip_sample_range", 1.0)
    if not limit > 0:
        raise InputError(
            f"the scheduler's clip_sample_range={limit:g} is not positive: mend scheduler_config.json."
        )
    return limit


@takes_arrays
def own_step(name: str, config: Mapping[str, Any]) -> Step:
    """Our step for a scheduler: ancestral for DDPM's, with its variance; DDIM (eta = 0) for the others.

    It takes a denoiser that is `clipped` where the scheduler clips: see `Pipeline.in_range`. DDIM's scheduler then
    keeps the noise of the answer that was not clipped.
    """
    if name != "DDPMScheduler":
        return make_step("ddim", clipped_noise=name != "DDIMScheduler")
    kind = config.get("variance_type", "fixed_small")
    variances = {"fixed_small": "posterior", "fixed_large": "transition"}
    if not isinstance(kind, str) or kind not in variances:
        raise InputError(f"variance_type {kind!r} is not supported; supported are {', '.join(variances)}.")
    return make_step("ancestral", variance=variances[kind])
