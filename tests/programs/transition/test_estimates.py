"""What the shares of a sweep mean: sets made by hand, of which a known part is copied or repeated."""

import csv
import json

import numpy as np
import pytest

from configs import digits
from memgen_jax import runs, statistics
from memgen_jax.programs.transition import copying, estimates, thresholds
from memgen_jax.programs.transition import program as transition
from memgen_jax.programs.transition import tables as transition_tables
from memgen_jax.programs.transition.settings import TransitionRun

SIZES = (16, 64)


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """At K = 16 half of 400 samples are copies; at K = 64 a tenth of 400 come in 20 exact pairs, the rest is real."""
    config = digits.get_config("smoke")
    config.update(num_train=SIZES, seeds=(0,))
    config.update_from_flattened_dict(
        {
            "phases.num_bootstrap": 20,
            **dict.fromkeys(("control.num_samples", "sampler.at_least", "sampler.at_most"), 400),
        }
    )
    folder = tmp_path_factory.mktemp("estimates")
    run = TransitionRun(config)
    fresh = run.train[500:1300]  # real, and in no S here
    pairs = np.repeat(np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8), 2, axis=0)
    sets = {
        16: np.concatenate([np.resize(run.train[:16], (200, 8, 8, 1)), fresh[:200]]),
        64: np.concatenate([pairs, fresh[200:560]]),
    }
    with runs.Workdir(folder, {}) as workdir:  # others open it after this
        for member in (*run.members, *run.controls):
            workdir.write_npz(f"samples/{member.name}.npz", images=sets[member.num_train])
        transition.find_neighbors(run, workdir)
        transition_tables.classify(run, workdir)
        copying.tabulate(run, workdir, estimates.tabulate(run, workdir))
    return folder


def rows_of(folder, name):
    return list(csv.DictReader((folder / name).read_text().splitlines()))


def test_both_rules_stand_in_the_table_the_one_of_the_settings_first(tables):
    rows = rows_of(tables, "fractions.csv")
    assert [(row["rule"], int(row["num_train"])) for row in rows] == [
        (rule, size) for rule in ("held_out", "held_out_rate") for size in SIZES
    ]
    fixed = {row["delta_m"] for row in rows[:2]}
    assert len(fixed) == 1 and float(rows[2]["delta_m"]) > float(rows[3]["delta_m"])


def test_the_same_samples_have_the_same_intervals_whether_a_network_or_the_exact_score_made_them(tables):
    networks = [row for row in rows_of(tables, "fractions.csv") if row["rule"] == "held_out"]
    exact = rows_of(tables, "control.csv")
    assert len(exact) == len(networks) == len(SIZES)
    for one, other in zip(exact, networks, strict=True):
        assert one == {name: value for name, value in other.items() if name in one}
    lone = statistics.wilson_interval(40, 400)  # as if the members of 20 pairs had come one by one
    assert float(exact[1]["spurious_low"]) < lone[0] and lone[1] < float(exact[1]["spurious_high"])


def test_the_memorized_share_is_that_of_the_copies_and_of_the_unseen_that_pass(tables):
    rows = rows_of(tables, "fractions.csv")
    assert float(rows[0]["memorized"]) == pytest.approx(0.5, abs=0.01)  # next to nothing passes at K = 16
    assert float(rows[2]["memorized"]) == pytest.approx(0.5 + 0.5 * 0.01, abs=0.02)  # one rate, 1%
    assert float(rows[1]["memorized"]) == pytest.approx(0, abs=0.01)


def test_repeats_are_counted_at_the_same_sizes_for_every_size_of_training_set(tables):
    rows = [row for row in rows_of(tables, "repeats.csv") if row["rule"] == "held_out"]
    assert [(int(row["num_train"]), int(row["num_samples"])) for row in rows] == [
        (size, n) for size in SIZES for n in (128, 256, 400)
    ]
    paired = {int(row["num_samples"]): float(row["spurious"]) for row in rows if row["num_train"] == "64"}
    real = float(rows[2]["spurious"])  # of 200 real samples among 400: close pairs that real data have
    assert paired[400] == pytest.approx(0.1 + 2 * real, abs=0.06)
    # A sample of a pair has its twin in a set of 128 of the 400 with chance 127/399.
    assert paired[128] == pytest.approx(0.1 * 127 / 399, abs=0.02)


