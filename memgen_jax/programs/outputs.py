"""Every file that a program leaves in its folder, and what it is."""

import csv
import fnmatch
import os
import pathlib

from memgen_jax.programs import columns

EVERYWHERE: dict[str, str] = {
    "config.json": "every setting of the run",
    "environment.json": "versions, devices and the commit of the code",
    "metrics.jsonl": "a line for each logged step and stage: loss, rate, speed",
    "figures/*.png": "the figures",
    "figures/*.pdf": "the figures, for print",
    "report.html": "the page: the answer first, the rest folds; opens offline",
    ".lock": "keeps a second process out while the program runs",
    ".at_work*": "the same, where the file system has no locks",
}

FILES: dict[str, dict[str, str]] = {
    "transition": {
        "fractions.csv": "one row for each K and rule: the three shares with their intervals",
        "transition.json": "critical sizes, thresholds, sensitivity; see report/schemas/transition.json",
        "columns.json": "what the columns of the tables beside it mean",
        "members.csv": "one row for each network",
        "fractions_by_member.csv": "with several seeds: the shares of each network by itself",
        "fractions_by_step.csv": "with train.num_snapshots: the shares at earlier training steps",
        "training_time.json": "with train.num_snapshots: when each K memorizes and generalizes",
        "control.csv": "the shares of the exact score in place of a network",
        "repeats.csv": "the shares in sets of the same size at every K",
        "copying.csv": "C_T of each K and phase: whether new samples still lean on the training set",
        "coverage.csv": "density and coverage of the samples beside what honest data would reach",
        "denoising.csv": "how well each network denoises its own and held-out items, at several training steps",
        "onset.csv": "the onset paper's comparison of whole densities, and its controls",
        "onset.json": "the set size at which the kernel width of that comparison is taken",
        "capacity.csv": "with several widths: the K at which each turns",
        "halves.csv": "with halves: how far networks on disjoint sets agree",
        "grid.json": "with grid=auto: what the search found",
        "sets.json": "with sets: which files were read",
        "checkpoints/*": "parameters and optimiser state of each network",
        "samples/*.npz": "the samples of each network: `images`, uint8, or `points`",
        "neighbors/*.npz": "nearest training item and nearest other sample of each: distances and indices",
        "repeats/*.npz": "how many other samples lie within δ_s of each",
        "losses/*.npz": "the denoising losses of each network, at several training steps",
        "real/*.npz": "distances between real items",
        ".drawn.json": "of what the tables and the page were made",
    },
    "circle": {
        "circle.csv": "one row for each K, and inf for infinitely many points: shares, energies, minima",
        "attractors.csv": "minima of the exact and the learned energy of each K at several times",
        "phase_diagram.csv": "minima of random memories against β and their number",
        "landscape_num_train=*.npz": "energies and scores on a grid, training points, generated points",
        "correlation.csv": "the same for points that crowd together",
        "critical_load.csv": "at how many points half of them are still minima of their own",
        "minima.npz": "where the minima lie",
        "training.npz": "the last state of the networks",
    },
    "geometry": {
        "geometry.csv": "one row for each quantity, time, K and phase, with the tests of the paper's order",
        "basins.csv": "one row for each sample: its basin, and the share of copies that came back from each level",
        "geometry.json": "the answer in words",
        "spectra.npz": "singular values, eigenvalues, traces of every sample",
        "measured/*.npz": "what was measured of each network's samples",
        "samples/pipeline.npz": "the pictures drawn from a pipeline",
    },
    "onset": {
        "onset.csv": "one row for each n: distances between the densities and P(Δ > 0)",
        "readings.csv": "the same for every reading of kernel width and covariance",
        "onset.json": "the n at which P(Δ > 0) turns, and what it is compared with",
        "simulations/*.npz": "what blocks of simulations measured",
        "members.csv": "one row for each network",
        "checkpoints/*": "parameters and optimiser state of each network",
        "samples/*.npz": "the samples of each network",
    },
    "compare": {
        "compare.csv": "one row for each run and critical size",
        "differences.csv": "one row for each pair of runs and critical size: their ratio and its interval",
        "compare.json": "the settings in which the runs differ",
        "columns.json": "what the columns of the tables beside it mean",
    },
    "audit": {
        "labels.csv": "one row for each sample: its label, its nearest training item, its nearest other sample",
        "summary.json": "the answer and all numbers; see report/schemas/summary.json",
        "distances.npz": "all that searching found; `memgen audit --distances` labels it again",
        "skipped.csv": "what was not read, and why",
        "sets.csv": "with --each: one row for each set of samples, beside a folder with the other files for each",
        "pairs/*": "with --save-pairs: a picture of every copy beside its original",
    },
}


def meaning(program: str, file: str) -> str | None:
    """What a file is; None where nothing is known of it.

    Args:
      program: "transition", "circle", "geometry", "onset", "compare" or "audit".
      file: its path inside the program's folder.
    """
    known = EVERYWHERE | FILES[program]
    return next((text for pattern, text in known.items() if fnmatch.fnmatchcase(file, pattern)), None)


def undocumented(program: str, folder: str | os.PathLike) -> list[str]:
    """Files of a program's folder that no line here is about, and columns of its tables that have no meaning."""
    place = pathlib.Path(folder)
    found = []
    for file in sorted(path for path in place.rglob("*") if path.is_file()):
        name = str(file.relative_to(place))
        if meaning(program, name) is None:
            found.append(name)
        if file.suffix == ".csv":
            header = next(csv.reader([file.read_text().partition("\n")[0]]), [])
            found += [f"{name}: {column}" for column in header if columns.meaning(column) is None]
    return found
