"""The settings of a geometry run, and what is refused before anything is loaded."""

import dataclasses

import numpy as np

from memgen_jax import bridges, diffusion, geometry, metrics
from memgen_jax.errors import InputError, require_at_least
from memgen_jax.programs.finished_run import require_finished
from memgen_jax.programs.precision import require_precision

ORDERS = ("random", "certain")


@dataclasses.dataclass(frozen=True)
class SelectSettings:
    """Which samples are measured.

    Attributes:
      per_phase: samples per model and phase.
      order: which of them: "random", a draw that the run's seed names, so that what is found holds for the phase;
        or "certain", those farthest from the thresholds first, the clearest examples, whose order is partly the
        choice's own.
      phases: phases that must occur; empty takes those that do.
      num_train: sizes K of a transition run; empty takes all.
      width: width of the networks, where the run has several; 0 takes the one that its page speaks of first.
    """

    per_phase: int = 16
    order: str = "random"
    phases: tuple = ()
    num_train: tuple = ()
    width: int = 0


@dataclasses.dataclass(frozen=True)
class BasinSettings:
    """See `geometry.basin`; `metric` is "l2" or "lpips" (squared), and `delta` is in its scale.

    Attributes:
      levels: number of equal fractions of the process's largest time, or the fractions themselves.
      levels_at_once: levels in memory together; 0 for all.
    """

    metric: str = "l2"
    delta: float = 0.5
    levels: int | tuple = 20
    copies: int = geometry.basins.COPIES
    num_steps: int = geometry.basins.STEPS
    required: float = geometry.basins.REQUIRED
    levels_at_once: int = 0


@dataclasses.dataclass(frozen=True)
class CurvatureSettings:
    """How spectra are taken.

    Attributes:
      times: fractions of the process's largest time; the first is the one that the figures against K use.
      near_zero: singular values below it count as near zero.
      full_up_to: dimension up to which the whole Jacobian is taken; above, the matrix-free estimates.
      memory_megabytes: what the columns of one Jacobian may take at a time.
      columns_at_once: columns of a Jacobian, or of the matrix-free subspace, in memory together; 0 takes as
        many as the memory allows (Jacobian) or all (subspace).
      rank, iterations, probes: of the matrix-free estimates.
      draws: noise draws of the sharpness.
    """

    times: tuple = (0.05, 0.02, 0.1, 0.2)
    near_zero: float = geometry.curvature.NEAR_ZERO
    full_up_to: int = 3072
    memory_megabytes: int = 512
    rank: int = 32
    iterations: int = 8
    probes: int = 32
    columns_at_once: int = 0
    draws: int = 8


@dataclasses.dataclass(frozen=True)
class EnergyGapSettings:
    """The potential between a sample and `references` other samples of its model.

    Attributes:
      time: fraction of the process's largest time.
      references: other samples, over which the gap is averaged.
      points: of the trapezoid rule.
    """

    time: float = 0.1
    references: int = 8
    points: int = 65


@dataclasses.dataclass(frozen=True)
class SamplingSettings:
    """How a pipeline's samples are drawn and labelled (unused with a transition run).

    Attributes:
      samples_per_prompt: seeds per prompt; in all, for a pipeline without prompts.
      metric: how pictures are compared for their labels: "l2" (in [-1, 1], not squared) or "lpips" (squared).
      delta_m, delta_s: thresholds in its scale, see `phases.classify`.
    """

    samples_per_prompt: int = 0
    guidance_scale: float = 7.5
    num_steps: int = 50
    seed: int = 0
    batch_size: int = 8
    metric: str = "l2"
    delta_m: float = 0.0
    delta_s: float = 0.0


@dataclasses.dataclass(frozen=True)
class GeometrySettings:
    """One geometry run; exactly one of `run` and `pipeline` is given.

    Attributes:
      run: folder of a finished transition run.
      pipeline: diffusers folder; `prompts` is a text file (`bridges.read_prompts`), and `train` pictures of
        its training set, where known (`data.load`).
      samples_at_once: samples whose basins and spectra are in memory together.
      resamples: permutations of the rank tests; the smallest p-value is 1 / (resamples + 1), and Holm's correction
        multiplies it by up to a hundred tests.
      matmul_precision: of float32 products and convolutions: "default" is the device's own (TF32 on an A100 or H100,
        bfloat16 passes on a TPU, float32 on a CPU), "high" three passes, "highest" float32 on all.
    """

    select: SelectSettings = dataclasses.field(default_factory=SelectSettings)
    basins: BasinSettings = dataclasses.field(default_factory=BasinSettings)
    curvature: CurvatureSettings = dataclasses.field(default_factory=CurvatureSettings)
    energy_gap: EnergyGapSettings = dataclasses.field(default_factory=EnergyGapSettings)
    sampling: SamplingSettings = dataclasses.field(default_factory=SamplingSettings)
    run: str = ""
    pipeline: str = ""
    prompts: str = ""
    train: str = ""
    seed: int = 0
    samples_at_once: int = 8
    resamples: int = 9999
    matmul_precision: str = "default"

    def __post_init__(self) -> None:
        require_precision(self.matmul_precision)


def check(settings: GeometrySettings) -> None:
    """Refuses settings that cannot work before anything is loaded."""
    sampling = settings.sampling
    if bool(settings.run) == bool(settings.pipeline):
        raise InputError(
            "give either --config.run=DIR, a finished transition run, "
            "or --config.pipeline=PATH, a diffusers folder."
        )
    if settings.run:
        require_finished(settings.run)
    else:
        bridges.read_folder(settings.pipeline)
    for name, metric in (("basins", settings.basins.metric), ("sampling", sampling.metric)):
        if metric not in metrics.METRICS:
            raise InputError.setting(f"{name}.metric", metric, f"one of {', '.join(metrics.METRICS)}")
    if not settings.basins.delta > 0:
        raise InputError(f"basins.delta={settings.basins.delta} must be positive.")
    fractions = (*settings.curvature.times, settings.energy_gap.time)
    if not settings.curvature.times or not all(0 < fraction <= 1 for fraction in fractions):
        raise InputError(
            f"curvature.times={settings.curvature.times} and energy_gap.time={settings.energy_gap.time} are "
            "fractions of the process's largest time: give numbers in (0, 1]."
        )
    require_at_least("", settings, samples_at_once=1, resamples=1)
    require_at_least("select", settings.select, per_phase=1)
    if settings.select.order not in ORDERS:
        raise InputError.setting("select.order", settings.select.order, f"one of {', '.join(ORDERS)}")
    require_at_least("curvature", settings.curvature, draws=1)
    require_at_least("energy_gap", settings.energy_gap, references=1)
    if settings.pipeline:
        require_at_least("sampling", sampling, samples_per_prompt=1, batch_size=1)


def levels_of(settings: BasinSettings, process: diffusion.Process) -> np.ndarray:
    """The times of the scan, ascending."""
    if isinstance(settings.levels, int):
        return geometry.default_levels(process, settings.levels)
    levels = np.asarray(settings.levels, np.float32)
    if not len(levels) or np.any(np.diff(levels) <= 0) or levels[0] <= 0 or levels[-1] > 1:
        raise InputError(f"basins.levels={settings.levels}: give ascending fractions in (0, 1].")
    return levels * np.float32(process.t_max)
