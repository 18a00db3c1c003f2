"""The way into every program: flags in, frozen settings out, mistakes as one sentence.

A program defines `main(config, workdir_path)` and ends with `launcher.enter(main)`. Exit codes: 0 done, 2 a
user's mistake (one line on stderr), 130 interrupted.
"""

import dataclasses
import errno
import os
import re
import signal
import sys
import threading
import typing
from collections.abc import Callable
from typing import Any, TypeVar

import jax
from absl import app, flags
from absl import logging as absl_logging
from ml_collections import ConfigDict, config_flags

from memgen_jax.errors import InputError
from memgen_jax.runs.processes import join
from memgen_jax.sweep.mesh import use_all_cpu_cores

Settings = TypeVar("Settings")

_CONFIG = config_flags.DEFINE_config_file("config", None, "The settings: FILE.py or FILE.py:VARIANT.")
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run; an interrupted run continues there.")
_PROCESSES = flags.DEFINE_string(
    "processes",
    "",
    "Share the run with processes on other hosts: auto in a SLURM step, TPU pod or JobSet; or HOST:PORT,i/n.",
)
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Print what the run would cost, and stop.")


def enter(
    main: Callable[[ConfigDict, str], None],
    dry_run: Callable[[ConfigDict], None] | None = None,
    before_joining: Callable[[ConfigDict], None] | None = None,
    lower: str = "a setting that says how many are done at once",
):
    """Parses the command line and runs the program; see the module's text for exit codes.

    Args:
      main: called with the locked config and the workdir's path.
      dry_run: called with the config alone when `--dry_run` is given.
      before_joining: for a program that `--processes` can share out; called with the config before the others
        are waited for. It may refuse the config, and may not use devices.
      lower: what to do where the memory does not suffice: "lower …".
    """
    use_all_cpu_cores()
    # Orbax tells every step of every save, and each error as well as raising it.
    absl_logging.set_verbosity(absl_logging.FATAL)
    _silence_background_threads()
    signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    app.run(lambda _: _guarded(main, dry_run, before_joining, lower), flags_parser=_parse)


def _guarded(main, dry_run, before_joining, lower: str) -> None:
    try:
        if _DRY_RUN.value:
            if dry_run is None:
                raise InputError("this program has no --dry_run.")
            dry_run(_CONFIG.value)
        else:
            if _PROCESSES.value:
                if before_joining is None:
                    raise InputError("this program has no --processes.")
                before_joining(_CONFIG.value)
                print("Waiting for the other processes, at most five minutes.", flush=True)
            join(_PROCESSES.value)
            main(_CONFIG.value, _WORKDIR.value)
    except InputError as error:
        _stop(error.named(lambda setting: f"--config.{setting}"))
    except KeyboardInterrupt:
        sys.stdout.flush()
        print(f"\nInterrupted; the same command continues from {_WORKDIR.value}.", file=sys.stderr)
        os._exit(130)  # background writers hold nothing that a restart does not redo
    except Exception as error:
        sentence = _disk_trouble(error) or _memory_trouble(error, lower)
        if not sentence:
            raise
        _stop(sentence)


def _silence_background_threads() -> None:
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


def _disk_trouble(error: Exception) -> str:
    """What to say of a disk that is full or cannot be written; "" where that is not the trouble."""
    where, reason = "", ""
    if isinstance(error, OSError):
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO):
            reason = error.strerror or ""
            where = f" while writing {error.filename}" if error.filename else ""
    else:  # the writer of checkpoints raises errors of its own, with the system's words in their text
        said = (os.strerror(number) for number in (errno.ENOSPC, errno.EDQUOT))
        reason = next((words for words in said if words in str(error)), "")
    return reason and f"{reason}{where}: make room in {_WORKDIR.value}; the same command continues there."


def _memory_trouble(error: Exception, lower: str) -> str:
    """What to say where the memory of a device or of the host does not suffice; "" else."""
    exhausted = isinstance(error, jax.errors.JaxRuntimeError) and "RESOURCE_EXHAUSTED" in str(error)
    if not (exhausted or isinstance(error, MemoryError)):
        return ""
    size = re.search(r"([\d,]{7,}) bytes", str(error))
    more = f" ({int(size[1].replace(',', '')) / 2**30:,.1f} GiB more were asked for)" if size else ""
    return f"out of memory{more}: lower {lower}."


def _parse(argv: list[str]) -> list[str]:
    """absl's parser, with every mistake as one sentence."""
    try:
        rest = flags.FLAGS(argv)
    except flags.Error as error:
        _stop(_innermost_line(error))
    except (AttributeError, KeyError) as error:
        _stop(f"the config has no field {_unknown_field(error)}.")
    except (OSError, ImportError) as error:
        _stop(f"cannot read the config file: {_first_line(error)}.")
    except (ValueError, TypeError) as error:
        _stop(f"--config: {_first_line(error)}")
    try:
        list(_CONFIG.value or ())  # a config file that could not be loaded complains only when it is used
    except OSError:
        given = next((word for word in argv if word.lstrip("-").startswith("config=")), "--config")
        _stop(f"cannot read the config file of {given}: give a FILE.py or FILE.py:VARIANT that exists.")
    if _CONFIG.value is None:
        _stop("no --config given; for example --config=configs/digits.py.")
    if not _WORKDIR.value and not _DRY_RUN.value:
        _stop("no --workdir given; name the folder for the results, for example --workdir=runs/digits.")
    if len(rest) > 1:
        _stop(f"unexpected argument {rest[1]!r}: settings are given as --config.NAME=VALUE.")
    return rest


def _unknown_field(error: BaseException) -> str:
    """What ml_collections says of an unknown field, without its nested quotes and second line."""
    text = str(error)
    name, hint = re.search(r"\w+", text), re.search(r'Did you mean \\?"(\w+)', text)
    return repr(name[0] if name else text) + (f" (did you mean {hint[1]!r}?)" if hint else "")


def _first_line(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _innermost_line(error: BaseException) -> str:
    """One sentence on a flag; what a config file's own code raised comes wrapped in a traceback."""
    group = re.match(r"flag --(\S+)=.* as a ConfigDict: ", str(error))
    if group:
        return f"--{group[1]} is a group: name one of its settings, as in --{group[1]}.NAME=VALUE."
    lines = str(error).strip().splitlines()
    wrapped = any(line.startswith("Traceback") for line in lines)
    return lines[-1].partition(": ")[2] if wrapped else lines[0]


def _stop(sentence: str) -> typing.NoReturn:
    print(f"memgen_jax: {sentence}", file=sys.stderr)
    sys.stderr.flush()
    sys.stdout.flush()
    os._exit(2)  # without waiting for background writers: a full disk would make them raise again


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


def given_settings() -> frozenset[str]:
    """Names of the settings that the command line itself gives, such as "train.num_steps"."""
    if not flags.FLAGS.is_parsed():
        return frozenset()
    return frozenset(config_flags.get_override_values(flags.FLAGS[_CONFIG.name]))


def plain(config: ConfigDict) -> dict[str, Any]:
    """The config as nested dicts of JSON values, for `config.json`."""
    return config.to_dict()
