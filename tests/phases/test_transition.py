import dataclasses
import json

import numpy as np
import pytest

from memgen_jax import phases, statistics
from memgen_jax.errors import InputError


def labels(memorized, spurious, generalized):
    return np.repeat([0, 1, 2], [memorized, spurious, generalized]).astype(np.int32)


def test_a_row_of_fractions_has_the_contracts_fields_and_sums_to_one():
    row = dataclasses.asdict(phases.fractions(labels(2, 1, 7), 64, 1.0, 0.7))
    names = ["memorized", "spurious", "generalized"]
    assert set(row) == {"num_train", "num_synthetic", "delta_m", "delta_s"} | {
        name + end for name in names for end in ("", "_low", "_high")
    }
    assert sum(row[name] for name in names) == pytest.approx(1)
    assert all(row[name + "_low"] <= row[name] <= row[name + "_high"] for name in names)
    assert (row["num_train"], row["num_synthetic"]) == (64, 10)


def test_no_labels_have_no_fractions():
    with pytest.raises(InputError):
        phases.fractions(labels(0, 0, 0), 2, 1.0, 1.0)


def test_sensitivity_equals_classifying_at_every_pair():
    rng = np.random.default_rng(0)
    train, synthetic = rng.uniform(size=(2, 100))
    grid_m, grid_s = np.array([0.1, 0.5]), np.array([0.0, 0.3, 1.0])
    table = phases.sensitivity(train, synthetic, grid_m, grid_s)
    assert table[1, 1, 0] == (train <= 0.5).mean()
    assert table[1, 1, 1] == ((train > 0.5) & (synthetic <= 0.3)).mean()
    np.testing.assert_allclose(table.sum(-1), 1)


def test_the_crossing_is_interpolated_in_log_k():
    result = phases.critical_sizes(
        [10, 100, 1000], [[labels(100, 0, 0)], [labels(75, 10, 15)], [labels(25, 0, 75)]]
    )
    # 0.75 at 100, 0.25 at 1000: half way in log K. Generalized: 0.15 at 100, 0.75 at 1000.
    assert result["memorized_half"]["num_train"] == pytest.approx(100 * 10**0.5)
    assert result["generalized_half"]["num_train"] == pytest.approx(100 * 10 ** (0.35 / 0.6))
    assert result["spurious_peak"]["num_train"] == 100
    assert result["spurious_peak"]["fraction"] == pytest.approx(0.1)
    for part in ("memorized_half", "generalized_half", "spurious_peak"):
        assert result[part]["low"] <= result[part]["num_train"] <= result[part]["high"]
    json.loads(json.dumps(result, allow_nan=False))


def test_a_curve_that_never_crosses_has_no_critical_size():
    result = phases.critical_sizes([10, 100], [[labels(100, 0, 0)], [labels(90, 5, 5)]])
    assert result["memorized_half"] == {
        "num_train": None,
        "low": None,
        "high": None,
        "crossed": 0.0,
        "sampling": None,
        "thresholds": None,
        "trainings": None,
    }


def test_a_sweep_without_spurious_samples_has_no_peak():
    peak = phases.critical_sizes([10, 100], [[labels(9, 0, 1)], [labels(1, 0, 9)]])["spurious_peak"]
    assert peak["num_train"] is None and peak["low"] is None and peak["high"] is None
    assert peak["fraction"] == 0.0


def test_a_curve_at_one_half_over_a_stretch_crosses_in_its_middle():
    sizes, fraction = np.array([1.0, 10.0, 1000.0, 1e4]), np.array([1.0, 0.5, 0.5, 0.0])
    assert phases.half_crossing(sizes, fraction, np.ones(4), increasing=False) == pytest.approx(100)
    exact = phases.half_crossing(
        np.array([1.0, 7.0, 20.0]), np.array([0.0, 0.5, 1.0]), np.ones(3), increasing=True
    )
    assert exact == pytest.approx(7)


def test_a_bump_is_pooled_with_its_neighbours_before_the_crossing():
    sizes = np.array([1.0, 10.0, 100.0, 1000.0])
    bumped = phases.half_crossing(sizes, np.array([1.0, 0.4, 0.8, 0.0]), np.ones(4), False)
    pooled = phases.half_crossing(sizes, np.array([1.0, 0.6, 0.6, 0.0]), np.ones(4), False)
    assert bumped == pytest.approx(pooled)


def test_intervals_cover_the_true_crossing_at_their_level():
    rng, hits = np.random.default_rng(1), 0
    sizes, chance = [10, 100, 1000], [0.9, 0.6, 0.2]
    truth = 100 * 10 ** ((0.6 - 0.5) / 0.4)
    for _ in range(60):
        drawn = [[(rng.uniform(size=300) > p).astype(np.int32) * 2] for p in chance]
        half = phases.critical_sizes(sizes, drawn, resamples=100)["memorized_half"]
        hits += half["low"] <= truth <= half["high"]
    assert hits >= 50  # binomial(60, 0.95) is below 50 once in 2,000


