"""The settings of the circle's program, checked, and what they resolve to."""

import dataclasses
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from memgen_jax import data, diffusion
from memgen_jax.errors import InputError, require_at_least
from memgen_jax.programs.choices import MLPSettings
from memgen_jax.programs.precision import require_precision
from memgen_jax.programs.settings import settings_from
from memgen_jax.training import TrainSettings

PRIORS = ("exact", "gaussian")


@dataclasses.dataclass(frozen=True)
class LandscapeSettings:
    """The grid of energies and scores.

    Attributes:
      time: t of the learned and the empirical landscape; beta = 1 / (2 sigma^2 t).
      side, reach: side x side points over [-reach, reach]^2.
      theory_beta: of the closed form's panel (the paper: 20).
      prior: p_1 of the likelihood: "exact", the noised training set; or "gaussian", N(0, sigma^2 I), which
        shifts energies by up to 0.9.
      tolerance: of the adaptive solver, relative and absolute.
    """

    time: float = 0.15
    side: int = 20
    reach: float = 1.8
    theory_beta: float = 20.0
    prior: str = "exact"
    tolerance: float = 1e-5

    def __post_init__(self):
        _require_time("landscape.time", self.time)
        _require_positive("landscape.theory_beta", self.theory_beta)
        if self.side < 2 or not self.reach > 0:
            raise InputError(
                f"landscape.side={self.side}, landscape.reach={self.reach}: "
                "the grid needs a side of at least 2 and a positive reach."
            )
        _require_positive("landscape.tolerance", self.tolerance)
        if self.prior not in PRIORS:
            raise InputError(f"landscape.prior={self.prior!r} is not one of {', '.join(PRIORS)}.")


@dataclasses.dataclass(frozen=True)
class SamplerSettings:
    """Generated points: how many, Euler-Maruyama steps, and the distance at which clusters stay apart."""

    num_samples: int = 1000
    num_steps: int = 500
    cluster_distance: float = 0.3

    def __post_init__(self):
        require_at_least("sampler", self, num_samples=2, num_steps=1)
        _require_positive("sampler.cluster_distance", self.cluster_distance)


@dataclasses.dataclass(frozen=True)
class AttractorSettings:
    """How attractors are found and judged; see `memory.descend` and `memory.kind_of_attractor`.

    Attributes:
      time: at which the attractor of a generated point is sought; beta = 500 for t = 0.001.
      distance: an isolated attractor closer than this to a training point is a recall.
      flat_below: stiffness under which an attractor counts as part of a flat manifold.
      merge_distance: ends of descents closer than this are one minimum.
      times: at which minima are counted and the ring's radius is measured.
      ring_starts, grid_side: descents start from as many points of the unit circle, and from a square grid.
      max_steps: of one descent.
    """

    time: float = 1e-3
    distance: float = 0.05
    flat_below: float = 0.05  # over three seeds 0.09 to 1 at isolated minima, at most 0.02 on the ring
    merge_distance: float = 0.01
    times: tuple = (0.001, 0.005, 0.02, 0.07, 0.15, 0.3, 0.45, 0.7)
    ring_starts: int = 96
    grid_side: int = 5
    max_steps: int = 40

    def __post_init__(self):
        _require_time("attractors.time", self.time)
        _require_some("attractors.times", self.times)
        for t in self.times:
            _require_time("attractors.times", t)
        for name in ("distance", "flat_below", "merge_distance"):
            _require_positive(f"attractors.{name}", getattr(self, name))
        require_at_least("attractors", self, ring_starts=1, grid_side=1, max_steps=1)


@dataclasses.dataclass(frozen=True)
class PhaseDiagramSettings:
    """The toy's phase diagram: memories of K random points, `draws` of each, at every beta."""

    num_patterns: tuple = (2, 3, 4, 6, 9, 13, 18, 25)
    betas: tuple = (0.5, 1.0, 2.0, 10 / 3, 6.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0)
    draws: int = 20

    def __post_init__(self):
        _require_memories("phase_diagram", self)


@dataclasses.dataclass(frozen=True)
class CorrelationSettings:
    """The memory of points that crowd together: does correlation lower the load that it bears?

    Attributes:
      shares: of the circle on which the points lie.
      arcs: in as many arcs at equal distances; one arc correlates the points, several leave E x at the centre.
      num_patterns, betas, draws: as in `phase_diagram`.
    """

    shares: tuple = (1.0, 0.5, 0.25, 0.125)
    arcs: tuple = (1, 3)
    num_patterns: tuple = (2, 3, 4, 6, 9, 13, 18, 25, 35, 50)
    betas: tuple = (20.0, 80.0, 320.0)
    draws: int = 20

    def __post_init__(self):
        _require_memories("correlation", self)
        _require_some("correlation.shares", self.shares)
        _require_some("correlation.arcs", self.arcs)
        for share in self.shares:
            if not 0 < share <= 1:
                raise InputError(f"correlation.shares holds {share}: every share must lie in (0, 1].")
        for count in self.arcs:
            if count < 1:
                raise InputError(f"correlation.arcs holds {count}: at least 1 arc.")


