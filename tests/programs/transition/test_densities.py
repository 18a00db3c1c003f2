"""The onset paper's view of a sweep whose samples are made by hand: copies below a size, fresh items above."""

import csv
import json

import numpy as np
import pytest

from configs import digits
from memgen_jax import onset, runs, statistics
from memgen_jax.programs.transition import densities as transition_densities
from memgen_jax.programs.transition import estimates as transition_estimates
from memgen_jax.programs.transition import program as transition
from memgen_jax.programs.transition import settings as transition_settings
from memgen_jax.programs.transition import tables as transition_tables

RNG = np.random.default_rng(0)
TURN = {8: 10, 16: 40}  # width -> the largest K that is copied
PATTERN = RNG.standard_normal((3, 16))


def real(count):
    """Images of 4×4 pixels with three directions of variance."""
    pixels = 128 + 30 * RNG.standard_normal((count, 3)) @ PATTERN + 5 * RNG.standard_normal((count, 16))
    return np.clip(pixels, 0, 255).astype(np.uint8).reshape(count, 4, 4, 1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    np.savez(folder / "data.npz", images=real(900), held_out=real(300))
    config = digits.get_config("smoke")
    config.data.name = str(folder / "data.npz")
    config.update(num_train=(4, 16, 64, 900), seeds=(0, 1))
    config.update_from_flattened_dict({"control.run": False, "phases.num_bootstrap": 40})
    with config.unlocked():
        config.widths = tuple(TURN)
    run, workdir = transition_settings.TransitionRun(config), runs.Workdir(folder / "run", {})
    for member in run.members:
        copies = member.num_train <= TURN[member.width]
        images = np.resize(run.train[: member.num_train], (128, 4, 4, 1)) if copies else real(128)
        workdir.write_npz(f"samples/{member.name}.npz", images=images)
    transition.find_neighbors(run, workdir)
    transition_tables.classify(run, workdir)
    transition_estimates.tabulate(run, workdir)
    transition_densities.tabulate(run, workdir)
    return run, workdir


@pytest.fixture(scope="module")
def folder(finished):
    return finished[1]


def rows_of(folder, name):
    return list(csv.DictReader((folder / name).read_text().splitlines()))


def test_each_width_has_a_row_for_every_size_and_view(folder):
    rows = rows_of(folder, "onset.csv")
    assert len(rows) == 2 * 2 * 4 and {row["num_seeds"] for row in rows} == {"2"}
    for row in rows:
        size, width = int(row["num_train"]), int(row["width"])
        assert int(row["num_held_out"]) == 1200 - size
        if size <= 64:
            assert (float(row["p_delta_positive"]) > 0.5) == (size > TURN[width])
            assert float(row["delta_low"]) < float(row["delta"]) < float(row["delta_high"])


def test_held_out_items_in_place_of_samples_win_and_are_left_out_where_no_others_are_unseen(folder):
    control = {int(row["num_train"]): row["fresh_p_delta_positive"] for row in rows_of(folder, "onset.csv")}
    assert float(control[4]) == float(control[16]) == float(control[64]) == 1 and control[900] == ""


def test_the_critical_size_of_each_view_lies_where_copies_end(folder):
    outcome = json.loads((folder / "transition.json").read_text())
    for width, (low, high) in {"8": (4, 16), "16": (16, 64)}.items():
        for found in outcome["onset_by_width"][width].values():
            assert low == found["low"] < found["num_train"] < high <= found["high"]
            assert found["largest_comparable"] == 64 and found["crossed"] > 0.9
    assert outcome["onset"] == outcome["onset_by_width"]["16"] == outcome["by_width"]["16"]["onset"]
    assert outcome["critical_by_width"]["8"]["memorized_half"]["num_train"] == pytest.approx(8, rel=0.5)


def test_widths_are_compared_by_the_size_at_which_each_turns(folder):
    rows = rows_of(folder, "capacity.csv")
    assert len(rows) == 2 * 4
    for turn in {row["turn"] for row in rows}:
        narrow, wide = (row for row in rows if row["turn"] == turn)
        assert float(narrow["low"]) <= float(narrow["critical_num_train"]) <= float(narrow["high"])
        assert (narrow["width"], wide["width"]) == ("8", "16")
        assert float(narrow["critical_num_train"]) < float(wide["critical_num_train"])


def test_both_papers_stand_over_one_axis_with_the_control_dashed(finished):
    figure, _, caption = transition_densities.draw(*finished)
    above, middle, below = figure.axes
    assert "Dashed" in caption and above.get_xlim() == middle.get_xlim() == below.get_xlim()
    dashed = [line for line in below.lines if line.get_linestyle() == "--"]
    assert [list(line.get_xdata()) for line in dashed] == [[4, 16, 64]] * 2
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "fewer unseen items than K" in labels
    assert any(label.startswith("coordinate by coordinate: ½ at K = ") for label in labels)


def test_every_turn_is_a_line_over_the_widths(folder):
    figure, *_ = transition_densities.draw_capacity(folder)
    drawn = figure.axes[0].containers
    assert len(drawn) == 4
    for line in drawn:
        narrow, wide = line.lines[0].get_ydata()
        assert narrow < wide


def comparison(delta):
    return onset.Comparison(
        "components", 1.0 + delta, 1.0, 2.0, delta + np.linspace(-0.01, 0.01, 20), 0.5, 8, 64, 900
    )


def test_over_redrawn_training_sets_the_probability_is_the_share_of_sets():
    seeds = [comparison(delta) for delta in (0.2, 0.1, -0.1, 0.3)]
    row = transition_densities.pooled_row(seeds, True)
    assert row["p_delta_positive"] == 0.75 and row["probability_over"] == "training sets"
    assert row["p_delta_positive_low"] == pytest.approx(0.3006, abs=1e-3)  # Wilson's of 3 in 4
    low, high = statistics.student_interval([0.2, 0.1, -0.1, 0.3])
    assert (row["delta_low"], row["delta_high"]) == pytest.approx((low, high))
    assert transition_densities.pooled_row(seeds, False)["probability_over"] == "samples and unseen items"


def test_the_turn_of_redrawn_sets_has_students_interval_over_their_own_turns():
    turns = np.array([20.0, 30.0, 40.0, 30.0])
    sizes = (4, 16, 64, 256)
    found = transition_densities.critical_size(
        {size: [comparison(0.1 * np.log(size / turn)) for turn in turns] for size in sizes}, True
    )
    low, high = np.exp(statistics.student_interval(np.log(turns)))
    assert found["low"] <= low < found["num_train"] < high <= found["high"]
    assert 16 <= found["num_train"] <= 64


def test_unseen_items_in_place_of_the_training_set_are_never_copied(folder):
    for row in rows_of(folder, "onset.csv"):
        if int(row["num_train"]) in (16, 64):
            assert float(row["placebo_relative_delta"]) > 0.4 and float(row["placebo_p_delta_positive"]) > 0.9
        elif row["num_train"] == "900":
            assert row["placebo_relative_delta"] == ""


def test_unseen_items_stay_the_same_set_while_enough_are_left_beyond_the_training_set():
    held_out, train = real(3), real(12)
    known = transition_densities.UnseenSets(6)
    first = known.of("coordinates", "samples", held_out, train[2:])
    assert known.of("coordinates", "samples", held_out, train[8:]) is first
    wanted = onset.Unseen(transition_densities.as_vectors(np.concatenate([held_out, train[9:]])))
    np.testing.assert_array_equal(first.items, wanted.items)
    fewer = known.of("coordinates", "samples", held_out, train[10:])  # all there are, in their order
    wanted = onset.Unseen(transition_densities.as_vectors(np.concatenate([held_out, train[10:]])))
    np.testing.assert_array_equal(fewer.items, wanted.items)
