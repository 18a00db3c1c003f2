import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def submit(tmp_path):
    """launch/slurm.sbatch with stand-ins for srun, which drops its options, and memgen, which tells its arguments."""
    tools = tmp_path / "tools"
    tools.mkdir()
    stand_ins = {
        "srun": 'while [[ $1 == --* ]]; do shift; done\nexec "$@"',
        "memgen": 'printf "%s\\n" "$@"',
    }
    for name, text in stand_ins.items():
        (tools / name).write_text(f"#!/bin/bash\n{text}\n")
        (tools / name).chmod(0o755)

    def run(*arguments, **variables):
        environment = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "SLURM_JOB_ID": "7",
            "MEMGEN": "memgen",
            "MEMGEN_LOCAL": str(tmp_path / "local disk"),
        }
        script = ["bash", ROOT / "launch/slurm.sbatch", *arguments]
        return subprocess.run(
            script, cwd=tmp_path, env=environment | variables, capture_output=True, text=True
        )

    return run


def test_a_job_runs_memgen_with_its_arguments_after_the_setup_file(submit, tmp_path):
    (tmp_path / "setup.sh").write_text("echo set up $OF_NO_SUCH_VARIABLE\n")
    done = submit("--config=digits", MEMGEN_SETUP=str(tmp_path / "setup.sh"))
    assert done.stdout.splitlines() == ["set up", "transition", "--config=digits"]


def test_tasks_share_a_run_and_an_array_takes_parts_of_it(submit):
    assert submit("a", SLURM_NTASKS="2").stdout.splitlines() == ["transition", "a", "--processes=auto"]
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}
    assert submit("a", **array).stdout.splitlines() == ["transition", "a", "--config.shard=3/8"]


def test_an_array_takes_parts_of_an_audit_and_a_job_alone_merges_them(submit):
    array = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "8"}
    given = ["audit", "--train", "a b.npz", "--out=c"]
    assert submit(*given, **array).stdout.splitlines() == [*given, "--shard=3/8"]
    assert submit(*given, "--merge").stdout.splitlines() == [*given, "--merge"]


def test_data_are_copied_to_the_local_disk_under_one_path_for_every_job(submit, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/1.png").write_bytes(b"1")
    for job in ("7", "8"):
        done = submit("--config.data.name=@DATA@", MEMGEN_STAGE=str(tmp_path / "photos"), SLURM_JOB_ID=job)
        copy = tmp_path / "local disk/photos"
        assert done.stdout.splitlines()[-1] == f"--config.data.name={copy}"
        assert [file.read_bytes() for file in copy.iterdir()] == [b"1"]
    assert [entry.name for entry in copy.parent.iterdir()] == ["photos"]


@pytest.mark.parametrize("name", ["MEMGEN", "MEMGEN_SETUP", "MEMGEN_STAGE"])
def test_what_is_not_there_is_named_and_nothing_runs(submit, name):
    done = submit("--config=digits", **{name: "/no/such/thing"})
    assert done.returncode == 2 and not done.stdout
    assert "/no/such/thing" in done.stderr
