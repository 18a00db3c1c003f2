"""The transition shared out: two processes of jax.distributed over loopback, and shards with a merge."""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from memgen_jax.programs.command_line import read_command_line
from memgen_jax.programs.transition.program import PROGRAM

ROOT = pathlib.Path(__file__).parents[3]
TINY = (
    "--config=digits:smoke",
    "--config.num_train=(2,8,32)",
    "--config.model.width=16",
    "--config.train.num_steps=40",
    "--config.train.steps_per_call=10",
    "--config.train.checkpoint_seconds=0.0",
    "--config.train.log_every=20",
    "--config.train.num_snapshots=3",
    "--config.sampler.num_steps=4",
    "--config.sampler.chunk_size=16",
    "--config.phases.num_bootstrap=5",
    "--config.onset_items=32",
)


def start(*arguments, devices=1):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.transition", *TINY, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process):
    said, _ = process.communicate(timeout=500)
    assert process.returncode == 0, said
    return said


def run_here(workdir, *arguments):
    """The same run in this process, whose programs are compiled by then."""
    line = read_command_line(PROGRAM, [*TINY, f"--workdir={workdir}", *arguments])
    with jax.numpy_dtype_promotion("standard"):  # Adam's bias correction in optax needs it
        PROGRAM.main(line.config, line.workdir, line.invocation)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def two_processes(workdir, *arguments, devices=1):
    where = f"127.0.0.1:{free_port()}"
    processes = [
        start(f"--workdir={workdir}", f"--processes={where},{i}/2", *arguments, devices=devices)
        for i in (0, 1)
    ]
    return [finish(process) for process in processes]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same run by one process on one device."""
    folder = tmp_path_factory.mktemp("alone") / "run"
    run_here(folder)
    return folder


def assert_same_results(folder, other):
    for name in ("fractions.csv", "control.csv", "fractions_by_step.csv"):
        assert (folder / name).read_bytes() == (other / name).read_bytes(), name
    names = {path.name for path in (other / "samples").glob("*.npz")}
    assert names == {path.name for path in (folder / "samples").glob("*.npz")} and len(names) == 3 + 3 + 6
    for name in names:
        ours, theirs = (np.load(f / "samples" / name)["images"] for f in (folder, other))
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
def test_two_processes_share_a_run_and_end_with_the_bytes_of_one(tmp_path, alone):
    first, second = two_processes(tmp_path / "run", devices=2)
    assert "report.html" in first and "process 0 writes the report" in second
    # Each trained its own share: three members, two for one of them.
    assert sorted(("80 model-steps" in first, "80 model-steps" in second)) == [False, True]
    assert_same_results(tmp_path / "run", alone)


@pytest.mark.slow
def test_what_two_processes_began_one_finishes_on_another_number_of_devices(tmp_path, alone):
    """Checkpoints written by processes of jax.distributed restore in a process on its own."""
    folder = tmp_path / "run"
    where = f"127.0.0.1:{free_port()}"
    begun = [start(f"--workdir={folder}", f"--processes={where},{i}/2") for i in (0, 1)]
    saved = "checkpoints/num_train=*/[0-9]*[0-9]"
    while all(process.poll() is None for process in begun) and len(list(folder.glob(saved))) < 2:
        time.sleep(0.01)
    for process in begun:
        process.kill()
        process.communicate()
    finish(start(f"--workdir={folder}", devices=3))
    assert_same_results(folder, alone)


@pytest.mark.whole
def test_shards_one_after_another_and_a_merge_end_with_the_bytes_of_one_run(tmp_path, alone, capsys, undrawn):
    folder = tmp_path / "run"
    run_here(folder, "--config.shard=1/2")
    assert "This shard is done" in capsys.readouterr().out
    run_here(folder, "--config.shard=0/2")
    assert not (folder / "metrics.jsonl").exists() and (folder / "metrics,shard=1-of-2.jsonl").exists()
    if not (folder / "report.html").exists():
        run_here(folder)
    assert_same_results(folder, alone)


def told(process):
    """What a process that refuses says: one line, the last."""
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 2, said
    *before, refusal = said.splitlines()
    assert all(line.startswith("Waiting for the other processes") for line in before), said
    return refusal


def test_all_processes_are_told_when_one_does_not_see_the_folder(tmp_path):
    """The second process sees another folder under its own name."""
    where = f"127.0.0.1:{free_port()}"
    code = (
        "import sys, os; from memgen_jax.runs import processes as hosts; index = int(sys.argv[1]);"
        f"hosts.join('{where},%d/2' % index);"
        "sys.excepthook = lambda kind, error, trace: (print(error, file=sys.stderr), os._exit(2));"
        "hosts.require_shared_folder(sys.argv[2], seconds=1.0)"
    )
    (tmp_path / "0").mkdir()
    (tmp_path / "1").mkdir()
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(i), str(tmp_path / str(i))],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in (0, 1)
    ]
    for said in map(told, processes):
        assert "process 1 of 2 does not see" in said and "file system that all hosts share" in said
    assert not any(path.name.startswith(".shared") for path in (tmp_path / "0").iterdir())


def test_a_port_in_use_ends_the_program_with_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = told(start(f"--workdir={tmp_path}/run", f"--processes=127.0.0.1:{port},0/2"))
    assert f"process 0 cannot listen at port {port}" in said
    assert not (tmp_path / "run").exists()


def test_a_part_of_a_run_shared_among_processes_is_refused_before_they_are_waited_for(tmp_path):
    where = f"127.0.0.1:{free_port()},1/2"
    process = start(f"--workdir={tmp_path}/run", f"--processes={where}", "--config.shard=1/2")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 2 and len(said.splitlines()) == 1
    assert "shard=1/2 beside processes" in said and "give one of the two" in said


def test_sigterm_interrupts_a_process_that_was_joined(tmp_path):
    """Promptly, whichever thread the system gives the signal to."""
    code = (
        "import sys, time; from memgen_jax.programs import launcher\n"
        "def main(config, workdir, invocation): print('begun', flush=True); time.sleep(600)\n"
        "launcher.enter(launcher.Program('trial', main, before_joining=lambda config: None), sys.argv[1:])"
    )
    arguments = (f"--workdir={tmp_path}", f"--processes=127.0.0.1:{free_port()},0/1")
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--config=configs/digits.py:smoke", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while process.stdout.readline() != "begun\n":
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=300)  # half of what it would sleep
    assert process.returncode == 130 and "the same command continues" in said
