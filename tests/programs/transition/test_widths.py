"""A sweep over two widths, made by hand: the narrow network never copies, the wide one does up to K = 8."""

import html
import json
import re

import numpy as np
import pytest

from configs import digits
from memgen_jax import runs
from memgen_jax.programs.transition import estimates
from memgen_jax.programs.transition import report as transition_report
from memgen_jax.programs.transition import settings as transition_settings
from memgen_jax.programs.transition import steps as transition_steps
from memgen_jax.programs.transition import tables as transition_tables
from memgen_jax.report import style

NARROW, WIDE = 32, 128
SIZES = (2, 8, 64)
# A one-pixel PNG: what is drawn is looked at elsewhere, and writing it takes most of the time.
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de"
    "0000000c49444154789c63f8ffff3f0005fe02fe0def46b80000000049454e44ae426082"
)


def make(folder, widths, model_width=WIDE):
    """The run and its folder, with every set's distances but nothing trained."""
    config = digits.get_config("smoke")
    config.update(num_train=SIZES, seeds=(0,))
    config.update_from_flattened_dict(
        {"control.run": False, "phases.num_bootstrap": 20, "train.num_snapshots": 3}
        | {"phases.rule": "given", "phases.delta_m": 1.0, "phases.delta_s": 1.0}
        | {"sampler.at_least": 8, "sampler.at_most": 8}
    )
    config.model.width = model_width
    with config.unlocked():
        config.widths = widths
    run, workdir = transition_settings.TransitionRun(config), runs.Workdir(folder, config.to_dict())
    for member in (*run.members, *run.snapshots(run.members)):
        copies = member.num_train <= 8 and member.width != NARROW and (member.step or 800) >= 400
        distance, repeats = np.linspace(4, 5, 8), np.full(8, 3.0)
        if copies:
            distance[:7] = repeats[:7] = np.linspace(0.1, 0.5, 7)  # seven samples of eight
        index = np.arange(8) % member.num_train
        workdir.write_npz(
            f"neighbors/{member.name}.npz",
            train_distance=distance.astype(np.float32),
            train_index=index,
            synthetic_distance=repeats.astype(np.float32),
            synthetic_index=np.arange(8)[::-1],
        )
        workdir.write_npz(f"samples/{member.name}.npz", images=run.train[:8])
    transition_tables.classify(run, workdir)
    estimates.tabulate(run, workdir)
    transition_steps.tabulate(run, workdir)
    return run, workdir


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return make(tmp_path_factory.mktemp("widths") / "run", (NARROW, WIDE))


def read(workdir, name):
    return json.loads((workdir / name).read_text())


@pytest.mark.parametrize(
    "widths, model_width, shown",
    [((32, 128), 128, 128), ((128, 256), 128, 128), ((64, 32), 128, 64), ((32,), 128, 32), ((), 128, None)],
)
def test_the_page_speaks_first_of_the_models_own_width_or_else_of_the_largest(widths, model_width, shown):
    config = digits.get_config("smoke")
    config.model.width = model_width
    with config.unlocked():
        config.widths = widths
    assert transition_tables.shown_width(transition_settings.TransitionRun(config)) == shown


def test_the_critical_sizes_on_top_are_those_of_the_width_that_is_named_and_all_stand_by_width(swept):
    _, workdir = swept
    outcome = read(workdir, "transition.json")
    assert outcome["width"] == WIDE and set(outcome["by_width"]) == {str(NARROW), str(WIDE)}
    for name in ("critical", "sensitivity", "held_out_quality"):
        assert outcome[name] == outcome["by_width"][str(WIDE)][name] != outcome["by_width"][str(NARROW)][name]
    critical = {width: own["critical"] for width, own in outcome["by_width"].items()}
    assert 8 < critical[str(WIDE)]["memorized_half"]["num_train"] < 64
    assert critical[str(NARROW)]["memorized_half"]["num_train"] is None
    assert outcome["critical_by_width"] == critical


def test_training_times_are_those_of_each_width(swept):
    _, workdir = swept
    times = read(workdir, "training_time.json")
    assert times["width"] == WIDE and times["tau"] == times["by_width"][str(WIDE)]["tau"]
    tau = {width: [row["tau_mem"] for row in own["tau"]] for width, own in times["by_width"].items()}
    assert tau[str(NARROW)] == [None, None, None]
    assert 200 < tau[str(WIDE)][0] == tau[str(WIDE)][1] < 400 and tau[str(WIDE)][2] is None


