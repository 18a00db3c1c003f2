"""Docstrings as Markdown takes them: examples as code, lists apart from the lines around them."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"^>>> .*(?:\n(?!\s*$).*)*", re.MULTILINE)  # Markdown takes `>>>` for a quotation
ITEM = re.compile(r"- \S")
SEVERAL = re.compile(
    r"^ +\w+(?:, \w+)+(?=: )", re.MULTILINE
)  # names that one entry of a section describes together


def apart(text: str) -> str:
    """A blank line before the first item of a list and after the last: without them Markdown sees one paragraph."""
    lines: list[str] = []
    for line in text.splitlines():
        before = lines[-1] if lines else ""
        starts = ITEM.match(line) and before and not ITEM.match(before) and not before.startswith("  ")
        ends = line[:1].strip() and not ITEM.match(line) and listed(lines)
        lines += ["", line] if starts or ends else [line]
    return "\n".join(lines)


def listed(lines: list[str]) -> bool:
    """Whether the last of these lines is an item of a list, or goes on with one."""
    own = next((line for line in reversed(lines) if not line.startswith("  ")), "")
    return bool(lines and lines[-1] and ITEM.match(own))


class Examples(griffe.Extension):
    """Rewrites every docstring that is read."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called for everything that is read."""
        if obj.docstring is not None:
            text = SEVERAL.sub(lambda names: names[0].replace(", ", ",\u00a0"), apart(obj.docstring.value))
            obj.docstring.value = EXAMPLE.sub(r"```pycon\n\g<0>\n```", text)
