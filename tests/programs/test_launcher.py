import dataclasses
import os
import pathlib
import subprocess
import sys

import pytest
from ml_collections import ConfigDict

from memgen_jax import runs
from memgen_jax.errors import InputError
from memgen_jax.programs.settings import settings_from

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
    assert settings_from(Outer, config) == Outer(Inner(0.5), (1, 2), "x")
    unset = ConfigDict({"inner": {"rate": 0.5}, "sizes": (1, 2), "name": None})
    assert settings_from(Outer, unset) == Outer(Inner(0.5), (1, 2), "x")
    with pytest.raises(InputError, match="lacks the field sizes"):
        settings_from(Outer, ConfigDict({"inner": {"rate": 0.5}, "sizes": None}))


def test_fields_that_nobody_reads_and_fields_that_are_missing_are_named():
    with pytest.raises(InputError, match="rat"):
        settings_from(Outer, ConfigDict({"inner": {"rat": 0.5}, "sizes": (1, 2)}))
    with pytest.raises(InputError, match="sizes"):
        settings_from(Outer, ConfigDict({"inner": {"rate": 0.5}}))


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


def start(code, *arguments, **options):
    """Runs a program written as `main`'s body, in a process of its own: the launcher ends it."""
    whole = (
        "import sys, time, jax\n"
        "from memgen_jax.programs import configs, launcher\n"
        f"def main(config, workdir, invocation):\n    {code}\n"
        "program = launcher.Program('trial', main, lower='batches', before_joining=lambda config: None)\n"
        "launcher.enter(program, sys.argv[1:])\n"
    )
    arguments = [sys.executable, "-c", whole, "--config=configs/digits.py:smoke", *arguments]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=300, **options)


@pytest.mark.parametrize(
    "raised,words",
    [
        (
            "jax.errors.JaxRuntimeError('RESOURCE_EXHAUSTED: Out of memory allocating 34359738368 bytes.')",
            "out of memory (32.0 GiB more were asked for): lower batches.",
        ),
        ("MemoryError()", "out of memory: lower batches."),
    ],
)
def test_memory_that_does_not_suffice_is_one_sentence_on_what_to_lower(raised, words, tmp_path):
    done = start(f"raise {raised}", f"--workdir={tmp_path}")
    assert (done.returncode, done.stderr) == (2, f"memgen trial: {words}\n")


def test_an_interrupt_amid_the_making_of_an_object_is_one_sentence(tmp_path):
    """Orbax's manager asks for its thread when it goes, which it has not yet where a signal came while it was made."""
    half_made = (
        "\n    class HalfMade:"
        "\n        def __init__(self): raise KeyboardInterrupt"
        "\n        def __del__(self): self.thread.join()"
        "\n    HalfMade()"
    )
    done = start(half_made, f"--workdir={tmp_path}")
    said = f"memgen trial: interrupted; the same command continues from {tmp_path}.\n"
    assert (done.returncode, done.stderr) == (130, said)


def test_a_full_disk_is_one_sentence_on_where_to_make_room(tmp_path):
    done = start("raise OSError(28, 'No space left on device', 'a.npz')", f"--workdir={tmp_path}")
    assert done.returncode == 2
    assert done.stderr == (
        "memgen trial: No space left on device while writing a.npz: "
        f"make room in {tmp_path}; the same command continues there.\n"
    )


def test_a_defect_of_ours_is_one_sentence_with_the_traceback_in_a_file_of_the_run(tmp_path):
    done = start("open(workdir + '/config.json', 'w').close(); 1 / 0", f"--workdir={tmp_path}")
    assert done.returncode == 3 and done.stderr.count("\n") == 1
    (file,) = tmp_path.glob("traceback-*.txt")
    assert str(file) in done.stderr and "issue tracker" in done.stderr
    assert "ZeroDivisionError: division by zero" in done.stderr and "1 / 0" not in done.stderr
    assert "Traceback" in file.read_text() and "ZeroDivisionError" in file.read_text()


def test_a_defect_before_the_run_has_its_folder_leaves_no_folder_behind(tmp_path):
    """A stray file would make the workdir one that the next start refuses."""
    done = start("1 / 0", f"--workdir={tmp_path}/run", env=os.environ | {"TMPDIR": str(tmp_path)})
    assert done.returncode == 3 and not (tmp_path / "run").exists()
    (file,) = tmp_path.glob("memgen-traceback-*.txt")
    assert str(file) in done.stderr and "ZeroDivisionError" in file.read_text()


def test_an_interrupt_is_told_with_the_folder_to_continue_in(tmp_path):
    done = start("raise KeyboardInterrupt", f"--workdir={tmp_path}")
    assert done.returncode == 130
    assert done.stderr == f"memgen trial: interrupted; the same command continues from {tmp_path}.\n"


@pytest.mark.parametrize("end,code", [("pass", 0), ("raise launcher.InputError('no.')", 2)])
def test_a_program_without_checkpoints_ends_as_any_other_does(end, code, tmp_path):
    """What is registered to be done at the end is done."""
    done = start(f"import atexit; atexit.register(print, 'done at exit'); {end}", f"--workdir={tmp_path}")
    assert (done.returncode, done.stdout) == (code, "done at exit\n")


def test_a_mistake_does_not_wait_for_the_writers_of_checkpoints(tmp_path):
    """A full disk would make them raise again."""
    code = (
        "import atexit; from memgen_jax import runs; atexit.register(print, 'done at exit');"
        " kept = runs.MemberCheckpoints(workdir); raise launcher.InputError('no.')"
    )
    done = start(code, f"--workdir={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")


def test_importing_every_program_defines_no_flag():
    code = (
        "import importlib; from absl import flags\n"
        "import absl.logging, orbax.checkpoint, ml_collections, tensorflow_datasets\n"
        "before = set(flags.FLAGS)\n"
        "from memgen_jax.programs import configs, launcher\n"
        "for name in configs.PROGRAMS:\n"
        "    program = importlib.import_module(f'memgen_jax.programs.{name}.program').PROGRAM\n"
        "    assert program.name == name\n"
        "print(sorted(set(flags.FLAGS) - before))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stdout + done.stderr
