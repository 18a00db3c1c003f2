"""The way into every program: flags in, a locked config out, and every end as an exit code.

    PROGRAM = launcher.Program("transition", main, summary="…")       in memgen_jax/programs/transition/program.py
    launcher.start("transition")                                      in experiments/transition.py

Flags exist while a program runs, never by an import; nothing below this module knows of them. A mistake in a
setting comes up as `InputError` with the setting's name and is told here by its flag. Exit codes: `exits`.
"""

import dataclasses
import difflib
import errno
import importlib
import importlib.util
import os
import pathlib
import re
import shlex
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn, TypeVar

from absl import flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from memgen_jax.errors import InputError
from memgen_jax.programs import exits

Settings = TypeVar("Settings")
NAMES: Final = ("transition", "circle", "geometry", "onset")


class Machine(typing.NamedTuple):
    """What a dry run counts with, where it is not to ask the devices at hand; None asks them.

    Attributes:
      devices: number of devices.
      flops_per_second: what one device really does.
      device_memory_gb: memory of one device, in 1e9 bytes.
      deadline_hours: also tell how fast the run must be to end in so many hours.
    """

    devices: int | None = None
    flops_per_second: float | None = None
    device_memory_gb: float | None = None
    deadline_hours: float | None = None


AT_HAND: Final = Machine()


class Invocation(typing.NamedTuple):
    """What the command line says beside the config.

    Attributes:
      command: the whole line as one would type it again; "" where the program was called from Python.
      given: the settings that it gives, dotted as in the config ("train.num_steps").
      machine: for the dry run.
    """

    command: str = ""
    given: frozenset[str] = frozenset()
    machine: Machine = AT_HAND


FROM_PYTHON: Final = Invocation()


@dataclasses.dataclass(frozen=True)
class Program:
    """A program as the launcher starts it.

    Attributes:
      name: of its folder in memgen_jax/programs and of its command.
      main: runs it, with the locked config, the path of the workdir and the invocation.
      summary: what it finds out, in a line or two of its --help.
      example: a config by its name, for the --help.
      dry_run: prints what a run would cost; None for a program without --dry_run.
      before_joining: for a program that --processes can share out; called with the config before the other
        processes are waited for. It may refuse the config, and may not use devices.
      lower: what to do where the memory does not suffice: "lower …".
    """

    name: str
    main: Callable[[ConfigDict, str, Invocation], None]
    summary: str = ""
    example: str = "digits"
    dry_run: Callable[[ConfigDict, Invocation], None] | None = None
    before_joining: Callable[[ConfigDict], None] | None = None
    lower: str = "a setting that says how many are done at once"


def start(name: str, argv: Sequence[str] | None = None, command: str = "") -> NoReturn:
    """Runs the program of that name with a command line, and leaves with its exit code.

    Args:
      argv: the arguments alone; None for those of this process.
      command: what was typed before them, for messages; None for `python -m experiments.NAME`.
    """
    # Before any program is imported: JAX reads the number of CPU devices when it starts.
    from memgen_jax.sweep.mesh import use_all_cpu_cores

    use_all_cpu_cores()
    command = command or f"python -m experiments.{name}"
    module = importlib.import_module(f"memgen_jax.programs.{name}.program")
    enter(module.PROGRAM, sys.argv[1:] if argv is None else argv, command)


def enter(program: Program, argv: Sequence[str], command: str = "") -> NoReturn:
    """Parses the arguments, runs the program and leaves the process with its exit code."""
    from memgen_jax.runs.interrupts import interrupt_at_once

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
    try:
        _run(program, line)
        code = exits.DONE
    except InputError as error:
        exits.tell(name, sentence(error, line.config))
        code = exits.MISTAKE
    except KeyboardInterrupt:
        exits.tell(name, f"interrupted; the same command continues from {line.workdir}.")
        code = exits.INTERRUPTED
    except Exception as error:
        if trouble := _disk_trouble(error, line.workdir) or _memory_trouble(error, program.lower):
            exits.tell(name, trouble)
            code = exits.MISTAKE
        else:
            ours = line.workdir and os.path.exists(os.path.join(line.workdir, "config.json"))
            code = exits.defect(name, error, line.workdir if ours else None)
    exits.leave(code, at_once=code != exits.DONE and _others_are_at_work())


class CommandLine(typing.NamedTuple):
    """The arguments, read: a locked config and the values of the flags."""

    config: ConfigDict
    workdir: str
    processes: str
    dry_run: bool
    invocation: Invocation


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
    program.main(line.config, line.workdir, line.invocation)


