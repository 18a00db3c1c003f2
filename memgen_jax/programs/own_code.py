"""Settings of what a user's own function makes: its keyword arguments are settings, its code is part of a run.

`model.name`, `process.name` and `data.name` may be FILE.py:FUNCTION.
"""

import dataclasses
from typing import Any, TypeVar

from memgen_jax import user_code
from memgen_jax.errors import FIELD, InputError

Base = TypeVar("Base")

RESERVED = ("name", "code")


def settings_of_function(base: type[Base], name: str, given: int, field: str) -> type[Base]:
    """A subclass of `base`, settings with `name` and `code`, that has the function's keyword arguments as fields too.

    Args:
      base: with `name`, `code` and the method `check_code`; see `OwnCode`.
      name: FILE.py:FUNCTION.
      given: how many arguments the program gives the function.
      field: the setting that has the name ("model.name").
    Raises:
      InputError: there is no such function, or an argument cannot be a setting.
    """
    function = user_code.load_function(name, given, field)
    known = {f.name for f in dataclasses.fields(base)}  # type: ignore[arg-type]
    taken = ", ".join(sorted(function.arguments.keys() & known))
    if taken:
        raise InputError(
            f"{FIELD[0]}={name!r}: an argument cannot be called {taken}, a setting's own name.", field
        )
    arguments: list[Any] = [
        (argument, _hint(default), dataclasses.field(default=_frozen(default), kw_only=True))
        for argument, default in function.arguments.items()
    ]
    own: list[Any] = [
        ("name", str, dataclasses.field(default=function.where)),
        ("code", str, dataclasses.field(default=function.code, kw_only=True)),
    ]
    namespace = {"function": function, "setting": field, "__doc__": base.__doc__}
    return dataclasses.make_dataclass(
        base.__name__, [*own, *arguments], bases=(base,), frozen=True, namespace=namespace
    )


class OwnCode:
    """What settings of a user's function share; mixed into a frozen dataclass with `name` and `code`."""

    name: str
    code: str
    function: user_code.UserFunction
    setting: str

    def check_code(self) -> None:
        """Puts the file's whole path in the name, and refuses a recorded code that the file no longer has."""
        object.__setattr__(self, "name", self.function.where)
        if self.code != self.function.code:
            raise InputError(
                f"{FIELD[0]}={self.name}: the file has changed since this run was made; bring it back as it was, or "
                "run in a new workdir.",
                self.setting,
            )

    def make(self, kinds: tuple[type, ...], wanted: str, *given: Any) -> Any:
        """What the function makes of the program's arguments and the settings; see `UserFunction.make`."""
        arguments = {name: getattr(self, name) for name in self.function.arguments}
        return self.function.make(self.setting, kinds, wanted, *given, **arguments)


def _hint(default: Any) -> Any:
    return str | None if default is None else tuple if isinstance(default, list) else type(default)


def _frozen(default: Any) -> Any:
    return tuple(default) if isinstance(default, list) else default
