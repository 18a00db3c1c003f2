import errno
import os
import subprocess
import sys

import pytest

from memgen_jax.programs import exits


def test_a_folder_too_deep_to_be_made_is_a_mistake_of_what_was_given(tmp_path, capsys):
    try:
        (tmp_path / "/".join("a" * 1900)).mkdir(parents=True)
    except (RecursionError, OSError) as error:
        assert exits.defect("memgen audit", error) == exits.MISTAKE
    else:
        pytest.skip("this Python makes folders without recursion")
    assert "give another path" in capsys.readouterr().err


def test_another_recursion_without_end_is_a_defect_of_ours(tmp_path, capsys):
    def endless():
        endless()

    with pytest.raises(RecursionError) as found:
        endless()
    assert exits.defect("memgen audit", found.value, tmp_path) == exits.DEFECT
    assert list(tmp_path.glob("traceback-*.txt"))


TOLD_TO_STOP = """
import sys, threading
from memgen_jax.programs import exits
from memgen_jax.runs.presence import Presence
threading.Thread(target=threading.Event().wait).start()  # an ordinary exit would wait for it
open_ = Presence(sys.argv[1])
print("said")
exits.end_with(lambda: sys.exit(exits.INTERRUPTED))
"""


def test_a_command_that_was_told_to_stop_ends_at_once_and_leaves_its_folder(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", TOLD_TO_STOP, str(tmp_path)], capture_output=True, text=True, timeout=100
    )
    assert (done.returncode, done.stdout) == (exits.INTERRUPTED, "said\n")
    assert not (tmp_path / ".at_work").exists()


@pytest.mark.parametrize("buffered", ["", "1"])
@pytest.mark.parametrize(
    "command",
    [["memgen_jax", "--help"], ["memgen_jax", "configs"], ["experiments.transition", "--help"]],
    ids=" ".join,
)
def test_output_that_has_no_room_or_no_reader_ends_a_command_without_a_traceback(command, buffered):
    line = [sys.executable, "-m", *command]
    environment = os.environ | {"PYTHONUNBUFFERED": buffered}
    with open("/dev/full", "w") as full:
        done = subprocess.run(line, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert done.returncode == exits.MISTAKE
    assert done.stderr.count("\n") == 1 and "No space left on device" in done.stderr

    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(line, stdout=closed, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "a/b cannot be used (No space left on device): make room"),
        (errno.EDQUOT, "a/b cannot be used (Disk quota exceeded): make room"),
        (errno.EROFS, "a/b cannot be used (Read-only file system): name another place"),
        (errno.EACCES, "a/b cannot be used (Permission denied): name another place"),
    ],
)
def test_a_disk_that_is_full_or_forbidden_is_no_defect_of_ours(number, words, capfd):
    assert exits.defect("memgen compare", OSError(number, os.strerror(number), "a/b")) == exits.MISTAKE
    assert capfd.readouterr().err.startswith(f"memgen compare: {words}")


def test_a_full_disk_within_another_program_leaves_its_output_alone(capsys):
    """There is no file below the output then, as in a notebook."""
    assert exits.defect("memgen configs", OSError(errno.ENOSPC, "No space left on device")) == exits.MISTAKE
    print("still heard")
    said = capsys.readouterr()
    assert said.out == "still heard\n" and said.err.startswith(
        "memgen configs: the output, or a file, cannot be used"
    )
