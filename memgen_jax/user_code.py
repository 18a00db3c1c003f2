"""A function in a file of the user's own, named FILE.py:FUNCTION: a network, a process, a metric or a data set."""

import ast
import functools
import hashlib
import importlib.util
import inspect
import io
import os
import re
import sys
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import expanded

# Values that a config can hold, and a flag can give.
PLAIN = (bool, int, float, str, tuple, list, type(None))


class UserFunction(NamedTuple):
    """A user's function, loaded.

    Attributes:
      where: FILE.py:FUNCTION with the file's whole path, so that it is found from another folder too.
      call: the function.
      code: SHA-256 of the file, and of the files beside it that it imports: what the function does; see `code_of`.
      arguments: its keyword arguments and their defaults, without what the program gives it.
    """

    where: str
    call: Callable[..., Any]
    code: str
    arguments: dict[str, Any]

    def make(self, field: str, kinds: tuple[type, ...], wanted: str, *given: Any, **arguments: Any) -> Any:
        """What the function makes of the program's arguments and the keyword arguments.

        Args:
          field: the setting that has the function's name, for the sentence.
          kinds: what it may be, and `wanted` that in words.
        Raises:
          InputError: there is no such keyword, the function fails, or it makes something else.
        """
        unknown = ", ".join(sorted(arguments.keys() - self.arguments.keys()))
        if unknown:
            there = ", ".join(self.arguments) or "none"
            raise InputError(
                f"{FIELD[0]}={self.where}: the function has no argument {unknown}; there are {there}.", field
            )
        try:
            made = self.call(*given, **arguments)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever the user's code does when it is run
            raise InputError(f"{FIELD[0]}={self.where} does not work ({reason_of(error)}).", field) from error
        if not isinstance(made, kinds):
            raise InputError(
                f"{FIELD[0]}={self.where} gives a {type(made).__name__}, and must give {wanted}.", field
            )
        return made


def reason_of(error: BaseException) -> str:
    """The kind of an exception and the first line of what it says."""
    text = str(error).strip().partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def is_user_function(name: str) -> bool:
    """Whether a name is FILE.py:FUNCTION."""
    return re.search(r"\.py:", name) is not None


def load_function(name: str, given: int, field: str) -> UserFunction:
    """Loads FILE.py:FUNCTION.

    Args:
      name: the file, relative to the current folder or whole, and the function in it.
      given: how many arguments the program gives, the first ones of the function; the others need defaults.
      field: the setting that has the name, for the sentence.
    Raises:
      InputError: there is no such file or function, its code fails, or an argument has no plain default.
    """
    place, _, function_name = name.rpartition(":")
    path = Path(os.path.abspath(expanded(place)))
    if not path.is_file():
        raise InputError(f"{FIELD[0]}={name!r}: there is no file {path}.", field)
    module = _run(path, field)
    call = getattr(module, function_name, None)
    if not callable(call):
        there = ", ".join(n for n, value in vars(module).items() if inspect.isfunction(value)) or "none"
        raise InputError(
            f"{FIELD[0]}={name!r}: {path.name} has no function {function_name!r}; there are {there}.", field
        )
    parameters = list(inspect.signature(call).parameters.values())
    own = [p for p in parameters[given:] if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    if len(parameters) < given:
        raise InputError(
            f"{FIELD[0]}={name!r}: the function is given {given} argument, and it takes {len(parameters)}.",
            field,
        )
    for parameter in own:
        if parameter.default is parameter.empty:
            raise InputError(
                f"{FIELD[0]}={name!r}: its argument {parameter.name!r} needs a default; the config may give another "
                "value.",
                field,
            )
        if not isinstance(parameter.default, PLAIN):
            raise InputError(
                f"{FIELD[0]}={name!r}: the default of {parameter.name!r} is a {type(parameter.default).__name__}, "
                "and a config holds numbers, strings, true or false, and tuples of them.",
                field,
            )
    arguments = {parameter.name: parameter.default for parameter in own}
    return UserFunction(f"{path}:{function_name}", call, code_of(path), arguments)


def split_call(name: str, field: str) -> tuple[str, dict[str, Any]]:
    """FILE.py:FUNCTION(width=3, mode="x") as its name and the arguments; without brackets there are none.

    Raises:
      InputError: what stands in the brackets is no list of keywords with plain values.
    """
    function, bracket, rest = name.partition("(")
    if not bracket:
        return name, {}
    try:
        call = ast.parse(f"f({rest}", mode="eval").body
        assert isinstance(call, ast.Call) and not call.args and all(k.arg for k in call.keywords)
        return function, {str(k.arg): ast.literal_eval(k.value) for k in call.keywords}
    except (SyntaxError, ValueError, AssertionError):
        raise InputError(
            f"{FIELD[0]}={name!r}: in brackets stand keywords with plain values, as in (width=3).", field
        ) from None


def code_of(path: Path) -> str:
    """SHA-256 of a Python file and of those in its folder that it imports, one after another.

    Of their text without comments, docstrings and empty lines, which change nothing that the code does; not of the
    parsed code, which another Python parses otherwise.
    """
    digest = hashlib.sha256()
    for file in sorted(_with_neighbours(path)):
        digest.update(file.name.encode() + b"\0" + _without_remarks(file.read_bytes()).encode() + b"\0")
    return digest.hexdigest()


def _without_remarks(source: bytes) -> str:
    """The text of Python code without comments, docstrings, empty lines and blanks at the ends of lines."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    lines = [
        line.encode() for line in io.StringIO(source.decode(encoding), newline=None)
    ]  # columns of ast are bytes
    cuts: list[tuple[int, int, int, int | None]] = [
        (
            token.start[0],
            len(lines[token.start[0] - 1].decode()[: token.start[1]].encode()),
            token.end[0],
            None,
        )
        for token in tokenize.tokenize(io.BytesIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            value = first.value if isinstance(first, ast.Expr) else None
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                cuts.append((value.lineno, value.col_offset, value.end_lineno or 0, value.end_col_offset))
    for first_line, start, last_line, end in sorted(cuts, reverse=True):
        rest = b"" if end is None else lines[last_line - 1][end:]
        lines[first_line - 1 : last_line] = [lines[first_line - 1][:start] + rest]
    return "\n".join(text for line in lines if (text := line.decode().rstrip()))


def _with_neighbours(path: Path) -> set[Path]:
    found, open_files = {path}, [path]
    while open_files:
        for name in _imported(open_files.pop()):
            for candidate in (path.parent / f"{name}.py", path.parent / name / "__init__.py"):
                if candidate.is_file() and candidate not in found:
                    found.add(candidate)
                    open_files.append(candidate)
    return found


def _imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _run(path: Path, field: str) -> Any:
    try:
        return _module(path, path.stat().st_mtime_ns)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's code does when it is run
        raise InputError(
            f"the code of {FIELD[0]}={path} does not work ({reason_of(error)}).", field
        ) from error


@functools.cache
def _module(path: Path, changed: int) -> Any:
    """Runs a file once; one that changed meanwhile is run again."""
    name = f"memgen_user_code_{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}_{changed}"
    specification = importlib.util.spec_from_file_location(name, path)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module  # dataclasses and Flax look their module up
    sys.path.insert(0, str(path.parent))  # as `python FILE.py` does
    try:
        specification.loader.exec_module(module)
    finally:
        sys.path.remove(str(path.parent))
    return module
