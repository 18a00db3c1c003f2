"""What JAX and Orbax do not offer by a public name: the only module that reaches for their private ones.

Each function names what it needs and says in one sentence when a version no longer has it; the test of this
module asks every installed version for all of them.
"""

import importlib
import os
from collections.abc import Iterator
from typing import Any

# module -> the private names taken from it
NEEDED = {
    "jax._src.clusters": ("ClusterEnv.auto_detect_unset_distributed_params",),
    "jax._src.distributed": ("global_state.client",),
    "orbax.checkpoint._src.multihost.multihost": (
        "process_index",
        "process_count",
        "is_jax_distributed_client_initialized",
    ),
}


class PrivateNameGone(RuntimeError):
    """The installed version of a library no longer has what this module takes from it."""


def missing() -> Iterator[str]:
    """The needed private names that the installed versions lack."""
    for module, names in NEEDED.items():
        for name in names:
            try:
                _take(module, name)
            except PrivateNameGone:
                yield f"{module}.{name}"


def _take(module: str, name: str) -> Any:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        raise PrivateNameGone(
            f"this version of {module.split('.')[0]} has no {module}.{name}: take the versions of "
            "requirements.txt, or run without --processes."
        ) from None
    return found


def detect_cluster(seconds: float) -> tuple[str | None, int | None, int | None]:
    """(address of process 0, number of processes, index of this one), as JAX reads the environment.

    JAX tells what it detects to nobody but its own `initialize`, which aborts the process where the others do
    not come.

    Raises:
      RuntimeError, ValueError: JAX finds several clusters, or one that lacks something.
    """
    detect = _take("jax._src.clusters", "ClusterEnv.auto_detect_unset_distributed_params")
    address, count, index, _ = detect(
        os.environ.get("JAX_COORDINATOR_ADDRESS"), None, None, None, None, int(seconds)
    )
    return address, count, index


def bulletin_board() -> Any:
    """JAX's key-value store of the processes that were joined.

    It has no public name. The public collectives would need the devices of all hosts, as many on each, to
    compare a word.
    """
    return _take("jax._src.distributed", "global_state.client")


def hide_other_processes_from_orbax() -> None:
    """Lets Orbax believe that this process is the only one.

    Orbax takes a checkpoint for a work of all processes. Here every process writes the members that it trained,
    at its own times, and no public setting allows that: with `active_processes` of one process no one waits
    at a barrier, but NumPy arrays are still written by process 0 alone and arrays on the devices of one
    process are refused. So the three functions by which Orbax sees the others are replaced.
    """
    module = "orbax.checkpoint._src.multihost.multihost"
    alone = {"process_index": 0, "process_count": 1, "is_jax_distributed_client_initialized": False}
    for name, answer in alone.items():
        _take(module, name)
        setattr(importlib.import_module(module), name, lambda answer=answer: answer)