def define_flags(program: Program, values: flags.FlagValues) -> None:
    """The flags of the program, beside its settings."""
    flags.DEFINE_string(
        "workdir", None, "folder of the run; an interrupted run continues there", flag_values=values
    )
    if program.before_joining:
        text = "share the run with processes on other hosts: auto in a SLURM step, TPU pod or JobSet; or HOST:PORT,i/n"
        flags.DEFINE_string("processes", "", text, flag_values=values)
    if program.dry_run:
        flags.DEFINE_bool("dry_run", False, "print what the run would cost, and stop", flag_values=values)
        flags.DEFINE_integer(
            "devices",
            None,
            "dry run: count with so many devices, not the visible ones",
            1,
            flag_values=values,
        )
        text = "dry run: what one device really does (benchmarks/unet_step.py measures it)"
        flags.DEFINE_float("flops_per_second", None, text, 0.0, flag_values=values)
        text = "dry run: memory of one device, where JAX cannot tell"
        flags.DEFINE_float("device_memory_gb", None, text, 0.0, flag_values=values)
        text = "dry run: how many images a second a deadline asks for"
        flags.DEFINE_float("deadline_hours", None, text, 0.0, flag_values=values)


# The flags that are not settings of the config.
OWN_FLAGS: Final = ("config", "workdir", "processes", "dry_run", *Machine._fields)


def usage(program: Program, command: str) -> str:
    """The text of --help, one screen."""
    values = flags.FlagValues()
    define_flags(program, values)
    lines = [f"usage: {command} --config=NAME[:VARIANT] --workdir=DIR [options]", "", program.summary, ""]
    rows = [("config", "NAME[:VARIANT]", "the settings: a name of `memgen configs`, or a FILE.py")]
    rows += [("config.NAME", "VALUE", "another value for one setting, such as config.seed=1")]
    types = {"string": "", "bool": "", "int": "N", "float": "X"}
    placeholders = {"workdir": "DIR", "processes": "auto"}
    for name in values:
        value = placeholders.get(name, types.get(values[name].flag_type(), ""))
        rows.append((name, value, values[name].help.partition("\n")[0]))
    rows.append(("help", "", "this text"))
    for name, value, text in rows:
        flag = f"  --{name}{'=' if value else ''}{value}"
        words, first = text.split(), True
        while words:
            line = f"{flag if first else '':<26}"
            while words and len(line) + 1 + len(words[0]) <= 80:
                line += f" {words.pop(0)}"
            lines.append(line.rstrip())
            first = False
    lines += ["", f"For example: {command} --config={program.example}:smoke --workdir=runs/try"]
    return "\n".join(lines)


def read_command_line(program: Program, argv: Sequence[str], command: str = "") -> CommandLine:
    """The arguments as a locked config and the values of the flags.

    Raises:
      InputError: they make no sense.
    """
    values = flags.FlagValues()
    define_flags(program, values)
    argv = values.read_flags_from_files(list(argv), force_gnu=False)
    where, rest = _take_config(argv)
    if where is None:
        raise InputError(f"no --config given; for example --config={program.example}:smoke.")
    config = load_config(where)
    overrides = list(_overrides(rest))
    for name, given in overrides:
        _require_setting(config, name, given)
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=["", *rest])
        _, *left = values(["", *rest])
    except flags.IllegalFlagValueError as error:
        raise InputError(f"{_first_line(error)}.") from None
    except flags.Error as error:
        raise InputError(_first_line(error)) from None
    except (TypeError, ValueError) as error:
        raise InputError(f"--config: {_first_line(error)}") from None
    if left:
        raise InputError(f"unexpected argument {left[0]!r}: settings are given as --config.NAME=VALUE.")
    dry_run = bool(program.dry_run and values.dry_run)
    if not values.workdir and not dry_run:
        raise InputError(
            f"no --workdir given; name the folder for the results, for example --workdir=runs/{program.name}."
        )
    return CommandLine(
        values.config,
        values.workdir or "",
        values.processes if program.before_joining else "",
        dry_run,
        Invocation(
            shlex.join([*command.split(), *argv]),
            frozenset(name for name, _ in overrides),
            Machine(*(getattr(values, name) for name in Machine._fields)) if program.dry_run else AT_HAND,
        ),
    )


