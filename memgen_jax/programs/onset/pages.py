"""report.html of the two onset models, from their tables and figures."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from memgen_jax import runs

# Of each figure what it shows, for who cannot see it, and how to read it.
WORDS = {
    "probability": (
        "P(Δ > 0) against the number of training points: around n = d for every dimension, up to n = N for the first.",
        "Bands are 95% intervals over the simulations; dotted: n = d. At n = N the training set is as large as the set "
        "that stands for the truth.",
    ),
    "hellinger": (
        "The squared Hellinger distance between the generated and the true density against n, one curve a dimension.",
        "Up to n = d it is 1 by theory; the dashed line is its floor.",
    ),
    "claim": (
        "For each model the sizes over which P(Δ > 0) rises, and where the errors begin to fall, on one axis.",
        "Where the mark of the error lies within the grey bar the model turns as its error begins to fall.",
    ),
    "distances": (
        "The two distances, E_TG and E_OG, against n where they are finite.",
        "Logarithms to base 10, means over the simulations.",
    ),
    "readings": (
        "P(Δ > 0) against n under every reading of the kernel's width and of the covariance.",
        "One line a width, one column a covariance.",
    ),
    "network": (
        "The network's distances to the training set and to unseen images against n, its P(Δ > 0), and both controls.",
        "Above, the network by the reading of this page. Below, every reading, with unseen data and copies beside it.",
    ),
}


def write_linear(
    workdir: runs.Workdir,
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    drawn: Sequence[str],
    reading: Mapping[str, Any],
) -> None:
    """The linear model's page.

    Args:
      drawn: names of the figures.
      reading: `num_original`, `kernel_width` and `covariance`.
    """
    from memgen_jax.report import onset_page, page

    optional: dict[str, Any] = {"distances": None, "readings": None}
    html = onset_page.render_linear(
        rows=rows,
        summary=summary,
        **reading,
        pictures=optional | {name: picture(workdir, name) for name in drawn},
        **how(workdir),
    )
    page.write(workdir / "report.html", html)


def write_network(
    reading: str, workdir: runs.Workdir, rows: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> None:
    """A network's page."""
    from memgen_jax.report import onset_page, page

    html = onset_page.render_network(
        rows=rows, summary=summary, reading=reading, picture=picture(workdir, "network"), **how(workdir)
    )
    page.write(workdir / "report.html", html)


def picture(workdir: runs.Workdir, name: str):
    """A figure that is on disk, with its words."""
    from memgen_jax.report import page

    return page.picture(workdir / "figures" / f"{name}.png", *WORDS[name])


def how(workdir: runs.Workdir) -> dict[str, Any]:
    """How a run was made, as pages tell it."""
    return {
        "command": workdir.command,
        "settings": json.loads((workdir / "config.json").read_text()),
        "environment": json.loads((workdir / "environment.json").read_text()),
    }
