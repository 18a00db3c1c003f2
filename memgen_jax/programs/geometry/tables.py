"""Measured arrays -> a value per sample and quantity -> the tables, with rank tests of the expected order."""

import dataclasses
import itertools
from typing import Any

import numpy as np

from memgen_jax import geometry, phases, runs, statistics
from memgen_jax.errors import InputError
from memgen_jax.programs.geometry.sources import Source

LABELS = (phases.MEMORIZED, phases.SPURIOUS, phases.GENERALIZED)


@dataclasses.dataclass(frozen=True)
class Quantity:
    """A number per sample, and whether memorized samples are expected to have the largest.

    Attributes:
      at_times: measured at every time of the curvature; else once.
    """

    name: str
    title: str
    largest_memorized: bool
    at_times: bool

    @property
    def expected(self) -> str:
        sign = ">" if self.largest_memorized else "<"
        return f"memorized {sign} spurious {sign} generalized"


QUANTITIES = (
    Quantity("mean_recovery", "mean recovery", True, False),
    Quantity("critical_time", "critical time", True, False),
    Quantity("radius", "radius", True, False),
    Quantity("log_volume", "log volume", True, False),
    Quantity("energy_gap", "energy gap", True, False),
    Quantity("log_determinant", "log determinant", True, True),
    Quantity("near_zero", "near-zero values", False, True),
    Quantity("local_dimension", "local dimension (gap)", False, True),
    Quantity("flipd", "FLIPD", False, True),
    Quantity("sharpness", "sharpness", True, True),
)


@dataclasses.dataclass(frozen=True)
class Measured:
    """All groups' measurements, joined over samples.

    Attributes:
      arrays: what `Measurement` wrote, [sample, ...].
      num_train: K per sample, -1 for a pipeline; `group`: number of the group; `names`: of the groups.
      levels, times: of the basins and of the curvature.
      shown: per group, the arrays of the pictures.
    """

    arrays: dict[str, np.ndarray]
    num_train: np.ndarray
    group: np.ndarray
    names: tuple[str, ...]
    levels: np.ndarray
    times: np.ndarray
    shown: dict[str, dict[str, np.ndarray]]


def load(source: Source, workdir: runs.Workdir) -> Measured:
    """Reads `measured/*.npz` of all groups that have samples."""
    parts, shown = [], {}
    groups = [group for group in source.groups if len(group.items)]
    for group in groups:
        part = workdir.read_npz(f"measured/{group.name}.npz")
        if part is None:
            raise InputError(f"measured/{group.name}.npz is missing in {workdir.path}: run it again.")
        pictures = {name: part.pop(name) for name in list(part) if name.startswith("shown_")}
        if pictures:
            shown[group.name] = pictures
        levels, times = part.pop("levels"), part.pop("times")
        parts.append(part)
    sizes = [len(part["label"]) for part in parts]
    return Measured(
        {name: np.concatenate([part[name] for part in parts]) for name in parts[0]},
        np.repeat([-1 if group.num_train is None else group.num_train for group in groups], sizes),
        np.repeat(np.arange(len(groups)), sizes),
        tuple(group.name for group in groups),
        levels,
        times,
        shown,
    )


def values_of(measured: Measured, near_zero: float) -> dict[str, np.ndarray]:
    """Every quantity, float64 [sample] or [sample, time]; NaN where it was not measured."""
    arrays = measured.arrays
    if "singular_values" in arrays:
        spectrum = arrays["singular_values"]
        log_determinant = geometry.log_determinant(spectrum)
        dim = spectrum.shape[-1]
    else:  # matrix-free: the small end of the spectrum only
        spectrum = arrays["smallest_singular_values"]
        log_determinant = np.full(spectrum.shape[:-1], np.nan)
        dim = int(arrays["dim"][0])
    values = {
        name: arrays[name] for name in ("critical_time", "radius", "log_volume", "energy_gap", "sharpness")
    }
    values |= {
        "mean_recovery": arrays["recovered"].mean(axis=1),
        "log_determinant": log_determinant,
        "near_zero": geometry.near_zero(spectrum, near_zero),
        "local_dimension": geometry.local_dimension(spectrum),
        "flipd": geometry.flipd(arrays["trace"], arrays["scaled_score"], dim),
    }
    return {name: np.asarray(value, np.float64) for name, value in values.items()}


