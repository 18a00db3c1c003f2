import dataclasses
import pathlib
import subprocess
import sys

import jax
import pytest
from ml_collections import ConfigDict

from memgen_jax import runs
from memgen_jax.errors import InputError
from memgen_jax.programs import launcher

ROOT = pathlib.Path(__file__).parent.parent.parent


@dataclasses.dataclass(frozen=True)
class Inner:
    rate: float = 0.1


@dataclasses.dataclass(frozen=True)
class Outer:
    inner: Inner
    sizes: tuple
    name: str = "x"


def test_a_config_becomes_the_frozen_settings_of_the_same_shape():
    config = ConfigDict({"inner": {"rate": 0.5}, "sizes": (1, 2)})
    assert launcher.settings(Outer, config) == Outer(Inner(0.5), (1, 2), "x")
    unset = ConfigDict({"inner": {"rate": 0.5}, "sizes": (1, 2), "name": None})
    assert launcher.settings(Outer, unset) == Outer(Inner(0.5), (1, 2), "x")
    with pytest.raises(InputError, match="lacks the field 'sizes'"):
        launcher.settings(Outer, ConfigDict({"inner": {"rate": 0.5}, "sizes": None}))


def test_fields_that_nobody_reads_and_fields_that_are_missing_are_named():
    with pytest.raises(InputError, match="rat"):
        launcher.settings(Outer, ConfigDict({"inner": {"rat": 0.5}, "sizes": (1, 2)}))
    with pytest.raises(InputError, match="sizes"):
        launcher.settings(Outer, ConfigDict({"inner": {"rate": 0.5}}))


@pytest.mark.parametrize(
    "seconds,words",
    [(45.2, "45 s"), (200, "3 min 20 s"), (18720, "5 h 12 min"), (float("inf"), "unknown time")],
)
def test_durations_read_as_people_say_them(seconds, words):
    assert runs.duration(seconds) == words


def test_a_line_of_progress_tells_the_rate_the_time_left_and_what_else_is_shown(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(runs.progress.time, "monotonic", lambda: now[0])
    stage = runs.Stage("train", 1000, "model-steps")
    now[0] = 50.0
    stage.resume(500)  # by an earlier run
    assert stage.seconds_left() == float("inf")
    stage.show("8,000 images/s, 40% of peak")
    now[0] = 100.0
    stage.advance(250)
    line = (
        "train: 750 of 1,000 model-steps, 2.5 model-steps/s, 1 min 40 s left, 8,000 images/s, 40% of peak\n"
    )
    assert capsys.readouterr().out == line
    assert stage.seconds_left() == 100.0


def test_tables_align_their_columns():
    assert runs.table(("K", "share"), [("2", "1.000"), ("1437", "0.0")]) == (
        "   K  share\n   2  1.000\n1437    0.0"
    )


def test_what_a_config_file_raised_is_told_without_its_traceback():
    wrapped = (
        'flag --config=c.py:x: Error whilst parsing:\n\nTraceback (most recent call last):\n  File "c.py"\n'
    )
    error = ValueError(wrapped + "ValueError: c.py has no variant 'x'; there is smoke.\n")
    assert launcher._innermost_line(error) == "c.py has no variant 'x'; there is smoke."
    assert launcher._innermost_line(ValueError("flag --a: unknown\nhelp")) == "flag --a: unknown"


@pytest.mark.parametrize(
    "error,words",
    [
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 34359738368 bytes."),
            "out of memory (32.0 GiB more were asked for): lower batches.",
        ),
        (MemoryError(), "out of memory: lower batches."),
    ],
)
def test_memory_that_does_not_suffice_is_one_sentence_on_what_to_lower(error, words, tmp_path):
    """In a process of its own: a mistake ends it."""
    code = (
        "import sys, jax, memgen_jax.programs.launcher as launcher\n"
        f"def main(config, workdir): raise {type(error).__name__}({str(error)!r})\n"
        "from jax.errors import JaxRuntimeError\n"
        "launcher.enter(main, lower='batches')\n"
    )
    arguments = ["--config=configs/digits.py", f"--workdir={tmp_path}"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr == f"memgen_jax: {words}\n"


def test_a_program_for_one_process_refuses_several(tmp_path):
    code = "import memgen_jax.programs.launcher as launcher; launcher.enter(lambda config, workdir: print('begun'))"
    arguments = ["--config=configs/digits.py", f"--workdir={tmp_path}", "--processes=auto"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "memgen_jax: this program has no --processes.\n"
