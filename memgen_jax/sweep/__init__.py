"""Trains and samples many models at once: the only room that knows devices, checkpoints and folders."""

from memgen_jax.sweep.members import Member, Purpose, make_members, take_shard
from memgen_jax.sweep.mesh import member_mesh, use_all_cpu_cores
from memgen_jax.sweep.synthesize import synthesize
from memgen_jax.sweep.train import TrainingDiverged, TrainSettings, load_ema, steps_per_call, train_members
from memgen_jax.sweep.workdir import Workdir

__all__ = [
    "Member",
    "Purpose",
    "TrainSettings",
    "TrainingDiverged",
    "Workdir",
    "load_ema",
    "make_members",
    "member_mesh",
    "steps_per_call",
    "synthesize",
    "take_shard",
    "train_members",
    "use_all_cpu_cores",
]