def basin_rows(measured: Measured) -> list[dict[str, Any]]:
    """One row a sample: its basin, and per level the share of copies that came back with its interval."""
    arrays = measured.arrays
    copies = arrays["distance"].shape[-1]
    rows = []
    for i in range(len(arrays["label"])):
        row = {
            "sample": int(arrays["sample"][i]),
            "label": phases.NAMES[arrays["label"][i]],
            "model": measured.names[measured.group[i]],
            "num_train": int(measured.num_train[i]) if measured.num_train[i] >= 0 else None,
            "critical_time": float(arrays["critical_time"][i]),
            "radius": float(arrays["radius"][i]),
            "log_volume": float(arrays["log_volume"][i]),
            "copies": copies,
        }
        for level, share in zip(measured.levels, arrays["recovered"][i], strict=True):
            low, high = statistics.wilson_interval(round(float(share) * copies), copies)
            name = f"recovered_t={level:g}"
            row |= {name: float(share), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


PAIRS = tuple(itertools.combinations(LABELS, 2))
TESTS = ("p_trend", *(f"p_{phases.NAMES[first]}_{phases.NAMES[second]}" for first, second in PAIRS))


def order_tests(
    values: np.ndarray, labels: np.ndarray, strata: np.ndarray, units: np.ndarray, resamples: int
) -> dict[str, float]:
    """The trend over all three phases, and one test for each pair; samples of one unit are one observation."""
    trend = statistics.trend_test(values, labels, strata, units=units, resamples=resamples)
    tests = {"superiority": trend.superiority, "p_trend": trend.p}
    for first, second in PAIRS:
        pair = (labels == first) | (labels == second)
        tests[f"p_{phases.NAMES[first]}_{phases.NAMES[second]}"] = statistics.trend_test(
            values[pair], labels[pair], strata[pair], units=units[pair], resamples=resamples
        ).p
    return tests


def table_rows(measured: Measured, values: dict[str, np.ndarray], resamples: int) -> list[dict[str, Any]]:
    """Per quantity, time, K (and all models together, tested within each) and phase: location and tests.

    Columns `holm_…` are the p-values corrected for the number of tests with the same K: of all quantities, noise
    levels, pairs and trends. `observations` is how many different items or clusters the samples of the phase are.
    """
    labels = measured.arrays["label"].astype(np.int64)
    units = measured.arrays["unit"].astype(np.int64)
    sizes = sorted(set(measured.num_train.tolist()) - {-1})
    rows = []
    for quantity in QUANTITIES:
        for number, t in enumerate(measured.times if quantity.at_times else [None]):
            all_values = values[quantity.name][:, number] if quantity.at_times else values[quantity.name]
            for size in [None, *sizes]:
                inside = np.ones(len(labels), bool) if size is None else measured.num_train == size
                sign = 1.0 if quantity.largest_memorized else -1.0
                tests = order_tests(
                    sign * all_values[inside],
                    labels[inside],
                    measured.group[inside],
                    units[inside],
                    resamples,
                )
                for label in LABELS:
                    own = inside & (labels == label)
                    location = statistics.mean_interval(all_values[own])
                    observations = np.unique(np.stack([measured.group[own], units[own]]), axis=1).shape[1]
                    rows.append(
                        {
                            "quantity": quantity.name,
                            "t": None if t is None else float(t),
                            "num_train": "all" if size is None else size,
                            "phase": phases.NAMES[label],
                            **location._asdict(),
                            "observations": observations,
                            "expected": quantity.expected,
                            **tests,
                        }
                    )
    _correct(rows)
    return rows


def _correct(rows: list[dict[str, Any]]) -> None:
    """Adds `holm_…` to every row; the three rows of one test, a phase each, count as one."""
    for size in dict.fromkeys(row["num_train"] for row in rows):
        own = [row for row in rows if row["num_train"] == size]
        tests = own[:: len(LABELS)]
        corrected = statistics.holm(np.array([[row[name] for name in TESTS] for row in tests]).ravel())
        for row, values in zip(
            own, np.repeat(corrected.reshape(len(tests), -1), len(LABELS), 0), strict=True
        ):
            row |= {f"holm_{name[2:]}": float(p) for name, p in zip(TESTS, values, strict=True)}


def answer(rows: list[dict[str, Any]], main_time: float) -> str:
    """Which quantities keep the expected order, a sentence per outcome; curvature at `main_time`."""
    outcomes: dict[str, list[str]] = {"yes": [], "partly": [], "no": [], "open": []}
    for quantity in QUANTITIES:
        row = overall(rows, quantity, main_time)
        steps = (row["holm_memorized_spurious"], row["holm_spurious_generalized"])
        if np.isnan(row["p_trend"]):
            outcomes["open"].append(quantity.title)
        elif all(p < 0.05 for p in steps):
            outcomes["yes"].append(quantity.title)
        elif row["holm_trend"] < 0.05:
            outcomes["partly"].append(quantity.title)
        else:
            outcomes["no"].append(quantity.title)
    says = {
        "yes": "Memorized attractors are the deepest and generalized ones the shallowest, spurious ones between, by "
        "{}: both steps stand out (p < 0.05 each, corrected for the number of tests).",
        "partly": "By {} that order stands out as a whole (memorized > spurious > generalized), but not each of its "
        "steps.",
        "no": "By {} no order memorized > spurious > generalized stands out.",
        "open": "There are not enough phases within a model to test {}.",
    }
    sentences = [says[key].format(", ".join(names)) for key, names in outcomes.items() if names]
    return " ".join([*sentences, f"Curvature is taken at t = {main_time:g}."])


def overall(rows: list[dict[str, Any]], quantity: Quantity, t: float | None) -> dict[str, Any]:
    wanted = t if quantity.at_times else None
    return next(
        row
        for row in rows
        if row["quantity"] == quantity.name and row["num_train"] == "all" and row["t"] == wanted
    )
