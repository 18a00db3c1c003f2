"""The pages of docs/ that are made of dictionaries: settings, files and columns. `make reference` writes them."""

import dataclasses
import pathlib
import typing
from collections.abc import Iterator
from typing import Any, NamedTuple

from memgen_jax.programs import columns, meanings, outputs, settings
from memgen_jax.programs.circle.settings import CircleSettings
from memgen_jax.programs.geometry.settings import GeometrySettings
from memgen_jax.programs.onset.linear import LinearOnsetSettings
from memgen_jax.programs.onset.network import NetworkOnsetSettings
from memgen_jax.programs.transition.settings import TransitionSettings

SETTINGS: dict[str, tuple[type, ...]] = {
    "transition": (TransitionSettings,),
    "circle": (CircleSettings,),
    "geometry": (GeometrySettings,),
    "onset": (LinearOnsetSettings, NetworkOnsetSettings),
}


class Setting(NamedTuple):
    """One setting of a program.

    Attributes:
      name: dotted, as on the command line after `--config.`.
      kind: of what it is a setting, where its group may be one of several: "mlp", "unet"; else "".
      default: MISSING where it has none.
    """

    name: str
    kind: str
    default: Any


def settings_of(cls: type, group: str = "") -> Iterator[Setting]:
    """Every setting of a class, nested ones included; those of one's own code once."""
    hints = typing.get_type_hints(cls)
    for field in (field for field in dataclasses.fields(cls) if field.init):
        kinds = settings.kinds_of(hints[field.name])
        if not kinds:
            yield Setting(f"{group}{field.name}", "", settings.default_of(field))
        for kind in kinds:
            name = kind.__name__.removesuffix("Settings").lower() if len(kinds) > 1 else ""
            for own in settings_of(kind, f"{group}{field.name}."):
                yield own if own.kind else own._replace(kind=name)


def settings_page() -> str:
    """The text of docs/reference/config.md."""
    lines = [
        "# Settings",
        "",
        "Every setting of every program, with its default. Give one on the command line as `--config.NAME=VALUE`:",
        "",
        "    memgen transition --config=digits:smoke --config.train.num_steps=400 --workdir=runs/mine",
        "",
        "`memgen configs show digits` lists what a config sets. A dash marks a setting that a config must give.",
        "",
    ]
    for program, classes in SETTINGS.items():
        rows: dict[str, list[Setting]] = {}
        for own in (own for cls in classes for own in settings_of(cls)):
            rows.setdefault(own.name, []).append(own)
        lines += [f"## `memgen {program}`", ""]
        for group in sorted(dict.fromkeys(name.rpartition(".")[0] for name in rows), key=bool):
            lines += [f"### {group}" if group else "### The run as a whole", ""] if len(rows) > 1 else []
            lines += ["| setting | default | meaning |", "|---|---|---|"]
            for name, kinds in rows.items():
                if name.rpartition(".")[0] == group:
                    lines.append(f"| `{name}` | {_defaults(kinds)} | {meanings.meaning(program, name)} |")
            lines.append("")
    return "\n".join(lines)


def _defaults(kinds: list[Setting]) -> str:
    """The default; of each kind where they differ."""
    told = {
        own.kind: _default(own.default) for own in kinds if not own.kind.startswith("own") or len(kinds) == 1
    }
    if len(set(told.values())) == 1 or kinds[0].name.endswith(".name"):
        return next(iter(told.values()))
    return ", ".join(f"{value} ({kind})" for kind, value in told.items())


def _default(value: Any) -> str:
    if value is dataclasses.MISSING:
        return "–"
    if value in ("", (), None):
        return "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def files_page() -> str:
    """The text of docs/reference/files.md."""
    lines = [
        "# Files",
        "",
        "What each program leaves in its folder. Columns of tables: [columns](../columns.md).",
        "",
        "Every program but `memgen audit` and `memgen compare` writes `config.json` and `environment.json` too.",
        "",
    ]
    for program, files in {"": outputs.EVERYWHERE, **outputs.FILES}.items():
        lines += [
            f"## `memgen {program}`" if program else "## In all of them",
            "",
            "| file | what it is |",
            "|---|---|",
        ]
        lines += [f"| `{name}` | {text} |" for name, text in files.items()]
        lines.append("")
    return "\n".join(lines)


PAGES = {
    "columns.md": columns.page,
    "reference/config.md": settings_page,
    "reference/files.md": files_page,
}


def write(folder: str) -> None:
    """Writes the pages into the folder of the documentation."""
    for name, page in PAGES.items():
        file = pathlib.Path(folder) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page())


if __name__ == "__main__":
    write("docs")
