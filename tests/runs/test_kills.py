"""Killed programs, and files whose writers were killed; `python tests/runs/kill_programs.py` kills a hundred times."""

import pathlib
import signal
import subprocess
import sys

import pytest

from memgen_jax.files import write_together, write_whole

PROGRAM = pathlib.Path(__file__).with_name("kill_programs.py")

HANG_WHILE_WRITING = """
import sys, time
from etils import epath
from memgen_jax import files

place = sys.argv[1]
real = type(epath.Path(place)).write_bytes
def write_bytes(self, data):
    real(self, data[:3])
    print("half", flush=True)
    time.sleep(60)
type(epath.Path(place)).write_bytes = write_bytes
files.write_whole(epath.Path(place) / "table.csv", b"whole")
"""


@pytest.fixture
def half_written(tmp_path):
    """A folder in which a process was killed while it wrote table.csv."""
    process = subprocess.Popen([sys.executable, "-c", HANG_WHILE_WRITING, tmp_path], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    return tmp_path, process


def test_who_writes_a_file_takes_away_what_a_killed_process_left_of_it(half_written):
    folder, process = half_written
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = folder.iterdir()
    assert left.read_bytes() == b"who"
    write_whole(folder / "other.csv", b"other")
    assert left.exists()  # it is no part of that file
    write_whole(folder / "table.csv", b"whole")
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == {
        "other.csv": b"other", "table.csv": b"whole"
    }  # fmt: skip


def test_what_a_living_process_or_another_host_writes_is_left_alone(half_written):
    folder, process = half_written
    (theirs,) = folder.iterdir()
    far = folder / f".table.csv.another-host.{2**22 + 1}.tmp"
    far.write_bytes(b"wh")
    write_together(folder, {"table.csv": b"mine"})
    assert theirs.exists() and far.exists()
    process.kill()
    process.wait()


def programs(kills, names):
    return subprocess.run(
        [sys.executable, PROGRAM, "--kills", str(kills), "--programs", names], capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transition", "circle", "onset", "geometry", "audit"])
def test_a_program_that_is_killed_ends_with_the_bytes_of_one_that_is_not(name):
    done = programs(3, name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("3 kills in all, 0 differences\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["transition", "circle", "onset", "geometry", "audit"])
def test_a_troubled_disk_clock_or_folder_is_one_sentence_and_changes_no_byte(name):
    program = PROGRAM.with_name("trouble_programs.py")
    done = subprocess.run([sys.executable, program, "--programs", name], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
