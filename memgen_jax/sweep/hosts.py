"""Several processes of one program: which of them this is, and how they find each other.

Processes share nothing but the workdir: process i of n trains and samples every n-th member, as job i of an
array does. No mesh spans them and no array is ever sent, so one may be hours ahead of another; process 0
waits for the others' files and writes the report.
"""

import re
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
from etils import epath

from memgen_jax.errors import InputError

_TOKEN = "memgen_jax/token"
_WEEK = 7 * 24 * 3600
_SECONDS_TO_APPEAR = 120  # a network file system may show another host's new file a minute late


def join(processes: str) -> None:
    """Joins this process to its siblings through `jax.distributed`; has to run before devices are used.

    Args:
      processes: "" for a process on its own; "auto" for those of a SLURM step, a TPU pod, an Open MPI run
        or a Kubernetes JobSet, as JAX detects them; "HOST:PORT,i/n" for process i of n by hand, where
        process 0 listens at HOST:PORT.
    Raises:
      InputError: the text is none of these, or the siblings cannot be found.
    """
    if not processes:
        return
    where: dict = {}
    if processes != "auto":
        given = re.fullmatch(r"(.+:\d+),(\d+)/(\d+)", processes)
        if not given or int(given[2]) >= int(given[3]):
            raise InputError(
                f"--processes={processes!r} must be auto, or HOST:PORT,i/n with i from 0 to n - 1, "
                "for example 10.0.0.1:8476,0/2."
            )
        where = {
            "coordinator_address": given[1],
            "process_id": int(given[2]),
            "num_processes": int(given[3]),
        }
    try:
        # Processes end at their own times: none may be called dead for having to wait for another.
        jax.distributed.initialize(**where, shutdown_timeout_seconds=_WEEK)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"--processes={processes}: the other processes were not found "
            f"({str(error).strip().splitlines()[0]}); start this inside a SLURM step, TPU pod or JobSet, or "
            "give HOST:PORT,i/n."
        ) from None


def place() -> tuple[int, int]:
    """(i, n): this is process i of n that were joined; (0, 1) for a process on its own."""
    if not jax.distributed.is_initialized():
        return 0, 1
    return jax.process_index(), jax.process_count()


def require_shared_folder(folder: epath.PathLike, seconds: float = _SECONDS_TO_APPEAR) -> None:
    """Makes sure that what process 0 writes in `folder` is seen by all.

    Raises:
      InputError: it is not; the processes run on hosts without a common file system.
    """
    index, count = place()
    if count == 1:
        return
    # The processes' bulletin board has no public name. The public collectives would need the devices of all
    # hosts, as many on each, to compare a word.
    from jax._src import distributed

    board: Any = distributed.global_state.client
    if index == 0:
        token = secrets.token_hex(8)
        (epath.Path(folder) / f".shared-{token}").write_text(token)
        board.key_value_set(_TOKEN, token)
        board.wait_at_barrier(f"{_TOKEN}/seen", int(1000 * (seconds + 60)))
        (epath.Path(folder) / f".shared-{token}").unlink(missing_ok=True)
        return
    token = board.blocking_key_value_get(_TOKEN, int(1000 * seconds))
    seen = _wait_until(lambda: (epath.Path(folder) / f".shared-{token}").exists(), seconds)
    board.wait_at_barrier(f"{_TOKEN}/seen", int(1000 * (seconds + 60)))
    if not seen:
        raise InputError(
            f"process {index} does not see in {folder} what process 0 wrote there: --workdir must be on a "
            "file system that all hosts share, or a bucket (gs://…)."
        )


def wait_for(files: Sequence[epath.Path], still_missing: Callable[[int], None]) -> None:
    """Returns when all files are there; `still_missing` is told how many are not, every few seconds."""
    missing = [file for file in files if not file.exists()]
    while missing:
        still_missing(len(missing))
        time.sleep(2.0)
        missing = [file for file in missing if not file.exists()]


def _wait_until(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
