"""A finished transition run as a comparison needs it: its settings, its curves and its critical sizes."""

import csv
import dataclasses
import json
from typing import Any

from etils import epath

from memgen_jax.errors import InputError
from memgen_jax.programs.configs import require_transition_run
from memgen_jax.report import page
from memgen_jax.statistics import Interval

QUANTITIES = {
    "memorized_half": "memorized falls to 50%",
    "spurious_peak": "the spurious share is largest",
    "generalized_half": "generalized rises to 50%",
}


@dataclasses.dataclass(frozen=True)
class Curve:
    """One curve over K: a run at one width.

    Attributes:
      name: how tables and figures call it.
      rows: those of `fractions.csv` (of its first rule), numbers as floats.
      critical: quantity -> the size K with its interval; None where the sweep does not reach it.
    """

    name: str
    rows: tuple[dict[str, Any], ...]
    critical: dict[str, Interval | None]


@dataclasses.dataclass(frozen=True)
class FinishedRun:
    """One run's folder.

    Attributes:
      name: the shortest end of its path that tells it from the others.
      data, metric, thresholds: as in its transition.json, in words.
      settings: dotted name -> value, from its config.json.
      curves: one per width.
    """

    name: str
    data: str
    metric: str
    thresholds: str
    settings: dict[str, Any]
    curves: tuple[Curve, ...]


def read_run(folder: str, name: str) -> FinishedRun:
    """Reads one run.

    Args:
      folder: the workdir of a finished transition run.
      name: what to call it.
    Raises:
      InputError: a file is missing or cannot be read.
    """
    require_transition_run(folder)
    outcome, settings = _json(folder, "transition.json"), _json(folder, "config.json")
    file = epath.Path(folder) / "fractions.csv"
    try:
        rows = list(csv.DictReader(file.read_text().splitlines()))
        numbers = [{k: _number(v) for k, v in row.items()} for row in rows]
        deltas = outcome["thresholds"]
        thresholds = f"{deltas['rule']}: δₘ = {deltas['delta_m']:.3g}, δₛ = {deltas['delta_s']:.3g}"
        if deltas.get("num_samples"):  # it belongs to the size of a set
            thresholds += f" in sets of {deltas['num_samples']:,}"
        critical_of = outcome.get("critical_by_width") or {"": outcome["critical"]}
        first_rule = numbers[0].get("rule")
        curves = []
        for width, critical in critical_of.items():
            own = tuple(
                row
                for row in numbers
                if row.get("rule") == first_rule and (not width or str(int(row["width"])) == width)
            )
            title = f"{name}, width {width}" if len(critical_of) > 1 else name
            curves.append(Curve(title, own, {q: _interval(critical[q]) for q in QUANTITIES}))
        return FinishedRun(
            name, outcome["data"], outcome["metric"], thresholds, dict(page.flatten(settings)), tuple(curves)
        )
    except (OSError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            f"{folder} is no finished transition run (fractions.csv or transition.json: {error}): "
            "run it to its end first."
        ) from None


def names_of(folders: list[str]) -> list[str]:
    """The shortest ends of paths that tell them apart."""
    parts = [epath.Path(folder).resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        twice = next(folder for i, folder in enumerate(folders) if parts[i] in parts[:i])
        raise InputError(f"{twice} is named twice: give different runs.")
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(own[-length:]) for own in parts]
        if len(set(names)) == len(names):
            break
    return names


def differing_settings(runs: list[FinishedRun]) -> dict[str, list[Any]]:
    """Dotted name -> each run's value, of the settings that are not the same in all."""
    names = dict.fromkeys(name for run in runs for name in run.settings)
    values = {name: [run.settings.get(name) for run in runs] for name in names}
    return {name: own for name, own in values.items() if any(value != own[0] for value in own)}


def _interval(found: dict[str, Any]) -> Interval | None:
    value, low, high = (found.get(key) for key in ("num_train", "low", "high"))
    return None if value is None or low is None or high is None else Interval(value, low, high)


def _number(cell: str) -> Any:
    try:
        return float(cell)
    except ValueError:
        return cell


def _json(folder: str, name: str) -> Any:
    file = epath.Path(folder) / name
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        raise InputError(f"{folder} is no finished transition run: it has no readable {name}.") from None
