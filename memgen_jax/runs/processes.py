"""Several processes of one program: which of them this is, and how they find each other.

Processes share nothing but the workdir: process i of n trains and samples every n-th member, as job i of an
array does. No mesh spans them and no array is ever sent, so one may be hours ahead of another; process 0
waits for the others' files and writes the report.
"""

import collections
import math
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence

import jax
from etils import epath

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.runs import gpus, private_api, rendezvous

_BOARD = "memgen_jax/shared_folder"
_WEEK = 7 * 24 * 3600
_SECONDS_TO_COME = 300  # hosts of one job may start minutes apart
_SECONDS_TO_APPEAR = 120  # a network file system may show another host's new file a minute late


@takes_arrays
def join(processes: str, seconds: float = _SECONDS_TO_COME) -> None:
    """Joins this process to its siblings through `jax.distributed`; has to run before devices are used.

    Args:
      processes: "" for a process on its own; "auto" for those of a SLURM step, a TPU pod, an Open MPI run
        or a Kubernetes JobSet, as JAX detects them; "HOST:PORT,i/n" for process i of n by hand, where
        process 0 listens at HOST:PORT.
      seconds: how long to wait for the siblings.
    Raises:
      InputError: the text is none of these, the siblings do not come, or the tasks of a node cannot share its GPUs.
    """
    if not processes:
        return
    if processes == "auto":
        address, index, count = _detect(seconds)
    else:
        given = re.fullmatch(r"(.+:(\d+)),(\d+)/(\d+)", processes)
        if not given or not 0 < int(given[2]) < 2**16 or int(given[3]) >= int(given[4]):
            allowed = "auto, or HOST:PORT,i/n with i from 0 to n - 1, for example 10.0.0.1:8476,0/2"
            raise InputError.setting("processes", processes, allowed)
        address, index, count = given[1], int(given[3]), int(given[4])
    host, _, port = address.rpartition(":")
    if index == 0:
        rendezvous.gather(int(port), count, seconds)
    else:
        rendezvous.call(host.strip("[]"), int(port), f"{index}/{count}", seconds)
    ids = gpus.local_ids(os.environ)
    # JAX's preemption service would keep SIGTERM to itself, and the program would go on until it is killed.
    jax.config.update("jax_enable_preemption_service", False)
    # Processes end at their own times: the first to end waits for the last, and that is no failure.
    jax.distributed.initialize(address, count, index, local_device_ids=ids, shutdown_timeout_seconds=_WEEK)


def _detect(seconds: float) -> tuple[str, int, int]:
    """The address of process 0, and which process of how many this is, by the cluster's environment."""
    trouble = "none of these was found"
    try:
        address, count, index = private_api.detect_cluster(seconds)
        if address is not None and count is not None and index is not None:
            return address, index, count
    except (RuntimeError, ValueError) as error:
        trouble = str(error).strip().splitlines()[0]
    raise InputError(
        f"processes=auto needs a SLURM step, TPU pod, Open MPI run or JobSet ({trouble}): start this in one, "
        "or give HOST:PORT,i/n."
    )


def index_and_count() -> tuple[int, int]:
    """(i, n): this is process i of n that were joined; (0, 1) for a process on its own."""
    if not jax.distributed.is_initialized():
        return 0, 1
    return jax.process_index(), jax.process_count()


def devices_phrase() -> str:
    """The devices of a run of several processes, as "8 devices in each of 4 processes"; "" for a process on its own."""
    if index_and_count()[1] == 1:
        return ""
    counts = collections.Counter(collections.Counter(d.process_index for d in jax.devices()).values())
    return ", ".join(
        f"{devices} {'device' if devices == 1 else 'devices'} in each of {processes} processes"
        for devices, processes in sorted(counts.items(), reverse=True)
    )


@takes_arrays
def require_shared_folder(folder: epath.PathLike, seconds: float = _SECONDS_TO_APPEAR) -> None:
    """Makes sure that what process 0 writes in `folder` is seen by all.

    Raises:
      InputError: in every process, if one does not see it: they run on hosts without a common file system.
    """
    index, count = index_and_count()
    if count == 1:
        return
    board = private_api.bulletin_board()

    def posted(what: str) -> list[str]:
        return [value for _, value in board.key_value_dir_get(f"{_BOARD}/{what}")]

    if index == 0:
        token = secrets.token_hex(8)
        (epath.Path(folder) / f".shared-{token}").write_text(token)
        board.key_value_set(f"{_BOARD}/token/0", token)
    _wait_until(lambda: bool(posted("token")))
    file = epath.Path(folder) / f".shared-{posted('token')[0]}"
    sees = _wait_until(file.exists, seconds)
    board.key_value_set(f"{_BOARD}/blind/{index}", "" if sees else str(index))
    _wait_until(lambda: len(posted("blind")) == count)
    if index == 0:
        file.unlink(missing_ok=True)
    if blind := sorted(filter(None, posted("blind")), key=int):
        jax.distributed.shutdown()  # all at once: the first to just leave would have the others aborted
        raise InputError(
            f"process {', '.join(blind)} of {count} does not see in {folder} what process 0 wrote there: "
            "the workdir must be on a file system that all hosts share, or a bucket (gs://…)."
        )


@takes_arrays
def wait_for(files: Sequence[epath.Path], still_missing: Callable[[int], None]) -> None:
    """Returns when all files are there; `still_missing` is told how many are not, every few seconds."""
    missing = [file for file in files if not file.exists()]
    while missing:
        still_missing(len(missing))
        time.sleep(2.0)
        missing = [file for file in missing if not file.exists()]


def _wait_until(true: Callable[[], bool], seconds: float = math.inf) -> bool:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True