def test_the_phase_diagram_has_a_line_of_maps_for_each_width(swept):
    figure, *_ = transition_steps.draw(*swept)
    maps = {axes.get_title(loc="left"): axes for axes in figure.axes if axes.get_title(loc="left")}
    assert list(maps) == [
        f"{phase}, width {width}"
        for width in (NARROW, WIDE)
        for phase in ("memorized", "spurious", "generalized")
    ]
    assert maps["memorized, width 32"].collections[0].get_array().max() == 0
    assert maps["memorized, width 128"].collections[0].get_array().max() == 7 / 8


def test_a_single_width_leaves_files_without_widths(tmp_path):
    run, workdir = make(tmp_path / "run", ())
    assert list(read(workdir, "transition.json")) == [
        "schema", "data", "metric", "intervals", "thresholds", "smallest_size", "sensitivity", "held_out_quality",
        "critical", "critical_by_rule", "critical_at_common_size", "rules",
    ]  # fmt: skip
    assert list(read(workdir, "training_time.json")) == ["tau", "exponent", "exponent_error"]
    figure, *_ = transition_steps.draw(run, workdir)
    assert [axes.get_title(loc="left") for axes in figure.axes][:3] == [
        "memorized",
        "spurious",
        "generalized",
    ]


def page_of(run, workdir, monkeypatch):
    """What a reader of the page sees, and the figures that were saved."""
    saved = {}

    def save(figure, path):
        saved[path.name] = figure
        (workdir / f"figures/{path.name}.png").parent.mkdir(exist_ok=True)
        (workdir / f"figures/{path.name}.png").write_bytes(PIXEL)
        return [workdir / f"figures/{path.name}.png", None]

    monkeypatch.setattr(style, "save", save)
    monkeypatch.setattr(style, "png_bytes", lambda figure: PIXEL)
    workdir.write_environment()
    workdir.append_json_line(
        "metrics.jsonl",
        {"stage": "train", "step": 1, "members": [m.name for m in run.members], "loss": [1.0] * len(run.members)},
    )  # fmt: skip
    transition_report.report(run, workdir)
    text = (workdir / "report.html").read_text().split("</style>")[1]
    return html.unescape(" ".join(re.sub(r"<[^>]*>", " ", text).split())), saved


def test_the_page_answers_for_every_width_and_says_which_one_it_shows(swept, monkeypatch):
    seen, saved = page_of(*swept, monkeypatch)
    assert "On digits at width 128 the share of memorized samples falls from 87.5% at K = 2" in seen
    assert "At width 32 there is no transition" in seen
    critical = seen[seen.index("Sizes at which the phases change") : seen.index("The fractions")]
    assert re.search(r"32 not within this sweep .*128 K = \d+ \d+ – \d+ ", critical)
    fractions = seen[seen.index("The fractions") :]
    assert "width K samples" in fractions and "32 8 8 0.0%" in fractions and "128 8 8 87.5%" in fractions
    assert "The same pictures of width 32" in seen
    assert "at width 32 it is 0% at K = 2 for" in seen and "; at width 128 it is" in seen
    titles = {name: figure.axes[0].get_title(loc="left") for name, figure in saved.items()}
    assert titles["histograms"] == "K = 2, width 128" and titles["histograms,width=032"] == "K = 2, width 32"
    assert titles["examples"] == "memorized, K = 8, width 128"
    assert titles["examples,width=032"].endswith("width 32")
    assert titles["training_curves"] == "width 32"
    labels = [text.get_text() for text in saved["sample_quality"].legends[0].get_texts()]
    assert labels[1:] == [f"samples that are not memorized, width {width}" for width in (NARROW, WIDE)]


def test_the_page_of_a_single_width_names_none(tmp_path, monkeypatch):
    seen, saved = page_of(*make(tmp_path / "run", ()), monkeypatch)
    assert "width" not in seen[: seen.index("How it was made")]
    assert sorted(saved) == [
        "examples", "histograms", "phase_diagram", "repeats", "sample_quality", "training_curves", "transition",
    ]  # fmt: skip
    assert saved["histograms"].axes[0].get_title(loc="left") == "K = 2"
