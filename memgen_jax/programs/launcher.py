"""The way into every program: a command line in, every end out as an exit code.

    PROGRAM = launcher.Program("transition", main, summary="…")       in memgen_jax/programs/transition/program.py
    launcher.start("transition")                                      in experiments/transition.py

A mistake in a setting comes up as `InputError` with the setting's name; `command_line` tells it by its flag.
"""

import importlib
import json
import os
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from absl import logging as absl_logging
from etils import epath
from ml_collections import ConfigDict

from memgen_jax.errors import InputError
from memgen_jax.programs import exits
from memgen_jax.programs.command_line import CommandLine, read_command_line, sentence, usage
from memgen_jax.programs.program import AT_HAND, FROM_PYTHON, Invocation, Machine, Program

__all__ = [
    "AT_HAND",
    "FROM_PYTHON",
    "Invocation",
    "Machine",
    "Program",
    "enter",
    "start",
]


def start(name: str, argv: Sequence[str] | None = None, command: str = "") -> NoReturn:
    """Runs the program of that name with a command line, and leaves with its exit code.

    Args:
      argv: the arguments alone; None for those of this process.
      command: what was typed before them, for messages; None for `python -m experiments.NAME`.
    """

    def run() -> NoReturn:
        # Before any program is imported: JAX reads the number of CPU devices when it starts.
        from memgen_jax.runs.compilation import keep_compiled_programs
        from memgen_jax.sweep.mesh import use_all_cpu_cores

        use_all_cpu_cores()
        keep_compiled_programs()
        module = importlib.import_module(f"memgen_jax.programs.{name}.program")
        given = sys.argv[1:] if argv is None else argv
        enter(module.PROGRAM, given, command or f"python -m experiments.{name}")

    exits.end_with(run)


def enter(program: Program, argv: Sequence[str], command: str = "") -> NoReturn:
    """Parses the arguments, runs the program and leaves the process with its exit code."""
    from memgen_jax.runs.compilation import keep_none
    from memgen_jax.runs.interrupts import interrupt_at_once
    from memgen_jax.sweep.mesh import use_deterministic_kernels

    if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(argv):
        print(usage(program, command or program.name))
        exits.leave(exits.DONE, at_once=False)
    absl_logging.set_verbosity(absl_logging.FATAL)  # Orbax logs each save, and each error besides raising it
    _only_main_thread_reports_errors()
    interrupt_at_once()
    name = f"memgen {program.name}"
    try:
        line = read_command_line(program, argv, command)
    except InputError as error:
        exits.tell(name, sentence(error))
        exits.leave(exits.MISTAKE, at_once=False)
    except Exception as error:
        exits.leave(exits.defect(name, error), at_once=False)
    if line.deterministic:
        use_deterministic_kernels()
    if not line.keep_compiled:
        keep_none()
    try:
        _run(program, line)
        code = exits.DONE
    except InputError as error:
        exits.tell(name, sentence(error, line.config))
        code = exits.MISTAKE
    except KeyboardInterrupt:
        sys.unraisablehook = lambda what: None  # of what was being made when the signal came
        exits.tell(name, f"interrupted; the same command continues from {line.workdir}.")
        code = exits.INTERRUPTED
    except Exception as error:
        if trouble := _disk_trouble(error, line.workdir) or exits.memory_trouble(error, program.lower):
            exits.tell(name, trouble)
            code = exits.MISTAKE
        else:
            ours = line.workdir and os.path.exists(os.path.join(line.workdir, "config.json"))
            code = exits.defect(name, error, line.workdir if ours else None)
    exits.leave(code, at_once=code != exits.DONE and _others_are_at_work())


def _run(program: Program, line: CommandLine) -> None:
    from memgen_jax.runs.processes import join

    if line.dry_run:
        assert program.dry_run is not None
        program.dry_run(line.config, line.invocation)
        return
    if line.processes:
        assert program.before_joining is not None
        program.before_joining(line.config)
        print("Waiting for the other processes, at most five minutes.", flush=True)
        join(line.processes)
    require_own_workdir(program, line.workdir)
    program.main(line.config, line.workdir, line.invocation)


def require_own_workdir(program: Program, workdir: str) -> None:
    """Refuses the folder of another program's run, by the program's name."""
    from memgen_jax.programs.configs import program_of
    from memgen_jax.programs.settings import settings_from

    try:
        known = ConfigDict(json.loads((epath.Path(workdir) / "config.json").read_text()))
        settings = program.settings_of(known)
    except (OSError, ValueError, TypeError):  # none yet, or a damaged one, of which the run itself speaks
        return
    try:
        if settings is not None:
            settings_from(settings, known)
            return
    except InputError:
        pass
    try:
        other = program_of(known)
    except InputError:
        return
    if other.name != program.name:
        raise InputError(
            f"workdir {workdir} holds a run of memgen {other.name}, and this is memgen {program.name}: choose "
            "another folder."
        )


def _others_are_at_work() -> bool:
    """Whether an ordinary exit would wait: for writers of checkpoints, or for processes that were joined."""
    from memgen_jax import runs

    return runs.checkpoints_are_open() or runs.index_and_count()[1] > 1


def _only_main_thread_reports_errors() -> None:
    """Leaves the telling of errors to the main thread.

    When a writer of checkpoints fails in the background the main thread is told and says it in one sentence;
    that others then find their event loop closed is no news.
    """

    def in_main_thread(hook):
        def told(*what):
            if threading.current_thread() is threading.main_thread():
                hook(*what)

        return told

    sys.excepthook = in_main_thread(sys.excepthook)
    sys.unraisablehook = in_main_thread(sys.unraisablehook)


def _disk_trouble(error: Exception, workdir: str) -> str:
    """What to say of a disk that is full or cannot be written; "" where that is not the trouble."""
    where, reason = "", ""
    if isinstance(error, OSError):
        if error.errno in (*exits.FULL, *exits.FORBIDDEN):
            reason = error.strerror or ""
            where = f" while writing {error.filename}" if error.filename else ""
    else:  # the writer of checkpoints raises errors of its own, with the system's words in their text
        said = (os.strerror(number) for number in exits.FULL)
        reason = next((words for words in said if words in str(error)), "")
    return reason and f"{reason}{where}: make room in {workdir}; the same command continues there."
