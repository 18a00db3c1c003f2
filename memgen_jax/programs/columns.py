"""What the columns of a run's tables mean: one meaning for each name, whatever the table.

A run writes it for its own tables as columns.json; docs/columns.md is the whole of it.
"""

import csv
import itertools
import json
import re

from etils import epath

from memgen_jax.files import write_whole
from memgen_jax.report import schema

_PHASE = "share of the row's samples that are {0}"
_END = "{0} end of the 95% interval of {1}"
NAMES = ("memorized", "spurious", "generalized")

MEANINGS: dict[str, str] = {
    "num_train": "K, the number of training items of the network; of the linear denoiser n",
    "width": "base width of the network; blank where it has none, and in members.csv where the sweep has one width",
    "seed": "of all that is drawn for the row: of a network its initial weights, order, noise and samples",
    "batch_size": "items of a training step",
    "name": "of the member: the stem of its files in samples/, neighbors/ and checkpoints/",
    "member": "name of the member, as in members.csv",
    "step": "training steps taken when the samples were drawn, or the losses measured",
    "rule": "that sets the thresholds: the config's, or held_out_rate (a fixed rate of false positives at every K)",
    "phase": "whose samples the row is of: memorized, spurious, generalized or all",
    "num_synthetic": "samples that the row is made of, of all its seeds; of the exact score in control.csv; at most "
    "onset_items in onset.csv",
    "num_samples": "size of the set of samples that the row describes: cut to this size in repeats.csv and "
    "coverage.csv, all of the phase in copying.csv",
    "num_held_out": "real items unseen by the network that the row compares its samples with; in onset.csv these are "
    "the held-out items and the training items beyond K, at most onset_items",
    "num_seeds": "networks, one a seed, that the row is a mean over",
    **{name: _PHASE.format(name) for name in NAMES},
    "delta_m": "largest distance to a training item at which a sample is memorized",
    "delta_s": "largest distance to another sample at which a sample is a repeat (calibrated: of the row's set size)",
    "sample_distance": "median distance of the samples to the nearest training item",
    "held_out_distance": "median distance of held-out items to the nearest training item",
    "c_t": "C_T: below 0 the samples lie nearer to the training set than unseen items do, in standard deviations",
    "c_t_cells_low": "lowest C_T of a region of the training set",
    "median_distance": "median distance of the phase's samples to the nearest training item",
    "held_out_median": "median distance of held-out items to the nearest training item",
    "view": "how items become densities: single coordinates, or the leading principal components",
    "e_tg": "squared distance between the densities of the training set and of the samples",
    "e_og": "squared distance between the densities of unseen items and of the samples",
    "delta": "e_tg - e_og: above 0 the samples lie nearer to unseen items than to the training set",
    "relative_delta": "delta over the distance of training set and unseen items: -1 for copies, 1 for new items",
    "p_delta_positive": "chance that delta is above 0, by the bootstrap",
    "kernel_width": "width of the kernel around each item: a standard deviation; of the linear denoiser its rule",
    "fresh_relative_delta": "relative_delta with held-out items in place of the samples, as a perfect model makes them",
    "fresh_p_delta_positive": "p_delta_positive with held-out items in place of the samples",
    "placebo_relative_delta": "relative_delta with items in place of the training set that the network never saw; "
    "one such set a seed, which no interval redraws",
    "placebo_p_delta_positive": "p_delta_positive with items in place of the training set that the network never saw",
    "probability_over": "what is drawn again for p_delta_positive: training sets, or samples and unseen items",
    "ball": "k of coverage and density: a held-out item's ball reaches to its k-th nearest other held-out item",
    "density": "held-out items' balls that a sample lies in, over k: 1 for samples as dense as unseen items are",
    "density_expected": "density of unseen items in place of the samples",
    "coverage": "share of held-out items whose ball holds a sample: low where the samples miss a part of the data",
    "coverage_expected": "coverage of unseen items in place of the samples",
    "items": "kind of item that is denoised: train (the network's own) or held_out (unseen)",
    "noise": "noise level s(t) / m(t): the noise's standard deviation for a signal as the data's",
    "time": "t of the process: at which it has the noise level, or at which a landscape is taken",
    "loss": "mean squared error of E[x_0 | x_t] per number of an item, in the data's own unit",
    "num_items": "items of the kind that are denoised",
    "num_pairs": "pairs of samples from the same noise, of all seeds, of two networks that share no training item",
    "cosine": "cosine similarity of a sample and its twin from the same noise, from the mean training item",
    "null_cosine": "cosine similarity of the two networks' samples from different noise",
    "nearer_own": "share of samples nearer to their own network's training items than to the twin's",
    "arcs": "of the circle, of equal length at equal distances, on which the stored points lie",
    "share": "of the circle that these arcs cover together",
    "correlation": "mean inner product of two different stored points",
    "beta": "inverse temperature, 1/(2 sigma^2 t) in the VE process",
    "load": "K at which half the stored points are minima of their own; blank beyond the sizes tried",
    "spurious_peak": "most minima off the stored points, per stored point",
    "spurious_peak_at": "K at which these are",
    "num_patterns": "K, the number of stored points",
    "minima": "local minima of the energy; over several draws of the points their mean",
    "spurious_minima": "of those, the ones off the stored points; over several draws of the points their mean",
    "recalled": "minima at stored points, per stored point",
    "draws": "sets of random points",
    "turn": "what happens at the K of the row",
    "low": "lower end of the 95% interval of the row's number",
    "high": "upper end of the 95% interval of the row's number",
    "run": "name of the run that is compared",
    "quantity": "what the row is of: a critical K (memorized_half, spurious_peak, generalized_half), or what was "
    "measured of a sample's surroundings (geometry.csv)",
    "first": "one run of a pair",
    "second": "the other run of a pair",
    "critical_num_train": "critical K of the row: the size at which its quantity or turn comes; blank where none does",
    "first_num_train": "critical K of the first run",
    "second_num_train": "critical K of the second run",
    "ratio": "critical K of the second run over that of the first",
    "differs": "whether the interval of the ratio leaves out 1",
    # The audit's.
    "sample": "the sample: its file or its place in the set (labels.csv), or its number (basins.csv)",
    "label": "memorized, spurious or generalized",
    "train_distance": "distance to the nearest training item; with _2, _3, … to the next ones",
    "train_item": "the nearest training item; with _2, _3, … the next ones",
    "synthetic_distance": "distance to the nearest other sample",
    "synthetic_item": "the nearest other sample",
    "set": "train, samples or holdout (skipped.csv), or the set of samples (sets.csv)",
    "dcr_share": "share of the samples nearer to the training set than to as many held-out items; one half if honest",
    "dcr_share_low": "lower end of its 95% interval",
    "dcr_share_high": "upper end of its 95% interval",
    "item": "what was left out of the set",
    "reason": "why it was left out",
    # The circle's.
    "landscape": "whose minima: exact, of the training set's own energy, or learned, of the network's",
    "minima_off_train": "of those, the ones that lie off the training points",
    "isolated_at_train": "isolated minima at a training point",
    "isolated_off_train": "isolated minima off all training points",
    "flat": "minima that are part of a flat manifold",
    "unsettled_starts": "descents that ended at no minimum",
    "ring_radius": "mean radius at which descents from the unit circle end",
    "ring_radius_std": "standard deviation of that radius",
    "ring_radius_theory": "that radius by the closed form of infinitely many points",
    "num_generated": "points generated",
    **{f"{name}_by_distance": f"share of the generated points that are {name} by distance" for name in NAMES},
    **{
        f"{name}_by_distance_null": f"the same share of fresh points of the circle: {name} by chance"
        for name in NAMES
    },
    "memorized_beyond_chance": "share of copies by distance beyond chance: blank where most are by chance",
    "radius_mean": "mean distance of the generated points from the centre",
    "radius_rms_error": "root mean square of that distance from 1",
    "energy_time": "t of the landscape whose energies are compared",
    "energy_correlation_exact": "correlation of the learned energy with the exact one of the training set",
    "energy_correlation_infinite": "correlation of the learned energy with that of infinitely many points",
    "energy_largest_deviation_exact": "largest difference of the learned energy from the exact one",
    "energy_largest_deviation_infinite": "largest difference of the learned energy from that of infinitely many points",
    # The geometry's.
    "model": "network of the run, or the pipeline",
    "critical_time": "largest noising time from which the sample still comes back to itself",
    "radius": "mean distance of the sample from itself noised to the critical time",
    "log_volume": "logarithm of the volume of the ball of that radius; -inf where the first level fails",
    "copies": "noisings of the sample at each level",
    "t": "time at which the number is measured; blank where it is measured once",
    "mean": "mean over the samples of the row",
    "median": "median over the samples of the row",
    "count": "samples of the row",
    "infinite": "of these, the samples whose number is infinite, which the mean leaves out",
    "observations": "different items or clusters that these samples are: copies of one item are one observation",
    "expected": "the order that the paper finds",
    "superiority": "share of pairs of samples of different phases that stand in that order; a tie counts half",
    "p_trend": "p-value of the order of all three phases",
    **{f"p_{a}_{b}": f"p-value of {a} before {b} in that order" for a, b in itertools.combinations(NAMES, 2)},
    "holm_trend": "p_trend, corrected for the number of tests with the same K",
    **{
        f"holm_{a}_{b}": f"p_{a}_{b}, corrected for the number of tests with the same K"
        for a, b in itertools.combinations(NAMES, 2)
    },
    # The onset paper's.
    "dim": "d, the coordinates of one point",
    "num_simulations": "independent repetitions",
    "hellinger2": "squared Hellinger distance of the generated density from the data's, 0 to 1",
    "log10_e_tg": "decimal logarithm of e_tg",
    "log10_e_og": "decimal logarithm of e_og",
    "covariance": "reading of the generated covariance: derived or printed",
    "nested": "whether the training set is part of the original one",
    "num_original": "N, the original points",
    "data_mean": "mean of the data in each coordinate",
    "sigma": "standard deviation of the data in each coordinate",
    "final_time": "T, at which the denoiser starts",
    "noise_scale": "lambda; the noise has variance lambda (1 - exp(-2T))",
    "source": "what is compared: model, or as controls fresh (unseen items) and copies (training items)",
    "reading": "how densities are estimated: printed, closed, silverman or whole",
    "num_steps": "training steps of the networks",
    "e_tg_scaled": "e_tg over its value at the smallest num_train",
    "e_og_scaled": "e_og over its value at the smallest num_train",
    "subset": "the order of which the training set is a prefix; 0 for the sweep's own",
    "key_width": "the width in the random keys, where it is not the network's",
    "half": "1 for a twin on the next items; see halves.csv",
}

