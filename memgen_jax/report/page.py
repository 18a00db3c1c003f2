"""Pages: one HTML file that opens offline, pictures and style sheet inside it.

A page is a Jinja template of `memgen_jax/report/templates` that extends `base.html` and draws its
parts with the macros of `parts.html`. Whatever comes in as a value is escaped; only the templates'
own text is markup.
"""

import base64
import dataclasses
import functools
import hashlib
import math
import os
import struct
import typing
from collections.abc import Iterator, Mapping

from etils import epath

from memgen_jax.annotations import NotNegative
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.files import write_whole
from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import jinja2
    import matplotlib.figure


@dataclasses.dataclass(frozen=True)
class Picture:
    """A figure ready to stand in a page.

    Attributes:
      uri: the image as a `data:` address.
      alt: what it shows, for who cannot see it.
      caption: the text below it; may be empty.
      width: its natural width in CSS pixels; narrower screens scale it down.
    """

    uri: str
    alt: str
    caption: str = ""
    width: int = 700


@takes_arrays
def picture(source: "matplotlib.figure.Figure | epath.PathLike", alt: str, caption: str = "") -> Picture:
    """Turns a Matplotlib figure, or a PNG that `style.save` wrote, into a `Picture`.

    Args:
      source: the figure, or the path of the .png (which spares drawing it again).
      alt: what it shows, for who cannot see it.
      caption: the text below it.
    Returns:
      The picture, 110 CSS pixels an inch.
    """
    if isinstance(source, str | os.PathLike):
        try:
            png = epath.Path(source).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the picture {os.fspath(source)} ({error.strerror})") from error
    else:
        png = style.png_bytes(source)
    width_in_dots = struct.unpack(">I", png[16:20])[0]  # the first field of the PNG's header
    return Picture(style.data_uri(png), alt, caption, round(110 * width_in_dots / style.DOTS_PER_INCH))


@takes_arrays
def render(template: str, **values: object) -> str:
    """Fills a template with values and returns the page.

    Args:
      template: file name in `memgen_jax/report/templates`, for example "transition.html".
      **values: what the template names; one that it needs and does not get is an error. Strings are escaped.
    Returns:
      The HTML text, complete in itself: no address outside the file is used. Where `sliders` are among the values,
      the script that moves them is in it, named by its hash in the page's policy.
    """
    script = _script() if values.get("sliders") else None
    environment = _environment()
    if template not in environment.list_templates():
        raise InputError.setting("template", template, "the name of a file of memgen_jax/report/templates")
    return environment.get_template(template).render(script=script, **values)


class Script(typing.NamedTuple):
    """A page's only script, and what its security policy names it by: no other runs."""

    text: str
    digest: str


@functools.cache
def _script() -> Script:
    import markupsafe

    text = (epath.resource_path("memgen_jax.report") / "templates" / "sliders.js").read_text()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return Script(markupsafe.Markup(text), digest)


@takes_arrays
def write(path: epath.PathLike, html: str) -> epath.Path:
    """Writes a page, whole or not at all."""
    return write_whole(path, html.encode("utf-8"))


@takes_arrays
def flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Nested settings as pairs ("train.steps", 8000), in their order."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


@takes_arrays
def percent(fraction: float | int | None, digits: NotNegative = 1) -> str:
    """0.0534 → "5.3%"; a dash where there is no number."""
    return "–" if _missing(fraction) else f"{100 * float(fraction):.{digits}f}%"  # type: ignore[arg-type]


@takes_arrays
def number(value: float | int | None, digits: NotNegative = 3) -> str:
    """`digits` significant digits, whole numbers whole: 1437 → "1,437", 0.70211 → "0.702"."""
    if _missing(value):
        return "–"
    value = float(value)  # type: ignore[arg-type]
    if value == round(value) and abs(value) < 1e15:
        return f"{value:,.0f}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


@takes_arrays
def measure(value: float | int | None) -> str:
    """A measured number with three significant digits, zeros kept: 2.0 → "2.00"; a dash where missing."""
    return "–" if _missing(value) else f"{float(value):#.3g}".rstrip(".")  # type: ignore[arg-type]


def _missing(value: float | int | None) -> bool:
    return value is None or not math.isfinite(value)


@functools.cache
def _environment() -> "jinja2.Environment":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("memgen_jax.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(percent=percent, number=number, measure=measure, flatten=flatten)
    return environment
