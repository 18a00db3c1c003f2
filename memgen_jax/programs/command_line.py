"""From arguments to a locked config and back: flags and settings in, mistakes told by their flags.

Flags are defined for one command line at a time, never by an import; nothing below the programs knows of them.
"""

import difflib
import re
import shlex
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from absl import flags
from ml_collections import ConfigDict, config_flags

from memgen_jax.errors import InputError
from memgen_jax.programs.configs import load_config, require_own
from memgen_jax.programs.program import AT_HAND, Invocation, Machine, Program
from memgen_jax.programs.settings import complete


class CommandLine(NamedTuple):
    """The arguments, read: a locked config and the values of the flags."""

    config: ConfigDict
    workdir: str
    processes: str
    deterministic: bool
    keep_compiled: bool
    dry_run: bool
    invocation: Invocation


def define_flags(program: Program, values: flags.FlagValues) -> None:
    """The flags of the program, beside its settings."""
    flags.DEFINE_string(
        "workdir", None, "folder of the run; an interrupted run continues there", flag_values=values
    )
    text = (
        "on a GPU, the same bytes from every run on the same kind of card: slower kernels, none of them tuned"
    )
    flags.DEFINE_bool("deterministic", False, text, flag_values=values)
    text = "--nokeep_compiled: compile all anew, and keep none"
    flags.DEFINE_bool("keep_compiled", True, text, flag_values=values)
    if program.before_joining:
        text = "share the run with processes on other hosts: auto in a SLURM step, TPU pod or JobSet; or HOST:PORT,i/n"
        flags.DEFINE_string("processes", "", text, flag_values=values)
    if program.dry_run:
        flags.DEFINE_bool("dry_run", False, "print what the run would cost, and stop", flag_values=values)
        flags.DEFINE_integer(
            "devices",
            None,
            "dry run: count with so many devices",
            1,
            flag_values=values,
        )
        text = "dry run: hosts that share the members, as with --processes"
        flags.DEFINE_integer("hosts", None, text, 1, flag_values=values)
        text = "dry run: what one device really does (benchmarks/unet_step.py measures it)"
        flags.DEFINE_float("flops_per_second", None, text, 0.0, flag_values=values)
        text = "dry run: memory of one device, where JAX cannot tell"
        flags.DEFINE_float("device_memory_gb", None, text, 0.0, flag_values=values)
        text = "dry run: how many images a second a deadline asks for"
        flags.DEFINE_float("deadline_hours", None, text, 0.0, flag_values=values)


# The flags that are not settings of the config.
_KINDS: Final[dict[type, tuple[flags.ArgumentParser, str]]] = {
    int: (flags.IntegerParser(), "a whole number"),
    float: (flags.FloatParser(), "a number"),
    bool: (flags.BooleanParser(), "true or false"),
}
OWN_FLAGS: Final = (
    *("config", "workdir", "processes", "deterministic", "keep_compiled", "dry_run"),
    *Machine._fields,
)


def usage(program: Program, command: str) -> str:
    """The text of --help, one screen."""
    values = flags.FlagValues()
    define_flags(program, values)
    lines = [
        f"usage: {command} --config=NAME[:VARIANT] --workdir=DIR [options]",
        "",
        *textwrap.wrap(program.summary, 80),
        "",
    ]
    rows = [("config", "NAME[:VARIANT]", "settings: one of `memgen configs`, or a FILE.py")]
    rows += [("config.NAME", "VALUE", "another value for a setting: --config.seed=1")]
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
    _refuse_repeated(argv, values)
    argv = values.read_flags_from_files(list(argv), force_gnu=False)
    where, rest = _take_config(argv)
    if where is None:
        raise InputError(f"no --config given; for example --config={program.example}:smoke.")
    config = load_config(where)
    require_own(config, where, program.name)
    overrides = list(_overrides(rest))
    try:
        if (settings := program.settings_of(config)) is not None:
            complete(settings, config, {name: value for name, value in overrides if value})
    except InputError as error:
        raise InputError(sentence(error, config)) from None
    for name, given in overrides:
        _require_setting(config, name, given)
    rest = [_with_whole_number(config, word) for word in rest]
    try:
        config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=["", *rest])
        _, *left = values(["", *rest])
    except flags.UnrecognizedFlagError as error:
        close = difflib.get_close_matches(error.flagname, list(values), 1)
        hint = f" (did you mean --{close[0]}?)" if close else ""
        raise InputError(f"there is no flag --{error.flagname}{hint}; see --help.") from None
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
        values.deterministic,
        values.keep_compiled,
        dry_run,
        Invocation(
            shlex.join([*command.split(), *argv]),
            frozenset(name for name, _ in overrides),
            Machine(*(getattr(values, name) for name in Machine._fields)) if program.dry_run else AT_HAND,
        ),
    )


