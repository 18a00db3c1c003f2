"""The page of the onset's program, `report.html`: one of the linear model, one of a network."""

from collections.abc import Mapping, Sequence
from typing import Any

from memgen_jax.report import page

QUESTION = "When does a model come closer to the truth than to its data?"


def answer_linear(summary: Mapping[str, Mapping[str, Any]], rows: Sequence[Mapping[str, Any]]) -> str:
    """Where P(Δ > 0) crosses one half, one clause a dimension.

    Args:
      summary: what `onset.json` holds, dimension → `critical_num_train` and more.
      rows: of `onset.csv`.
    """
    clauses = []
    for dim, found in summary.items():
        own = [row for row in rows if str(row["dim"]) == dim]
        clauses.append(f"in {dim} dimensions {_turn(found['critical_num_train'], own)}")
    return f"The linear model comes closer to the truth than to its training set: {'; '.join(clauses)}."


def answer_network(critical: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], reading: str) -> str:
    """The same for a network, and what the two controls say of the method itself.

    Args:
      critical: of the reading, with `num_train`, `low`, `high`.
      rows: of `onset.csv`, every source and reading.
      reading: how densities are compared.
    """
    of = {
        source: [row for row in rows if row["reading"] == reading and row["source"] == source]
        for source in ("model", "fresh", "copies")
    }
    said = f"The network comes closer to the truth than to its training set {_turn(critical, of['model'])}."
    blind = [
        name
        for name, source, right in (("perfect model", "fresh", True), ("perfect copier", "copies", False))
        if not all((row["p_delta_positive"] > 0.5) == right for row in of[source])
    ]
    if blind:
        return (
            f"{said} But this reading, “{reading}”, does not tell a {' or a '.join(blind)} at every n, so it proves "
            "little."
        )
    return (
        f"{said} By the same reading, “{reading}”, unseen data count as closer to the truth, and copies as closer to "
        "the data, at every n."
    )


def _turn(critical: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    if critical["num_train"] is not None:
        interval = (
            ""
            if critical["low"] is None or critical["high"] is None
            else f" ({page.number(critical['low'])} – {page.number(critical['high'])})"
        )
        return f"from about n = {page.number(critical['num_train'])}{interval} training points on"
    sizes = [row["num_train"] for row in rows]
    tried = f"from n = {page.number(min(sizes), 9)} to {page.number(max(sizes), 9)}"
    chance = [row["p_delta_positive"] for row in rows]
    if min(chance) > 0.5:
        return f"at every n tried, {tried} (P(Δ > 0) is at least {min(chance):.2f})"
    if max(chance) < 0.5:
        return f"at no n tried, {tried} (P(Δ > 0) is at most {max(chance):.2f})"
    return f"at no one n found here: {tried} P(Δ > 0) lies between {min(chance):.2f} and {max(chance):.2f}"


def render_linear(
    *,
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Mapping[str, Any]],
    num_original: int,
    kernel_width: str,
    covariance: str,
    pictures: Mapping[str, page.Picture | None],
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, object],
) -> str:
    """The linear model's page as HTML.

    Args:
      rows: of `onset.csv`.
      summary: what `onset.json` holds.
      num_original: N, of the points that the model is compared with.
      kernel_width, covariance: the reading of `rows`.
      pictures: the figures "probability", "hellinger" and "claim"; "distances" and "readings" where they were drawn,
        else None.
      command, settings, environment: how the run was made.
    """
    return page.render(
        "onset_linear.html",
        question=QUESTION,
        answer=answer_linear(summary, rows),
        rows=rows,
        summary=summary,
        num_original=num_original,
        num_simulations=rows[0]["num_simulations"],
        kernel_width=kernel_width,
        covariance=covariance,
        pictures=pictures,
        command=command,
        settings=settings,
        environment=environment,
    )


def render_network(
    *,
    rows: Sequence[Mapping[str, Any]],
    summary: Mapping[str, Any],
    reading: str,
    picture: page.Picture,
    command: str,
    settings: Mapping[str, object],
    environment: Mapping[str, object],
) -> str:
    """A network's page as HTML.

    Args:
      rows: of `onset.csv`.
      summary: what `onset.json` holds.
      reading: the one that is spoken of.
      picture: the figure.
      command, settings, environment: how the run was made.
    """
    chosen = [row for row in rows if row["reading"] == reading]
    by_source = {
        source: [row for row in chosen if row["source"] == source] for source in ("model", "fresh", "copies")
    }
    return page.render(
        "onset_network.html",
        question=QUESTION,
        answer=answer_network(summary["critical_num_train"][reading], rows, reading),
        sizes=list(zip(*by_source.values(), strict=True)),
        summary=summary,
        reading=reading,
        picture=picture,
        command=command,
        settings=settings,
        environment=environment,
    )