def test_spread_over_seeds_widens_the_interval():
    one = [[labels(180, 0, 20)], [labels(100, 0, 100)], [labels(20, 0, 180)]]
    apart = [[labels(90, 0, 10)] * 2, [labels(90, 0, 10), labels(10, 0, 90)], [labels(10, 0, 90)] * 2]
    narrow = phases.critical_sizes([10, 100, 1000], one)
    wide = phases.critical_sizes([10, 100, 1000], apart)
    width = [np.log(r["memorized_half"]["high"] / r["memorized_half"]["low"]) for r in (narrow, wide)]
    assert width[1] > 2 * width[0]
    assert (narrow["replicates"], wide["replicates"]) == (1, 2)


def test_one_size_alone_has_a_peak_and_no_crossing():
    result = phases.critical_sizes([5], [[labels(5, 3, 2)]])
    assert result["spurious_peak"]["num_train"] == 5
    assert result["memorized_half"]["num_train"] is not None  # 0.5 exactly


@pytest.mark.parametrize(
    ("sizes", "sets"),
    [([10, 5], [[labels(1, 0, 0)]] * 2), ([10], [[]]), ([10], [[labels(0, 0, 0)]]), ([], [])],
)
def test_sizes_out_of_order_or_without_labels_are_refused(sizes, sets):
    with pytest.raises(InputError):
        phases.critical_sizes(sizes, sets)


def wide_shares(values, variance=0.0):
    """Sets of 400 samples with these memorized shares, the rest generalized."""
    share = statistics.Share
    return [
        [
            phases.PhaseShares(share(p, variance, 400), share(0.0, 0.0, 400), share(1 - p, variance, 400))
            for p in own
        ]
        for own in values
    ]


def test_an_interval_adds_its_parts_as_independent_errors():
    sizes = [10, 100, 1000]
    low, middle, high = ([[1.0], [p], [0.0]] for p in (0.5, 0.6, 0.8))
    found = phases.critical_from_shares(
        sizes, wide_shares(middle, 0.0006), shifted=[(wide_shares(low), wide_shares(high))], resamples=400
    )["memorized_half"]
    assert found["trainings"] is None
    assert found["thresholds"][0] == pytest.approx(100) and found["sampling"][0] > 100
    reach = [np.log(found["num_train"] / found[part][0]) for part in ("sampling", "thresholds")]
    assert np.log(found["num_train"] / found["low"]) == pytest.approx(np.hypot(*reach))


def test_the_trainings_part_is_students_over_the_crossings_of_the_seeds():
    sizes, shares = [10, 100, 1000], [[1.0] * 5, [0.5, 0.55, 0.6, 0.65, 0.7], [0.0] * 5]
    found = phases.critical_from_shares(sizes, wide_shares(shares), resamples=50)["memorized_half"]
    crossings = [
        np.log(100) + np.log(10) * (p - 0.5) / p for p in shares[1]
    ]  # linear in log K from p at 100 to 0 at 1,000
    np.testing.assert_allclose(found["trainings"], np.exp(statistics.student_interval(crossings)), rtol=1e-6)
    assert found["low"] <= found["trainings"][0] < found["num_train"] < found["trainings"][1] <= found["high"]


def test_students_interval_over_five_trainings_covers_where_a_bootstrap_does_not():
    random = np.random.default_rng(0)
    hits = [low <= 0 <= high for low, high in map(statistics.student_interval, random.normal(size=(2000, 5)))]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.015)


def test_intervals_of_repeats_that_come_in_pairs_are_wider_than_of_independent_ones():
    own = np.repeat([phases.SPURIOUS, phases.GENERALIZED], 100)
    pair, nearest = np.arange(200) ^ 1, np.where(own == phases.SPURIOUS, 0.5, 5.0)
    plain = phases.fractions(own, 64, 1.0, 1.0)
    shares = phases.grouped_shares(own, pair, nearest, np.full(200, 9.0), 1.0)
    found = phases.with_grouped_repeats(plain, shares)
    assert (found.spurious, found.memorized_high) == (plain.spurious, plain.memorized_high)
    for phase in ("spurious", "generalized"):
        # As sure as 50 samples one by one instead of 200: twice as wide.
        width = [getattr(row, f"{phase}_high") - getattr(row, f"{phase}_low") for row in (found, plain)]
        assert width[0] == pytest.approx(2 * width[1], rel=0.05)
