"""Configs by name or by path: `memgen configs` lists them, shows one, copies one.

A config is a Python file with `get_config(variant)`; the project's own lie in `configs/` of a checkout and in
`memgen_jax/configs` of an installation.
"""

import ast
import dataclasses
import difflib
import importlib
import importlib.util
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from etils import epath
from ml_collections import ConfigDict

from memgen_jax.errors import InputError
from memgen_jax.files import expanded, write_whole
from memgen_jax.programs.exits import OneLineParser

NOT_CONFIGS = ("__init__", "parts", "paper")
PROGRAMS = ("transition", "circle", "geometry", "onset")


def load_config(where: str) -> ConfigDict:
    """The config NAME[:VARIANT] or FILE.py[:VARIANT], not locked yet; it states what differs from defaults.

    Raises:
      InputError: there is none, it has no such variant, or its own code fails.
    """
    name, _, variant = where.partition(":")
    file = expanded(name) if name.endswith(".py") else file_of(name)
    try:
        specification = importlib.util.spec_from_file_location("config_file", file)
        assert specification and specification.loader
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module.get_config(variant) if variant else module.get_config()
    except FileNotFoundError:
        raise InputError(
            f"cannot read the config file of --config={where}: give the name or FILE.py of one that exists, "
            "with or without :VARIANT."
        ) from None
    except InputError:
        raise
    except ValueError as error:
        raise InputError(f"--config={where}: {_first_line(error)}.") from None
    except Exception as error:
        what = f"{type(error).__name__}: {_first_line(error)}"
        raise InputError(f"the config file of --config={where} does not work ({what}).") from None


def folder() -> pathlib.Path:
    """Where the project's configs lie."""
    package = pathlib.Path(__file__).parent.parent
    places = (package / "configs", package.parent / "configs")  # an installation's, a checkout's
    return next(place for place in places if (place / "parts.py").is_file())


def names() -> list[str]:
    """The project's configs."""
    files = sorted(folder().glob("*.py"))
    return [file.stem for file in files if file.stem not in NOT_CONFIGS]


def file_of(name: str) -> pathlib.Path:
    """The file of one of the project's configs.

    Raises:
      InputError: there is no such config.
    """
    if name in names():
        return folder() / f"{name}.py"
    close = difflib.get_close_matches(name, names(), 1)
    hint = f" (did you mean {close[0]}?)" if close else ""
    raise InputError(f"there is no config {name!r}{hint}; there are {', '.join(names())}.")


def program_of(config: ConfigDict) -> Any:
    """The program that a config is for: the first to whose settings it belongs.

    Raises:
      InputError: it belongs to none.
    """
    from memgen_jax.programs.settings import settings_from

    for name in PROGRAMS:
        program = importlib.import_module(f"memgen_jax.programs.{name}.program").PROGRAM
        try:
            settings_from(program.settings_of(config), config)
        except InputError:
            continue
        return program
    raise InputError(f"the config has not the settings of any program ({', '.join(PROGRAMS)}).")


def require_transition_run(folder: epath.PathLike) -> None:
    """Refuses, by its program's name, what another program of ours left in a folder.

    Raises:
      InputError: it did not come from memgen transition; nothing is said of a folder that no program of ours wrote.
    """
    place, name = epath.Path(folder), ""
    try:
        name = program_of(ConfigDict(json.loads((place / "config.json").read_text()))).name
    except (OSError, TypeError, ValueError):  # no run, or one of a program without a config
        written = {"summary.json": "audit", "compare.json": "compare"}
        name = next((program for file, program in written.items() if (place / file).exists()), "")
    if name not in ("", "transition"):
        raise InputError(f"{folder} is a run of memgen {name}, and one of memgen transition is wanted.")


def require_own(config: ConfigDict, where: str, name: str) -> None:
    """Refuses, by its program's name, a config that is for another one.

    Args:
      where: what was given as --config, for the sentence.
      name: of the program that was started.
    Raises:
      InputError: the config does not belong to the program, and belongs to another.
    """
    if name not in PROGRAMS or _fits(name, config):
        return
    others = [other for other in PROGRAMS if _fits(other, config)]
    if not others and not _fits(name, config, by_names=True):  # one with a mistake in it
        others = [other for other in PROGRAMS if _fits(other, config, by_names=True)]
    if others:
        other = others[0]
        raise InputError(
            f"--config={where} is a config of memgen {other}, and this is memgen {name}: give another config, or "
            f"start memgen {other}."
        )


def _fits(name: str, config: ConfigDict, *, by_names: bool = False) -> bool:
    """Whether a config has the settings of a program, or at least no other groups and settings on top."""
    from memgen_jax.programs.settings import settings_from

    program = importlib.import_module(f"memgen_jax.programs.{name}.program").PROGRAM
    try:
        settings = program.settings_of(config)
        if by_names:
            return set(config) <= {field.name for field in dataclasses.fields(settings)}
        settings_from(settings, config)
    except (TypeError, ValueError):
        return False
    return True


def list_configs() -> str:
    """A line a config: its name and what it is."""
    width = max(map(len, names()))
    lines = []
    for name in names():
        text = ast.get_docstring(ast.parse(file_of(name).read_text())) or ""
        lines.append(f"{name:<{width}}  {text.partition(chr(10))[0]}")
    return "\n".join(lines)


def show(where: str) -> str:
    """The config's text, and every setting with its value, those that differ from the default marked."""
    from memgen_jax.programs.settings import flat, settings_from

    config = load_config(where)
    program = program_of(config)
    settings: Any = settings_from(program.settings_of(config), config)
    rows = [(name, value, default) for name, value, default in flat(settings)]
    width = max(len(name) for name, _, _ in rows)
    lines = [f"memgen {program.name} --config={where} --workdir=DIR", ""]
    for name, value, default in rows:
        if default is dataclasses.MISSING:
            mark = "  *"
        else:
            mark = "" if value == default else f"  * default {default!r}"
        lines.append(f"{name:<{width}}  {value!r}{mark}")
    return "\n".join([*lines, "", "* differs from its default, or has none"])


def copy(name: str, to: str = ".") -> pathlib.Path:
    """Writes an editable copy of a config, which runs from wherever it lies.

    Args:
      to: a folder, made where missing, or a file that does not exist yet.
    Returns:
      The file written.
    Raises:
      InputError: there is no such config, or the file exists.
      OSError: the file cannot be written; then there is none.
    """
    source = file_of(name)
    target = expanded(to)
    if target.suffix != ".py":
        target = target / source.name
    if target.exists():
        raise InputError(f"{target} exists; name another file or folder.")
    write_whole(target, source.read_bytes())
    return target


def main(argv: Sequence[str]) -> None:
    """`memgen configs [show NAME[:VARIANT] | copy NAME [DIR]]`."""
    parser = OneLineParser(prog="memgen configs", description="The configs that programs can be given.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    one = commands.add_parser("show", help="every setting of one with its value")
    one.add_argument("name", metavar="NAME[:VARIANT]", help="a name of the list, or a FILE.py")
    one = commands.add_parser("copy", help="an editable copy of one")
    one.add_argument("name", metavar="NAME")
    one.add_argument("to", metavar="DIR", nargs="?", default=".", help="folder or FILE.py (here)")
    given = parser.parse_args(argv)
    if given.command == "show":
        print(show(given.name))
    elif given.command == "copy":
        print(f"Written: {copy(given.name, given.to)}")
    else:
        print(list_configs())


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return text.splitlines()[0].rstrip(".") if text else type(error).__name__