def _refuse_repeated(argv: Sequence[str], values: flags.FlagValues) -> None:
    """Refuses a flag that the line, or one --flagfile, gives twice, of which the first would go unheard.

    The line may give one of a file again: a file is for many lines.
    """
    _refuse_twice(argv, values, "")
    for place, word in enumerate(argv):
        flag, _, file = word.partition("=")
        if flag in ("--flagfile", "-flagfile"):
            file = file or " ".join(argv[place + 1 : place + 2])
            there = values.read_flags_from_files([f"--flagfile={file}"], force_gnu=False)
            _refuse_twice(there, values, f" in {file}")


def _refuse_twice(argv: Sequence[str], values: flags.FlagValues, where: str) -> None:
    seen: set[str] = set()
    for word in argv:
        name = re.sub(r"^--?", "", word.partition("=")[0]) if word.startswith("-") else ""
        bare = name.removeprefix("no")
        name = bare if bare in values or bare.startswith("config.") else name
        if name in seen:
            raise InputError(f"--{name} is given twice{where}: give it once.")
        if name == "config" or name.startswith("config.") or name in values:
            seen.add(name)


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


def _with_whole_number(config: ConfigDict, word: str) -> str:
    """--config.train.num_steps=2e3 as --config.train.num_steps=2000, which flags of whole numbers understand."""
    flag, equals, given = word.partition("=")
    match = re.match(r"--?config\.(.*)$", flag)
    if match and equals and _kind_of(config, match[1]) is int:
        return f"{flag}={_whole(given)}"
    return word


def _whole(given: str) -> str:
    """2.0 and 2e3 as 2 and 2000; anything else as it is."""
    try:
        number = float(given)
    except ValueError:
        return given
    return str(int(number)) if number.is_integer() else given


def _kind_of(config: ConfigDict, name: str) -> type | None:
    group, _, leaf = name.rpartition(".")
    found: Any = config
    for part in group.split(".") if group else ():
        found = found.get(part) if isinstance(found, ConfigDict) else None
    return found.get_type(leaf) if isinstance(found, ConfigDict) and leaf in found else None


def _require_setting(config: ConfigDict, name: str, given: str | None) -> None:
    """Refuses an override of what is no setting, or by what the setting cannot be."""
    found: Any = config
    for part in (part.partition("[")[0] for part in name.split(".")):  # num_train[0] is an item of a tuple
        known = list(found) if isinstance(found, ConfigDict) else []
        if part not in known:
            close = difflib.get_close_matches(part, known, 1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise InputError(f"the config has no field {name!r}{hint}; see `memgen configs show`.")
        kind = found.get_type(part)
        found = found[part]
    if isinstance(found, ConfigDict) and not (given or "").lstrip().startswith("{"):
        raise InputError(
            f"--config.{name} is a group of settings: name one of them, as in --config.{name}.NAME=VALUE."
        )
    parser, words = _KINDS.get(kind, (None, ""))
    if parser and given is not None:
        try:
            parser.parse(_whole(given) if kind is int else given)
        except (TypeError, ValueError):
            raise InputError(f"--config.{name}={given} must be {words}.") from None


def sentence(error: InputError, config: ConfigDict | None = None) -> str:
    """What the library says, every setting called by its flag.

    Settings of the config that the words name outright, such as "phases.rule='given' needs phases.delta_m", too.
    """

    def flag_of(setting: str) -> str:
        if setting in OWN_FLAGS:
            return f"--{setting}"
        path = _path_of(setting, error.value, config)
        return f"--config.{path}" if path else setting

    told = error.named(flag_of)
    leaves = dict(_leaves(config)) if config is not None else {}

    def flagged(match: re.Match) -> str:
        name, given = match[0], told[match.end() : match.end() + 1] == "="
        return f"--config.{name}" if name in leaves and ("." in name or given) else name

    return re.sub(r"(?<![\w.\-/'\"])[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", flagged, told)


def _path_of(setting: str, value: Any, config: ConfigDict | None) -> str:
    """The dotted name in the config of a setting that was given `value`; "" where it cannot be told.

    A function of the library knows its own argument, not the group of the config that it came from: that is
    the one with this name and value, where there is a single one.
    """
    leaves = dict(_leaves(config)) if config is not None else {}
    if setting in leaves:
        return setting
    same = [
        path
        for path, there in leaves.items()
        if path.rpartition(".")[2] == setting and repr(value) in (repr(there), *map(repr, _items(there)))
    ]
    return same[0] if len(same) == 1 else ""


def _items(value: Any) -> Sequence[Any]:
    return value if isinstance(value, tuple | list) else ()


def _leaves(config: ConfigDict, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in config.items():
        if isinstance(value, ConfigDict):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _first_line(error: BaseException) -> str:
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
