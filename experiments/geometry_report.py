"""The last stage of the geometry program: measured arrays -> tables with rank tests -> figures, page."""

import csv
import dataclasses
import itertools
import json
import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from memgen_jax import geometry, phases, sweep
from memgen_jax.errors import InputError
from memgen_jax.report import geometry_figures, page, style

if TYPE_CHECKING:
    from experiments.geometry import Settings
    from experiments.geometry_sources import Source

LABELS = (phases.MEMORIZED, phases.SPURIOUS, phases.GENERALIZED)
# The noise levels, as fractions of the largest time, of the pictures that show samples on their way.
PICTURE_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)
METRICS = {"l2": "L2 distance", "lpips": "LPIPS, a squared distance"}


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


def load(source: "Source", workdir: sweep.Workdir) -> Measured:
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
            low, high = phases.wilson_interval(round(float(share) * copies), copies)
            name = f"recovered_t={level:g}"
            row |= {name: float(share), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def order_tests(
    values: np.ndarray, labels: np.ndarray, strata: np.ndarray, resamples: int
) -> dict[str, float]:
    """The trend over all three phases, and one test for each pair."""
    trend = geometry.trend_test(values, labels, strata, resamples=resamples)
    tests = {"superiority": trend.superiority, "p_trend": trend.p}
    for first, second in itertools.combinations(LABELS, 2):
        pair = (labels == first) | (labels == second)
        tests[f"p_{phases.NAMES[first]}_{phases.NAMES[second]}"] = geometry.trend_test(
            values[pair], labels[pair], strata[pair], resamples=resamples
        ).p
    return tests


def table_rows(measured: Measured, values: dict[str, np.ndarray], resamples: int) -> list[dict[str, Any]]:
    """Per quantity, time, K (and all models together, tested within each) and phase: location and tests."""
    labels = measured.arrays["label"].astype(np.int64)
    sizes = sorted(set(measured.num_train.tolist()) - {-1})
    rows = []
    for quantity in QUANTITIES:
        for number, t in enumerate(measured.times if quantity.at_times else [None]):
            all_values = values[quantity.name][:, number] if quantity.at_times else values[quantity.name]
            for size in [None, *sizes]:
                inside = np.ones(len(labels), bool) if size is None else measured.num_train == size
                sign = 1.0 if quantity.largest_memorized else -1.0
                tests = order_tests(
                    sign * all_values[inside], labels[inside], measured.group[inside], resamples
                )
                for label in LABELS:
                    location = geometry.mean_interval(all_values[inside & (labels == label)])
                    rows.append(
                        {
                            "quantity": quantity.name,
                            "t": None if t is None else float(t),
                            "num_train": "all" if size is None else size,
                            "phase": phases.NAMES[label],
                            **location._asdict(),
                            "expected": quantity.expected,
                            **tests,
                        }
                    )
    return rows


def answer(rows: list[dict[str, Any]], main_time: float) -> str:
    """How many quantities keep the expected order, in one sentence per outcome."""
    outcomes: dict[str, list[str]] = {"yes": [], "partly": [], "no": [], "open": []}
    for quantity in QUANTITIES:
        row = _overall(rows, quantity, main_time)
        steps = (row["p_memorized_spurious"], row["p_spurious_generalized"])
        if np.isnan(row["p_trend"]):
            outcomes["open"].append(quantity.title)
        elif all(p < 0.05 for p in steps):
            outcomes["yes"].append(quantity.title)
        elif row["p_trend"] < 0.05:
            outcomes["partly"].append(quantity.title)
        else:
            outcomes["no"].append(quantity.title)
    says = {
        "yes": "Both steps of memorized > spurious > generalized stand out (p < 0.05 each) for",
        "partly": "The order as a whole, but not each of its steps, stands out for",
        "no": "No order memorized > spurious > generalized stands out for",
        "open": "There are not enough phases within a model to test",
    }
    return " ".join(f"{says[key]} {', '.join(names)}." for key, names in outcomes.items() if names)


def _overall(rows: list[dict[str, Any]], quantity: Quantity, t: float | None) -> dict[str, Any]:
    wanted = t if quantity.at_times else None
    return next(
        row
        for row in rows
        if row["quantity"] == quantity.name and row["num_train"] == "all" and row["t"] == wanted
    )


def report(settings: "Settings", source: "Source", workdir: sweep.Workdir) -> None:
    """Writes basins.csv, spectra.npz, geometry.csv, geometry.json, figures/ and report.html."""
    measured = load(source, workdir)
    values = values_of(measured, settings.curvature.near_zero)
    workdir.write_csv("basins.csv", basin_rows(measured))
    spectral = (
        "singular_values",
        "eigenvalues",
        "smallest_singular_values",
        "slopes",
        "trace",
        "trace_error",
    )
    names = (*spectral, "scaled_score", "sharpness", "sample", "label")
    workdir.write_npz(
        "spectra.npz",
        times=measured.times,
        num_train=measured.num_train,
        **{name: measured.arrays[name] for name in names if name in measured.arrays},
    )
    rows = table_rows(measured, values, settings.resamples)
    workdir.write_csv("geometry.csv", rows)
    main_time = float(measured.times[0])
    sentence = answer(rows, main_time)
    figures = draw(settings, source, measured, values, rows)
    for name, (figure, _, _) in figures.items():
        style.save(figure, workdir / "figures" / name)
    workdir.write_json("geometry.json", {"answer": sentence, "source": source.title})
    page.write(workdir / "report.html", render(settings, source, workdir, measured, rows, figures, sentence))


def draw(
    settings: "Settings", source: "Source", measured: Measured, values: dict, rows: list
) -> dict[str, tuple]:
    """The figures by name, each with its description and caption."""
    labels = measured.arrays["label"]
    t_max = source.process.t_max

    def by_phase(array: np.ndarray, inside: np.ndarray | None = None) -> dict[str, np.ndarray]:
        chosen = np.ones(len(labels), bool) if inside is None else inside
        return {phases.NAMES[label]: array[chosen & (labels == label)] for label in LABELS}

    recovered = measured.arrays["recovered"]
    every = "all models" if len(measured.names) > 1 else "all samples"
    panels = [(every, by_phase(recovered))]
    sizes = sorted(set(measured.num_train.tolist()) - {-1})
    # Up to seven sizes, those with most phases first: a panel with one phase compares nothing.
    variety = {size: len(set(labels[measured.num_train == size])) for size in sizes}
    best = sorted(sorted(sizes, key=lambda size: -variety[size])[:7])
    panels += [(f"K = {size:,}", by_phase(recovered, measured.num_train == size)) for size in best]
    spectrum = measured.arrays.get("singular_values", measured.arrays.get("smallest_singular_values"))
    assert spectrum is not None
    order = np.argsort(measured.times)
    figures = {
        "recovery": (
            geometry_figures.recovery_curves(measured.levels / t_max, panels, settings.basins.required),
            "Share of noised copies that come back, against the noise level, one line a phase.",
            f"Share of copies that come back to within {settings.basins.delta:g}, mean over samples with its "
            "95% band; dotted: the share that counts for the critical time. In brackets: samples.",
        ),
        "volumes": (
            geometry_figures.distributions(
                [
                    ("critical time", by_phase(values["critical_time"])),
                    ("radius", by_phase(values["radius"])),
                    ("log volume", by_phase(values["log_volume"])),
                    ("energy gap", by_phase(values["energy_gap"])),
                ]
            ),
            "Critical time, radius, log volume and energy gap of every sample, by phase.",
            f"Every sample{', all models together' if len(measured.names) > 1 else ''}; the line is the median. "
            "−∞: samples that do not hold at the first level.",
        ),
        "spectra": (
            geometry_figures.spectra(
                [(f"t = {measured.times[i]:g}", by_phase(spectrum[:, i])) for i in order],
                settings.curvature.near_zero,
            ),
            "Sorted singular values of the scaled Jacobian, by phase, one panel a noise level.",
            "Singular values of −s² times the score's Jacobian, sorted; mean over samples and the range "
            "of the middle 80%. Dotted: the cut below which a value counts as near zero.",
        ),
    }
    if len(sizes) > 1:
        main_time = float(measured.times[0])
        own = [r for r in rows if r["num_train"] != "all" and r["t"] in (None, main_time)]
        figures["quantities"] = (
            geometry_figures.against_size(own, [(q.name, q.title) for q in QUANTITIES]),
            "Every quantity against the training-set size, a line a phase.",
            f"Mean over samples with its 95% interval, −∞ left out; curvature at t = {main_time:g}.",
        )
    times = [f"t = {part:.0%} of T" for part in PICTURE_TIMES]
    for name, shown in _galleries(measured).items():
        figures[f"returns_{name}"] = (
            geometry_figures.returns(
                [phases.NAMES[label] for label in shown["shown_label"]],
                list(shown["shown_sample"]),
                list(np.clip(shown["shown_noised"], -1, 1)),
                list(np.clip(shown["shown_back"], -1, 1)),
                times,
            ),
            f"Samples of {name}, their noised copies and what came back.",
            name,
        )
    return figures


def _galleries(measured: Measured, count: int = 3) -> dict[str, dict[str, np.ndarray]]:
    """The groups whose pictures show most phases; spread over them where there are many."""
    most = max((len(shown["shown_label"]) for shown in measured.shown.values()), default=0)
    names = [name for name, shown in measured.shown.items() if len(shown["shown_label"]) == most]
    places = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    return {names[i]: measured.shown[names[i]] for i in places}


def render(settings, source, workdir, measured, rows, figures, sentence) -> str:
    """The page."""
    pictures = {name: page.picture(figure, alt, caption) for name, (figure, alt, caption) in figures.items()}
    tests = []
    for quantity in QUANTITIES:
        for t in sorted(measured.times.tolist()) if quantity.at_times else [None]:
            row = _overall(rows, quantity, t)
            largest = "largest" if quantity.largest_memorized else "smallest"
            tests.append(
                row | {"title": quantity.title, "memorized_is": largest, "t": "" if t is None else f"{t:g}"}
            )
    counts = np.bincount(measured.arrays["label"], minlength=len(LABELS))
    limits = []
    if "slopes" in measured.arrays:
        limits.append(
            "The dimension is too large for the full Jacobian: counts and local dimensions see the smallest "
            f"{measured.arrays['slopes'].shape[-1]} singular values only, traces are estimates, and there is "
            "no log determinant."
        )
    return page.render(
        "geometry.html",
        title="How deep are the attractors?",
        answer=sentence,
        source=source.title,
        labelled_by=source.labelled_by,
        counts=", ".join(f"{n} {name}" for n, name in zip(counts, phases.NAMES, strict=True)),
        required=settings.basins.required,
        copies=settings.basins.copies,
        delta=settings.basins.delta,
        metric=METRICS[settings.basins.metric],
        stratified=len(measured.names) > 1,
        tests=tests,
        recovery=pictures["recovery"],
        volumes=pictures["volumes"],
        spectra=pictures["spectra"],
        against_size=pictures.get("quantities"),
        pictures=[picture for name, picture in pictures.items() if name.startswith("returns_")],
        limits=limits,
        command=" ".join(["python -m experiments.geometry", *sys.argv[1:]]),
        settings=json.loads((workdir / "config.json").read_text()),
        environment=json.loads((workdir / "environment.json").read_text()),
    )


def print_outcome(workdir: sweep.Workdir) -> None:
    """The sentence of the page and the tests behind it."""
    print(json.loads((workdir / "geometry.json").read_text())["answer"])
    with (workdir / "geometry.csv").open() as stream:
        rows = [r for r in csv.DictReader(stream) if r["num_train"] == "all" and r["phase"] == "memorized"]
    for row in rows:
        if row["p_trend"] == "nan":  # no pair of phases within a model: the answer says so
            continue
        at = f" at t = {float(row['t']):g}" if row["t"] else ""
        share = f"{float(row['superiority']):.0%} of pairs in order"
        print(f"  {row['quantity']}{at}: {share}, p = {row['p_trend']}")