def _take_config(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The last value of --config, and the other arguments."""
    found, rest = None, []
    words = iter(argv)
    for word in words:
        if word in ("--config", "-config"):
            found = next(words, "")
        elif word.startswith(("--config=", "-config=")):
            found = word.partition("=")[2]
        else:
            rest.append(word)
    return found, rest


def _overrides(argv: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """(name, value) of every --config.NAME=VALUE; None for a value that is an argument of its own."""
    for word in argv:
        if match := re.match(r"--?(?:no)?config\.([^=]*)(?:=(.*))?$", word, re.DOTALL):
            yield match[1], match[2]


def _require_setting(config: ConfigDict, name: str, given: str | None) -> None:
    """Refuses an override of a setting that the config lacks, or of a group of them."""
    group: Any = config
    for part in (part.partition("[")[0] for part in name.split(".")):  # num_train[0] is an item of a tuple
        known = list(group) if isinstance(group, ConfigDict) else []
        if part not in known:
            close = difflib.get_close_matches(part, known, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(f"the config has no field {name!r}{hint}; see `memgen configs show`.")
        group = group[part]
    if isinstance(group, ConfigDict) and not (given or "").lstrip().startswith("{"):
        raise InputError(
            f"--config.{name} is a group of settings: name one of them, as in --config.{name}.NAME=VALUE."
        )


def load_config(where: str) -> ConfigDict:
    """The config NAME[:VARIANT] or FILE.py[:VARIANT], not locked yet.

    Raises:
      InputError: there is none, or it has no such variant.
    """
    path, _, variant = where.partition(":")
    file = path if path.endswith(".py") else _file_of(path)
    try:
        specification = importlib.util.spec_from_file_location("config_file", file)
        assert specification and specification.loader
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module.get_config(variant) if variant else module.get_config()
    except OSError:
        raise InputError(
            f"cannot read the config file of --config={where}: give the name or FILE.py of one that exists, "
            "with or without :VARIANT."
        ) from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"{_first_line(error)}.") from None
    except Exception as error:
        what = f"{type(error).__name__}: {_first_line(error)}"
        raise InputError(f"the config file of --config={where} does not work ({what}).") from None


def _file_of(name: str) -> str:
    """Where the config of that name lies."""
    import memgen_jax

    package = pathlib.Path(memgen_jax.__file__).parent
    for folder in (package / "configs", package.parent / "configs"):  # the wheel's, a checkout's
        if (folder / f"{name}.py").is_file():
            return os.fspath(folder / f"{name}.py")
    raise InputError(f"there is no config {name!r}; `memgen configs` lists those that there are.")


def sentence(error: InputError, config: ConfigDict | None = None) -> str:
    """What the library says of a setting, by the flag that gives it."""
    if not error.field or not error.allowed:
        return str(error)
    if error.field in OWN_FLAGS:
        name = error.field
    elif (path := _path_of(error, config)) is not None:
        name = f"config.{path}"
    else:
        return str(error)
    value = error.value
    plain = isinstance(value, str) and value and not value.isspace()
    return f"--{name}={value if plain else repr(value)} must be {error.allowed}."


def _path_of(error: InputError, config: ConfigDict | None) -> str | None:
    """The dotted name of the setting at fault in the config.

    A function of the library knows its own argument, not the group of the config that it came from: that is
    the one with this name and value, where there is a single one.
    """
    if config is None:
        return None
    leaves = dict(_leaves(config))
    if error.field in leaves:
        return error.field
    same = [
        path
        for path, value in leaves.items()
        if path.rpartition(".")[2] == error.field and value == error.value
    ]
    return same[0] if len(same) == 1 else None


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _others_are_at_work() -> bool:
    """Whether an ordinary exit would wait: for writers of checkpoints, or for processes that were joined."""
    from memgen_jax import runs

    return runs.checkpoints_are_open() or runs.place()[1] > 1


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
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO):
            reason = error.strerror or ""
            where = f" while writing {error.filename}" if error.filename else ""
    else:  # the writer of checkpoints raises errors of its own, with the system's words in their text
        said = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
        reason = next((words for words in said if words in str(error)), "")
    return reason and f"{reason}{where}: make room in {workdir}; the same command continues there."


def _memory_trouble(error: Exception, lower: str) -> str:
    """What to say where the memory of a device or of the host does not suffice; "" else."""
    import jax

    exhausted = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    if not (exhausted or isinstance(error, MemoryError)):
        return ""
    size = re.search(r"([\d,]{7,}) bytes", str(error))
    more = f" ({int(size[1].replace(',', '')) / 2**30:,.1f} GiB more were asked for)" if size else ""
    return f"out of memory{more}: lower {lower}."


def _first_line(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__


def settings(cls: type[Settings], config: ConfigDict | dict) -> Settings:
    """Turns a config into the frozen dataclass of the same shape, nested dataclasses included.

    A field left at None keeps the default of its setting.

    Raises:
      InputError: the config has a field that the settings lack, or lacks one that has no default.
    """
    hints = typing.get_type_hints(cls)
    known = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(config) - set(known))
    if unknown:
        raise InputError(f"config field {unknown[0]!r} is not a setting; there are {', '.join(known)}.")
    values = {}
    for name, field in known.items():
        if name not in config or config[name] is None:
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
                raise InputError(f"the config lacks the field {name!r}.")
            continue
        value = config[name]
        if dataclasses.is_dataclass(hints[name]):
            value = settings(hints[name], value)
        elif isinstance(value, ConfigDict):
            value = value.to_dict()
        elif isinstance(value, list) or (isinstance(value, tuple) and hints[name] is not tuple):
            value = tuple(value)
        values[name] = value
    return cls(**values)


def plain(config: ConfigDict) -> dict[str, Any]:
    """The config as nested dicts of JSON values, for `config.json`."""
    return config.to_dict()
