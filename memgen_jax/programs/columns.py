"""What the columns of a run's tables mean: one meaning for each name, whatever the table.

A run writes it for its own tables as columns.json; docs/columns.md is the whole of it.
"""

import csv
import json

from etils import epath

from memgen_jax.files import write_whole

_PHASE = "share of the row's samples that are {0}"
_END = "{0} end of the 95% interval of {1}"
NAMES = ("memorized", "spurious", "generalized")

MEANINGS: dict[str, str] = {
    "num_train": "K, the number of training items of the network",
    "width": "base width of the network; blank where it has none, and in members.csv where the sweep has one width",
    "seed": "of the network's initial weights, order, noise and samples",
    "batch_size": "items of a training step",
    "name": "of the member: the stem of its files in samples/, neighbors/ and checkpoints/",
    "member": "name of the member, as in members.csv",
    "step": "training steps taken when the samples were drawn",
    "rule": "that sets the thresholds: the config's, or held_out_rate (a fixed rate of false positives at every K)",
    "phase": "whose samples the row is of: memorized, spurious, generalized or all",
    "num_synthetic": "samples that the row is made of, of all its seeds; of the exact score in control.csv; at most "
    "onset_items in onset.csv",
    "num_samples": "size of the set in which repeats are counted (repeats.csv), or samples of the phase (copying.csv)",
    "num_held_out": "real items unseen by the network that the row compares its samples with; in onset.csv these are "
    "the held-out items and the training items beyond K, at most onset_items",
    "num_seeds": "networks, one a seed, that the row is a mean over",
    **{name: _PHASE.format(name) for name in NAMES},
    "delta_m": "largest distance to a training item at which a sample is memorized",
    "delta_s": "largest distance to another sample at which a sample is spurious (a repeat)",
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
    "kernel_width": "standard deviation of the kernel around each item",
    "fresh_relative_delta": "relative_delta with held-out items in place of the samples, as a perfect model makes them",
    "fresh_p_delta_positive": "p_delta_positive with held-out items in place of the samples",
    "placebo_relative_delta": "relative_delta with items in place of the training set that the network never saw",
    "placebo_p_delta_positive": "p_delta_positive with items in place of the training set that the network never saw",
    "probability_over": "what is drawn again for p_delta_positive: training sets, or samples and unseen items",
    "ball": "k of coverage and density: a held-out item's ball reaches to its k-th nearest other held-out item",
    "density": "held-out items' balls that a sample lies in, over k: 1 for samples as dense as unseen items are",
    "density_expected": "density of unseen items in place of the samples",
    "coverage": "share of held-out items whose ball holds a sample: low where the samples miss a part of the data",
    "coverage_expected": "coverage of unseen items in place of the samples",
    "items": "kind of item that is denoised: train (the network's own) or held_out (unseen)",
    "noise": "noise level s(t) / m(t): the noise's standard deviation for a signal as the data's",
    "time": "t at which the process has the noise level",
    "loss": "mean squared error of E[x_0 | x_t] per number of an item, in the data's own unit",
    "num_items": "items of the kind that are denoised",
    "num_pairs": "pairs of samples from the same noise, of all seeds, of two networks that share no training item",
    "cosine": "cosine similarity of a sample and its twin from the same noise, from the mean training item",
    "null_cosine": "cosine similarity of the two networks' samples from different noise",
    "nearer_own": "share of samples nearer to their own network's training items than to the twin's",
    "arcs": "of the circle, of equal length at equal distances, on which the stored points lie",
    "share": "of the circle that these arcs cover together",
    "correlation": "mean inner product of two different stored points",
    "beta": "inverse temperature",
    "load": "K at which half the stored points are minima of their own; blank beyond the sizes tried",
    "spurious_peak": "most minima off the stored points, per stored point",
    "spurious_peak_at": "K at which these are",
    "num_patterns": "K, the number of stored points",
    "minima": "local minima of the energy, mean over draws",
    "recalled": "minima at stored points, per stored point",
    "draws": "sets of random points",
    "turn": "what happens at the K of the row",
    "low": "lower end of the 95% interval of the row's number",
    "high": "upper end of the 95% interval of the row's number",
    "run": "name of the run that is compared",
    "quantity": "memorized_half, spurious_peak or generalized_half: which critical K",
    "first": "one run of a pair",
    "second": "the other run of a pair",
    "first_num_train": "critical K of the first run",
    "second_num_train": "critical K of the second run",
    "ratio": "critical K of the second run over that of the first",
    "differs": "whether the interval of the ratio leaves out 1",
}

# Of transition.json.
RESULTS: dict[str, str] = {
    "critical": "memorized_half and generalized_half, the K at which a share crosses one half, and spurious_peak",
    "crossed": "share of bootstrap resamples in which the curve crosses one half; the interval is over those",
    "replicates": "seeds of the size that has the fewest: with 1, intervals hold the noise of sampling alone",
    "held_out_quality": "for each K, sample_distance of samples that are not memorized beside held_out_distance: far "
    "above it, generalized only means undertrained",
    "sensitivity": "the spurious peak and the last mostly memorized K at scaled thresholds",
    "critical_at_common_size": "critical sizes where repeats are counted in sets of one size at every K",
}


def meaning(column: str) -> str | None:
    """What a column means; None where it is not known."""
    if column in MEANINGS:
        return MEANINGS[column]
    for ending, word in (("_low", "lower"), ("_high", "upper")):
        base = column.removesuffix(ending)
        if base != column and base in MEANINGS:
            return _END.format(word, base)
    return None


def write(folder: epath.PathLike) -> None:
    """Writes columns.json beside the tables of a folder: table -> column -> meaning."""
    path = epath.Path(folder)
    found = {}
    for file in sorted(path.glob("*.csv")):
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