def test_real_items_lie_as_near_to_the_training_set_as_held_out_ones_and_copies_nearer(tables):
    rows = {(int(row["num_train"]), row["phase"]): row for row in rows_of(tables, "copying.csv")}
    assert set(rows) == {(size, phase) for size in SIZES for phase in ("all", *estimates.phases.NAMES)}
    assert float(rows[16, "all"]["c_t"]) < -5
    assert abs(float(rows[16, "generalized"]["c_t"])) < 3
    assert float(rows[16, "memorized"]["median_distance"]) == 0
    assert int(rows[16, "memorized"]["num_samples"]) == 200


def test_critical_sizes_are_given_by_either_rule_and_at_the_common_size(tables):
    found = json.loads((tables / "transition.json").read_text())
    assert (
        set(found["critical_by_rule"])
        == set(found["critical_at_common_size"])
        == {
            "held_out",
            "held_out_rate",
        }
    )
    common = found["critical_at_common_size"]["held_out"]
    assert common["num_samples"] == 400
    half = common["generalized_half"]
    assert half["low"] <= half["num_train"] <= half["high"]


def test_a_second_count_is_read_from_the_disk(tables, monkeypatch):
    config = digits.get_config("smoke")
    config.update(num_train=SIZES)
    run, workdir = TransitionRun(config), runs.Workdir(tables, {})
    kept = workdir.read_npz("repeats/num_train=000064.npz")
    own = thresholds.first_rule(run, workdir).at(64, 400)
    told = {row["delta_s"] for row in rows_of(tables, "repeats.csv") if row["num_train"] == "64"}
    assert len(told) == 3 and {f"delta_s={delta}" for delta in told} < set(
        kept
    )  # and the ends of their intervals
    monkeypatch.setattr(transition_tables, "load_samples", None)
    monkeypatch.setattr(estimates, "load_samples", None)
    again = estimates.count_neighbors(run, workdir, run.members[1], [own.delta_s])
    np.testing.assert_array_equal(again[own.delta_s], kept[f"delta_s={own.delta_s!r}"])


def test_in_sets_of_any_size_the_asked_rate_of_honest_items_are_repeats_by_either_rule(tables):
    rows = rows_of(tables, "repeats.csv")
    deltas = {(row["rule"], int(row["num_samples"]), row["delta_s"]) for row in rows}
    assert len(deltas) == 2 * 3  # one at a size, whatever K
    by_size = {size: float(delta) for _, size, delta in deltas}
    assert by_size[128] > by_size[256] > by_size[400]
    own = [row for row in rows if row["num_samples"] == "400" and row["rule"] == "held_out"]
    shares = {row["num_train"]: float(row["delta_s"]) for row in rows_of(tables, "fractions.csv")}
    assert {float(row["delta_s"]) for row in own} == set(shares.values()) == {by_size[400]}


def test_coverage_stands_beside_what_honest_data_would_reach_and_copies_cover_less(tables):
    rows = {int(row["num_train"]): row for row in rows_of(tables, "coverage.csv")}
    assert {row["num_samples"] for row in rows.values()} == {"400"}
    assert {row["width"] for row in rows.values()} == {str(digits.get_config("smoke").model.width)}
    covered = {size: float(row["coverage"]) / float(row["coverage_expected"]) for size, row in rows.items()}
    assert covered[64] == pytest.approx(1, abs=0.06)  # nine in ten are real
    assert covered[16] < covered[64]  # half are copies of sixteen


def test_an_interval_of_a_critical_size_is_given_in_its_parts(tables):
    half = json.loads((tables / "transition.json").read_text())["critical"]["memorized_half"]
    assert half["trainings"] is None  # one training cannot say
    for part in ("sampling", "thresholds"):
        assert half["low"] <= half[part][0] + 1e-9 and half[part][1] <= half["high"] + 1e-9
