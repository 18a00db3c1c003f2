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