@dataclasses.dataclass(frozen=True)
class CircleSettings:
    """One run.

    Attributes:
      num_train: the sizes K; each set is a prefix of the next.
      total: points in the data set.
      seed: of the networks, the batches and the generated points (the data have their own).
      model: arguments of `models.mlp`.
      sigma: of the VE process.
      delta: delta_m = delta_s of the labels by distance.
      matmul_precision: of float32 products and convolutions: "default" is the device's own (TF32 on an A100 or H100,
        bfloat16 passes on a TPU, float32 on a CPU), "high" three passes, "highest" float32 on all.
    """

    num_train: tuple
    model: MLPSettings
    train: TrainSettings
    total: int = 60_000
    seed: int = 0
    sigma: float = 1.0
    matmul_precision: str = "default"
    landscape: LandscapeSettings = dataclasses.field(default_factory=LandscapeSettings)
    sampler: SamplerSettings = dataclasses.field(default_factory=SamplerSettings)
    attractors: AttractorSettings = dataclasses.field(default_factory=AttractorSettings)
    delta: float = 0.02
    phase_diagram: PhaseDiagramSettings = dataclasses.field(default_factory=PhaseDiagramSettings)
    correlation: CorrelationSettings = dataclasses.field(default_factory=CorrelationSettings)

    def __post_init__(self):
        for size in self.num_train:
            if not 1 <= size <= self.total:
                raise InputError(
                    f"num_train={size} must lie in 1..{self.total}, the number of points (config.total)."
                )
        if not self.num_train or tuple(sorted(set(self.num_train))) != tuple(self.num_train):
            raise InputError(f"num_train={self.num_train} must be distinct sizes in ascending order.")
        require_at_least("", self, seed=0)
        require_precision(self.matmul_precision)
        _require_positive("delta", self.delta)
        if self.sigma > 0 and self.landscape.theory_beta < 1 / (2 * self.sigma**2):
            raise InputError(
                f"landscape.theory_beta={self.landscape.theory_beta} must be at least 1 / (2 sigma^2) = "
                f"{1 / (2 * self.sigma**2):g}, the inverse temperature at t = 1."
            )


def _require_time(name: str, t: float) -> None:
    if not 0 < t <= 1:
        raise InputError(f"{name}={t} must lie in (0, 1].")


def _require_positive(name: str, value: float) -> None:
    if not value > 0:
        raise InputError(f"{name}={value} must be positive.")


def _require_memories(place: str, memories: PhaseDiagramSettings | CorrelationSettings) -> None:
    _require_some(f"{place}.num_patterns", memories.num_patterns)
    _require_some(f"{place}.betas", memories.betas)
    require_at_least(place, memories, draws=1)
    for size in memories.num_patterns:
        if size < 1:
            raise InputError(f"{place}.num_patterns={size} must be at least 1.")
    for beta in memories.betas:
        _require_positive(f"{place}.betas", beta)


def _require_some(name: str, values: tuple) -> None:
    if not values:
        raise InputError(f"{name} is empty: give at least one value.")


class CircleRun:
    """What every stage needs: the settings resolved into data, process, network and starts."""

    def __init__(self, config: ConfigDict):
        self.settings = settings_from(CircleSettings, config)
        s = self.settings
        points = data.circle(num_train=s.total, num_held_out=max(s.sampler.num_samples, 1000))
        self.train, self.fresh = points.train, points.held_out[: s.sampler.num_samples]
        self.process = diffusion.VE(sigma=s.sigma)
        self.model = s.model.build((2,))
        axis = np.linspace(-s.landscape.reach, s.landscape.reach, s.landscape.side)
        self.grid = np.stack(np.meshgrid(axis, axis), -1).astype(np.float32)
        self.points = self.grid.reshape(-1, 2)
        angle = np.arange(s.attractors.ring_starts) * (2 * np.pi / s.attractors.ring_starts)
        axis = np.linspace(-1.5, 1.5, s.attractors.grid_side)
        inside = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
        self.ring = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
        self.starts = np.concatenate([self.ring, inside]).astype(np.float32)

    def beta(self, t: float) -> float:
        return 1 / (2 * self.settings.sigma**2 * t)

    def denoiser(self, params: Any) -> diffusion.Denoiser:
        def network(x, t):
            return self.model.apply_fn(params, x, t)

        return diffusion.denoiser_from_network(network, self.process, self.settings.train.prediction)
