"""Trains and samples many models at once: the only room that knows devices, checkpoints and folders."""

from memgen_jax.sweep.blocks import (
    DamagedCheckpoint,
    Watch,
    halved_steps,
    load_ema,
    set_aside,
    snapshot_steps,
)
from memgen_jax.sweep.cost import ModelCost, exact_score_bytes, model_cost, peak_flops
from memgen_jax.sweep.members import Member, Purpose, make_members, take_shard
from memgen_jax.sweep.mesh import member_mesh, use_all_cpu_cores
from memgen_jax.sweep.settings import SweepTrainSettings
from memgen_jax.sweep.source import Sampler, Source, exact_source, network_source
from memgen_jax.sweep.step import steps_per_call
from memgen_jax.sweep.synthesis import synthesize
from memgen_jax.sweep.train import TrainingDiverged, train_members

__all__ = [
    "DamagedCheckpoint",
    "Member",
    "ModelCost",
    "Purpose",
    "Sampler",
    "Source",
    "SweepTrainSettings",
    "TrainingDiverged",
    "Watch",
    "exact_score_bytes",
    "exact_source",
    "halved_steps",
    "load_ema",
    "make_members",
    "member_mesh",
    "model_cost",
    "network_source",
    "peak_flops",
    "set_aside",
    "snapshot_steps",
    "steps_per_call",
    "synthesize",
    "take_shard",
    "train_members",
    "use_all_cpu_cores",
]