# Of names that are made of what was asked for.
FAMILIES = {
    r"(train_distance|train_item)_(\d+)": "as {0}, of the training item that is nearest but {1} - 1",
    r"recovered_t=(.+)": "share of the sample's copies, noised to t = {0}, that come back to it",
    r"(exact|learned)_minima_t=(.+)_off_train": "minima of the {0} energy at t = {1} that lie off the training points",
    r"(exact|learned)_minima_t=(.+)": "minima of the {0} energy at t = {1}",
}
ENDINGS = {
    "_low": _END.format("lower", "{}"),
    "_high": _END.format("upper", "{}"),
    "_se": "standard error of {}",
}

# Of transition.json.
RESULTS: dict[str, str] = {
    name: text
    for name, part in schema.load("transition")["properties"].items()
    if (text := part.get("description"))
}


def meaning(column: str) -> str | None:
    """What a column means; None where it is not known."""
    if column in MEANINGS:
        return MEANINGS[column]
    for pattern, text in FAMILIES.items():
        if found := re.fullmatch(pattern, column):
            return text.format(*found.groups())
    for ending, words in ENDINGS.items():
        base = column.removesuffix(ending)
        if base != column and meaning(base):
            return words.format(base)
    return None


def write(folder: epath.PathLike) -> None:
    """Writes columns.json beside the tables of a folder: table -> column -> meaning."""
    path = epath.Path(folder)
    found = {}
    for file in sorted(file for file in path.glob("*.csv") if file.name[0] != "."):
        header = next(csv.reader([file.read_text().partition("\n")[0]]), [])
        found[file.name] = {column: meaning(column) or "" for column in header}
    if (path / "transition.json").exists():
        found["transition.json"] = RESULTS
    write_whole(path / "columns.json", (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())


def page() -> str:
    """The text of docs/columns.md."""
    lines = [
        "# What the columns mean",
        "",
        "One meaning for each name, in every table. A run writes the same for its own tables as `columns.json`.",
        "`X_low` and `X_high` are the ends of the 95% interval of `X`.",
        "",
        "| column | meaning |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in MEANINGS.items()),
        "",
        "In `transition.json`:",
        "",
        "| key | meaning |",
        "|---|---|",
        *(f"| `{name}` | {text} |" for name, text in RESULTS.items()),
        "",
    ]
    return "\n".join(lines)
