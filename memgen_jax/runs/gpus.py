"""Which of a node's GPUs belong to this process of several.

JAX, told nothing, gives process i of a SLURM node the GPU with number i: a node's only process would train on one of
eight, and a task that SLURM has bound to one GPU would ask for another that it does not see.
"""

import glob
import re
from collections.abc import Mapping

from memgen_jax.errors import InputError


def local_ids(environment: Mapping[str, str], installed: int | None = None) -> list[int] | None:
    """The numbers of this process's GPUs among those that it sees, as `jax.distributed.initialize` takes them.

    Args:
      environment: of the process: what CUDA shows, and SLURM's layout.
      installed: GPUs of the machine; None counts them.
    Returns:
      [] for all that it sees: there is one process on the node, SLURM has bound GPUs to each, or there is no GPU;
      a part of them where several tasks of a node see the same ones; None where JAX_LOCAL_DEVICE_IDS says it.
    Raises:
      InputError: the tasks of a node cannot share its GPUs evenly, so that some would stay idle.
    """
    if environment.get("JAX_LOCAL_DEVICE_IDS"):
        return None
    tasks, rank = _tasks_here(environment), int(environment.get("SLURM_LOCALID") or 0)
    seen = _seen(environment, installed)
    on_node = int(environment.get("SLURM_GPUS_ON_NODE") or seen)
    of_each = _last_number(environment.get("SLURM_GPUS_PER_TASK"))
    # GPUs that together are more than the node has are the same ones, whatever was asked for.
    bound = seen <= of_each or (seen < on_node and seen * tasks <= on_node)
    if tasks == 1 or seen == 0 or bound:
        return []
    if seen % tasks:
        raise InputError(
            f"{tasks} tasks on a node cannot share its {seen} GPUs evenly: start one task a node or one a GPU "
            "(--ntasks-per-node), or say by CUDA_VISIBLE_DEVICES which are to be used."
        )
    each = seen // tasks
    return list(range(rank * each, (rank + 1) * each))


def _last_number(text: str | None) -> int:
    """4 of "4" and of "a100:4"; 0 of nothing."""
    numbers = re.findall(r"\d+", text or "")
    return int(numbers[-1]) if numbers else 0


def _tasks_here(environment: Mapping[str, str]) -> int:
    """Tasks of the step on this node, of SLURM_STEP_TASKS_PER_NODE such as "2(x3),1"; 1 outside SLURM."""
    text = environment.get("SLURM_STEP_TASKS_PER_NODE") or environment.get("SLURM_TASKS_PER_NODE") or "1"
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):
        counts += [int(count)] * int(times or 1)
    node = int(environment.get("SLURM_NODEID") or 0)
    return counts[node] if node < len(counts) else counts[0]


def _seen(environment: Mapping[str, str], installed: int | None) -> int:
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return 0 if visible in ("", "-1", "NoDevFiles") else len(visible.split(","))
    return len(glob.glob("/dev/nvidia[0-9]*")) if installed is None else installed
