"""Which GPUs a process asks JAX for, by the variables that SLURM sets."""

import os
import subprocess
import sys

import pytest

from memgen_jax.errors import InputError
from memgen_jax.runs import gpus

ALL = ",".join(map(str, range(8)))


@pytest.mark.parametrize(
    ("what", "environment", "ids"),
    [
        ("no SLURM", {"CUDA_VISIBLE_DEVICES": ALL}, []),
        ("no GPU", {"SLURM_TASKS_PER_NODE": "2", "SLURM_LOCALID": "1", "CUDA_VISIBLE_DEVICES": ""}, []),
        (
            "--nodes=4 --ntasks-per-node=1 --gpus-per-node=8",
            {
                "SLURM_TASKS_PER_NODE": "1(x4)",
                "SLURM_NODEID": "2",
                "SLURM_LOCALID": "0",
                "SLURM_GPUS_ON_NODE": "8",
                "CUDA_VISIBLE_DEVICES": ALL,
            },
            [],
        ),
        (
            "--ntasks-per-node=8 --gpus-per-task=1",
            {
                "SLURM_TASKS_PER_NODE": "8(x2)",
                "SLURM_LOCALID": "3",
                "SLURM_GPUS_ON_NODE": "8",
                "SLURM_GPUS_PER_TASK": "1",
                "CUDA_VISIBLE_DEVICES": "0",
            },
            [],
        ),
        (
            "--ntasks-per-node=2 --gpus-per-task=4, bound",
            {
                "SLURM_TASKS_PER_NODE": "2",
                "SLURM_LOCALID": "1",
                "SLURM_GPUS_ON_NODE": "8",
                "CUDA_VISIBLE_DEVICES": "4,5,6,7",
            },
            [],
        ),
        (
            "--ntasks-per-node=8 --gpus-per-node=8, all seen by each",
            {
                "SLURM_TASKS_PER_NODE": "8(x4)",
                "SLURM_LOCALID": "5",
                "SLURM_GPUS_ON_NODE": "8",
                "CUDA_VISIBLE_DEVICES": ALL,
            },
            [5],
        ),
        (
            "--ntasks-per-node=4 --gpus-per-node=8, all seen by each",
            {
                "SLURM_TASKS_PER_NODE": "4,4",
                "SLURM_NODEID": "1",
                "SLURM_LOCALID": "3",
                "SLURM_GPUS_ON_NODE": "8",
                "CUDA_VISIBLE_DEVICES": ALL,
            },
            [6, 7],
        ),
        (
            "--ntasks-per-node=3 --gpus-per-node=8, six of them named for all",
            {
                "SLURM_TASKS_PER_NODE": "3",
                "SLURM_LOCALID": "2",
                "SLURM_GPUS_ON_NODE": "8",
                "CUDA_VISIBLE_DEVICES": "0,1,2,3,4,5",
            },
            [4, 5],
        ),
        (
            "--ntasks-per-node=8 --gpus-per-task=a100:1 --gpu-bind=none",
            {
                "SLURM_TASKS_PER_NODE": "8",
                "SLURM_LOCALID": "3",
                "SLURM_GPUS_ON_NODE": "8",
                "SLURM_GPUS_PER_TASK": "a100:1",
                "CUDA_VISIBLE_DEVICES": ALL,
            },
            [3],
        ),
        ("said by the user", {"JAX_LOCAL_DEVICE_IDS": "2", "SLURM_LOCALID": "0"}, None),
    ],
)
def test_a_task_asks_for_its_own_gpus(what, environment, ids):
    assert gpus.local_ids(environment, installed=8) == ids, what


def test_gpus_that_tasks_cannot_share_are_refused_rather_than_left_idle():
    layout = {
        "SLURM_TASKS_PER_NODE": "3",
        "SLURM_LOCALID": "0",
        "SLURM_GPUS_ON_NODE": "8",
        "CUDA_VISIBLE_DEVICES": ALL,
    }
    with pytest.raises(InputError, match="3 tasks on a node cannot share its 8 GPUs evenly"):
        gpus.local_ids(layout)


READ_BACK = """
import jax, sys
from memgen_jax.runs import processes
processes.join("127.0.0.1:{port},0/1")
print("visible:", jax.config.values["jax_cuda_visible_devices"])
"""


@pytest.mark.parametrize(
    ("tasks", "rank", "visible"), [("1(x4)", "0", "all"), ("8(x4)", "5", "5"), ("4(x4)", "3", "6,7")]
)
def test_jax_shows_a_slurm_task_what_it_asked_for(tasks, rank, visible, tmp_path):
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    layout = {
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "32",
        "SLURM_PROCID": "0",
        "SLURM_TASKS_PER_NODE": tasks,
        "SLURM_LOCALID": rank,
        "SLURM_GPUS_ON_NODE": "8",
        "CUDA_VISIBLE_DEVICES": ALL,
        "JAX_PLATFORMS": "cpu",
    }
    done = subprocess.run(
        [sys.executable, "-c", READ_BACK.format(port=port)],
        env=os.environ | layout,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert f"visible: {visible}" in done.stdout, done.stderr[-2000:]
