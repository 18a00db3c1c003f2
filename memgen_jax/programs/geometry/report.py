"""The last stage of the geometry program: tables, figures and the page."""

import csv
import json
import re
from typing import Any

import numpy as np

from memgen_jax import phases, runs
from memgen_jax.programs.geometry.settings import GeometrySettings
from memgen_jax.programs.geometry.sources import Source
from memgen_jax.programs.geometry.tables import (
    LABELS,
    QUANTITIES,
    TESTS,
    Measured,
    answer,
    basin_rows,
    load,
    overall,
    table_rows,
    values_of,
)
from memgen_jax.report import geometry_figures, page, style

# The noise levels, as fractions of the largest time, of the pictures that show samples on their way.
PICTURE_TIMES = (0.1, 0.3, 0.5, 0.7, 0.9)


def report(settings: GeometrySettings, source: Source, workdir: runs.Workdir) -> None:
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
    settings: GeometrySettings, source: Source, measured: Measured, values: dict, rows: list
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
            f"Samples of {_words(name)}, their noised copies and what came back.",
            f"Samples of {_words(name)}.",
        )
    return figures


def _words(group: str) -> str:
    """The name of a group for readers: "num_train=000002" is the model of K = 2."""
    return re.sub(
        r"num_train=0*(\d+)", lambda found: f"the model of K = {int(found[1]):,}", group.replace(",", ", ")
    )


def _galleries(measured: Measured, count: int = 3) -> dict[str, dict[str, np.ndarray]]:
    """The groups whose pictures show most phases; spread over them where there are many."""
    most = max((len(shown["shown_label"]) for shown in measured.shown.values()), default=0)
    names = [name for name, shown in measured.shown.items() if len(shown["shown_label"]) == most]
    places = np.unique(np.linspace(0, len(names) - 1, min(count, len(names))).round().astype(int))
    return {names[i]: measured.shown[names[i]] for i in places}


def render(
    settings: GeometrySettings,
    source: Source,
    workdir: runs.Workdir,
    measured: Measured,
    rows: list[dict[str, Any]],
    figures: dict[str, tuple],
    sentence: str,
) -> str:
    """The page."""
    pictures = {name: page.picture(figure, alt, caption) for name, (figure, alt, caption) in figures.items()}
    tests = []
    for quantity in QUANTITIES:
        for t in sorted(measured.times.tolist()) if quantity.at_times else [None]:
            row = overall(rows, quantity, t)
            largest = "largest" if quantity.largest_memorized else "smallest"
            tests.append(
                row | {"title": quantity.title, "memorized_is": largest, "t": "" if t is None else f"{t:g}"}
            )
    observations = {row["phase"]: row["observations"] for row in rows if row["num_train"] == "all"}
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
        metric=source.metric.phrase,
        stratified=len(measured.names) > 1,
        order=settings.select.order,
        by_prompt=source.units_are_prompts,
        observations=", ".join(f"{observations[name]} {name}" for name in phases.NAMES),
        num_tests=sum(not np.isnan(row[name]) for row in tests for name in TESTS),
        tests=tests,
        recovery=pictures["recovery"],
        volumes=pictures["volumes"],
        spectra=pictures["spectra"],
        against_size=pictures.get("quantities"),
        pictures=[picture for name, picture in pictures.items() if name.startswith("returns_")],
        limits=limits,
        command=workdir.command,
        settings=json.loads((workdir / "config.json").read_text()),
        environment=json.loads((workdir / "environment.json").read_text()),
    )


def print_outcome(workdir: runs.Workdir) -> None:
    """The sentence of the page and the tests behind it."""
    print(json.loads((workdir / "geometry.json").read_text())["answer"])
    with (workdir / "geometry.csv").open() as stream:
        rows = [r for r in csv.DictReader(stream) if r["num_train"] == "all" and r["phase"] == "memorized"]
    for row in rows:
        if row["p_trend"] == "nan":  # no pair of phases within a model: the answer says so
            continue
        at = f" at t = {float(row['t']):g}" if row["t"] else ""
        share = f"{float(row['superiority']):.0%} of pairs in order"
        print(f"  {row['quantity']}{at}: {share}, p = {row['p_trend']}, corrected {row['holm_trend']}")
