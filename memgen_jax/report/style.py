"""How every figure of the project looks, and how it is written to disk.

Figures are `matplotlib.figure.Figure` objects made without pyplot: no window, no global list of
figures, no change of the caller's rcParams. Colours are told apart by colour-blind readers and, by
their lightness, in a grey print.
"""

import base64
import io
import typing
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from etils import epath
from jaxtyping import Num, UInt8

from memgen_jax.annotations import AtLeast, Some
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.files import write_whole

if typing.TYPE_CHECKING:
    import matplotlib.axes
    import matplotlib.axis
    import matplotlib.figure

# CIE lightness 28, 62 and 45: three steps in grey, and hues that every common colour blindness keeps apart.
PHASE_COLORS = {"memorized": "#7a1f3d", "spurious": "#d98200", "generalized": "#0b6fa8"}
PHASE_MARKERS = {"memorized": "o", "spurious": "^", "generalized": "s"}
# The two histograms of Pham et al. 2025, Figs. 5-8: distances to S in olive, within S' in grey.
TRAIN_COLOR = "#808000"
SYNTHETIC_COLOR = "#6e6e6e"
CONTROL_COLOR = "#222222"
MUTED_COLOR = "#5a5a5a"
DOTS_PER_INCH = 200
KINDS = ("png", "pdf", "svg")  # of files

_SETTINGS: typing.Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same page on every machine
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e3e3",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": DOTS_PER_INCH,
    "pdf.fonttype": 42,  # text stays text
    "image.composite_image": False,  # images of a PDF one by one: making one of all takes longer than drawing them
    "svg.hashsalt": "memgen",  # the same names of parts in the same figure
}


@contextmanager
def settings() -> Iterator[None]:
    """Matplotlib's settings for print, for a `with` block or, as `@settings()`, for a function."""
    import matplotlib

    with matplotlib.rc_context(_SETTINGS):
        yield


Inches = typing.Annotated[float | int, AtLeast(0.1)]


@takes_arrays
def new_figure(width: Inches = 7.0, height: Inches = 4.0) -> "matplotlib.figure.Figure":
    """An empty figure of `width` × `height` inches that keeps its labels apart (constrained layout).

    A notebook shows it where it ends a cell.
    """
    from matplotlib.figure import Figure

    class Shown(Figure):
        def _repr_png_(self) -> bytes:  # what IPython asks an object for
            return png_bytes(self)

    return Shown(figsize=(width, height), layout="constrained")


@takes_arrays
def column(rows: Sequence[object], name: str) -> Num[np.ndarray, " row"]:
    """Field `name` of every row; rows are mappings or dataclasses, and None becomes NaN."""
    try:
        values = [row[name] if isinstance(row, Mapping) else getattr(row, name) for row in rows]
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise InputError(f"rows must each have a number called {name!r}") from None


@takes_arrays
def size_axis(
    axes: "matplotlib.axes.Axes", sizes: Some[Num[np.ndarray, " size"]], label: str = "training-set size K"
) -> None:
    """Makes the x axis logarithmic over training-set sizes, with plain ticks (1,000, not 10³)."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

    sizes = np.unique(sizes)
    span = float(sizes[-1] / sizes[0])
    axes.set_xscale("log")
    axes.set_xlim(sizes[0] / 1.12 / span**0.01, sizes[-1] * 1.12 * span**0.01)
    few = len(sizes) <= 5 and np.all(sizes[1:] / sizes[:-1] > span**0.15)
    if few:
        axes.xaxis.set_major_locator(FixedLocator(sizes.tolist()))
    else:
        axes.xaxis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if span < 150 else (1.0,)))
    if few or span < 150:
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(label)


@takes_arrays
def percent_axis(axes: "matplotlib.axes.Axes", label: str = "share of samples") -> None:
    """Ticks the y axis, which holds fractions in [0, 1], in percent."""
    from matplotlib.ticker import FuncFormatter

    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
    axes.set_ylabel(label)


@takes_arrays
def as_pixels(image: Num[np.ndarray, "height width channel"]) -> UInt8[np.ndarray, "height width 3"]:
    """One image as RGB bytes: grey is repeated; floats are taken to be in [-1, 1]."""
    if image.dtype != np.uint8:
        image = np.clip(np.round((image.astype(np.float64) + 1) * 127.5), 0, 255).astype(np.uint8)
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image[..., :3]


@takes_arrays
def png_bytes(figure: "matplotlib.figure.Figure") -> bytes:
    """The figure as a PNG, 200 dots an inch."""
    return _bytes(figure, "png")


@takes_arrays
def data_uri(png: bytes) -> str:
    """A PNG as a `data:image/png;base64,…` address, to stand inside a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


@takes_arrays
def save(figure: "matplotlib.figure.Figure", path: epath.PathLike) -> list[epath.Path]:
    """Writes `path`.png and `path`.pdf, or, where the path ends in one of `KINDS`, that file; each whole or not at all.

    The same figure gives the same bytes: no date is written.
    """
    path = epath.Path(path)
    kind = path.suffix[1:].lower()
    files = {kind: path.name} if kind in KINDS else {kind: f"{path.name}.{kind}" for kind in ("png", "pdf")}
    written = []
    for kind, name in files.items():
        written.append(write_whole(path.parent / name, _bytes(figure, kind)))
        figure.set_layout_engine("none")  # the layout found for the first is kept: it is the slow part
    return written


def _bytes(figure: "matplotlib.figure.Figure", kind: str) -> bytes:
    buffer = io.BytesIO()
    metadata = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(kind)
    with settings():  # ticks are made at drawing time and read the settings then
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()


@takes_arrays
def plain_log_ticks(axis: "matplotlib.axis.Axis", every: bool = True) -> None:
    """Writes the numbers of a logarithmic axis out: 1, 2 and 5 of each decade, or the decades alone."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if every else (1.0,)))
    axis.set_major_formatter("{x:,.6g}")
    axis.set_minor_formatter(NullFormatter())
