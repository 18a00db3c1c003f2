"""From a config to frozen settings and back: a config states what differs, dataclasses hold the rest.

A setting whose type is a union of dataclasses (`MLPSettings | UNetSettings`) is one of several things told apart
by its field `name`, of which each class has its own default. A class with `for_function` takes the names
FILE.py:FUNCTION, and its settings are those of that function.
"""

import dataclasses
import json
import typing
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Any, TypeVar

from ml_collections import ConfigDict, config_dict

from memgen_jax.errors import FIELD, InputError
from memgen_jax.user_code import is_user_function

Settings = TypeVar("Settings")


def settings_from(cls: type[Settings], config: ConfigDict | Mapping[str, Any], group: str = "") -> Settings:
    """The frozen dataclass of a config, nested ones included.

    A field that is absent or None keeps its default.

    Args:
      group: where the config stands in the whole one, "train.".
    Raises:
      InputError: the config has a field that the settings lack, or lacks one that has no default.
    """
    hints, known = typing.get_type_hints(cls), _fields(cls)
    for name in config:
        if name not in known:
            raise _unknown(cls, f"{group}{name}", list(known))
    values = {}
    for name, field in known.items():
        value = config.get(name)
        if value is None:
            if default_of(field) is dataclasses.MISSING:
                raise InputError(f"the config lacks the field {FIELD[0]}.", f"{group}{name}")
            continue
        kinds = kinds_of(hints[name])
        if kinds:
            value = settings_from(chosen(kinds, value, f"{group}{name}."), value, f"{group}{name}.")
        elif isinstance(value, list | tuple):
            value = _tuple(value)
        values[name] = value
    return cls(**values)


def complete(cls: type, config: ConfigDict, names: Mapping[str, str] | None = None, group: str = "") -> None:
    """Adds to a config, in place, every setting that it leaves at its default, so that a flag finds it.

    Args:
      names: dotted `name` fields that the command line gives ("process.name"): whose settings to add.
    Raises:
      InputError: a group has a name that it cannot have.
    """
    hints = typing.get_type_hints(cls)
    for name, field in _fields(cls).items():
        kinds, path = kinds_of(hints[name]), f"{group}{name}"
        if kinds:
            own = config.get(name)
            if own is None:
                own = config[name] = ConfigDict()
            given = (names or {}).get(f"{path}.name")
            if given is not None and given != own.get("name"):
                own["name"] = given
                if is_user_function(given):  # what the config says of another thing is none of its arguments
                    _keep_only(own, chosen(kinds, own, f"{path}."))
            complete(chosen(kinds, own, f"{path}."), own, names, f"{path}.")
        elif config.get(name) is None:
            default = default_of(field)
            if default is None:
                config[name] = config_dict.placeholder(_one_type(hints[name]))
            elif default is not dataclasses.MISSING:
                config[name] = default


def chosen(kinds: tuple[type, ...], config: ConfigDict | Mapping[str, Any], group: str) -> type:
    """Of several classes the one with the config's `name`; the first where it has none."""
    name = config.get("name")
    of_files = [kind for kind in kinds if hasattr(kind, "for_function")]
    if of_files and isinstance(name, str) and is_user_function(name):
        return of_files[0].for_function(name)  # type: ignore[attr-defined]
    kinds = tuple(kind for kind in kinds if kind not in of_files)
    if len(kinds) == 1:
        return kinds[0]
    by_name = {default_of(_fields(kind)["name"]): kind for kind in kinds}
    name = name if name is not None else next(iter(by_name))
    if name not in by_name:
        others = " or FILE.py:FUNCTION" if of_files else ""
        raise InputError.setting(f"{group}name", name, f"one of {', '.join(by_name)}{others}")
    return by_name[name]


def _keep_only(config: ConfigDict, cls: Any) -> None:
    """Takes out, in place, what are no settings of every function of this kind."""
    common = {
        field.name
        for base in cls.__mro__[1:]
        if dataclasses.is_dataclass(base)
        for field in dataclasses.fields(base)
    }
    for name in [name for name in config if name not in common]:
        del config[name]


def plain(settings: Any) -> dict[str, Any]:
    """Settings as nested dicts of JSON values, for `config.json`."""
    return json.loads(json.dumps(dataclasses.asdict(settings)))


def flat(settings: Any, group: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(dotted name, value, default) of every setting; the default is MISSING where there is none."""
    for name, field in _fields(type(settings)).items():
        value = getattr(settings, name)
        if dataclasses.is_dataclass(value):
            yield from flat(value, f"{group}{name}.")
        else:
            yield f"{group}{name}", value, default_of(field)


def _unknown(cls: type, field: str, known: list[str]) -> InputError:
    group, _, name = field.rpartition(".")
    if "name" in known:
        own = default_of(_fields(cls)["name"])
        others = ", ".join(other for other in known if other != "name") or "none"
        return InputError(
            f"{FIELD[0]}={own!r} has no setting {name!r} (it has {others}): give the config file, or a variant of it, "
            "the settings of that name.",
            f"{group}.name",
        )
    return InputError(f"config field {FIELD[0]} is not a setting; there are {', '.join(known)}.", field)


def _fields(cls: type) -> dict[str, dataclasses.Field]:
    return {field.name: field for field in dataclasses.fields(cls) if field.init}


def default_of(field: dataclasses.Field) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return field.default


def kinds_of(hint: Any) -> tuple[type, ...]:
    """The dataclasses that a setting may be; () for a plain value."""
    options = typing.get_args(hint) if isinstance(hint, UnionType) else (hint,)
    return tuple(
        option for option in options if dataclasses.is_dataclass(option) and isinstance(option, type)
    )


def _one_type(hint: Any) -> type:
    """int for `int | None`."""
    options = [option for option in typing.get_args(hint) or (hint,) if option is not type(None)]
    return typing.get_origin(options[0]) or options[0]


def _tuple(value: Any) -> Any:
    return tuple(map(_tuple, value)) if isinstance(value, list | tuple) else value
