"""Owns folders, processes and signals: what a run leaves on disk and how it stops."""

from memgen_jax.runs.checkpoints import MemberCheckpoints, checkpoints_are_open
from memgen_jax.runs.interrupts import deferred_interrupts, interrupt_at_once
from memgen_jax.runs.processes import devices_phrase, index_and_count, join, require_shared_folder, wait_for
from memgen_jax.runs.progress import SILENT, Progress, Stage, duration, stage, table
from memgen_jax.runs.workdir import Workdir, name_changes

__all__ = [
    "SILENT",
    "MemberCheckpoints",
    "Progress",
    "Stage",
    "Workdir",
    "checkpoints_are_open",
    "deferred_interrupts",
    "devices_phrase",
    "duration",
    "index_and_count",
    "interrupt_at_once",
    "join",
    "name_changes",
    "require_shared_folder",
    "stage",
    "table",
    "wait_for",
]
