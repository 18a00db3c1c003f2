"""The circle's memory of crowded points, against what is known of it."""

import csv
import io

import numpy as np
import pytest

from memgen_jax import runs
from memgen_jax.configs import circle
from memgen_jax.programs.circle import toy_memory
from memgen_jax.programs.circle.settings import CircleRun


@pytest.fixture(scope="module")
def run():
    return CircleRun(circle.get_config("smoke"))


@pytest.mark.parametrize(("beta", "apart"), [(20.0, 0.9), (20.0, 1.1), (320.0, 0.9), (320.0, 1.1)])
def test_two_points_merge_nearer_than_the_root_of_two_over_beta(run, beta, apart):
    """E_AM of two points at distance a is double-welled where beta a^2 > 2."""
    half = apart * np.sqrt(2 / beta) / 2
    pair = np.array([[[1.0, -half], [1.0, half]]], np.float32)
    minima, _ = toy_memory.minima_of(run, pair, 2, beta)
    assert minima.tolist() == [2.0 if apart > 1 else 1.0]


def test_points_far_apart_are_all_recalled_and_a_merged_pair_is_made_up(run):
    four = toy_memory.on_circle(np.arange(4) * np.pi / 2)[None]
    assert [found.tolist() for found in toy_memory.minima_of(run, four, 4, 20.0)] == [[4.0], [0.0]]
    pair = toy_memory.on_circle(
        np.array([[-0.03, 0.03]])
    )  # 0.19 of the merging length from the middle to either
    assert [found.tolist() for found in toy_memory.minima_of(run, pair, 2, 20.0)] == [[1.0], [0.0]]
    pair = toy_memory.on_circle(np.array([[-0.12, 0.12]]))
    assert [found.tolist() for found in toy_memory.minima_of(run, pair, 2, 20.0)] == [[1.0], [1.0]]


@pytest.mark.parametrize(("arcs", "share"), [(1, 0.5), (1, 0.25), (3, 0.25)])
def test_the_correlation_is_the_mean_inner_product_of_different_points(arcs, share):
    points = toy_memory.crowded(0, 200, 100, arcs, share).reshape(-1, 2)
    assert np.sum(points.mean(0) ** 2) == pytest.approx(toy_memory.correlation(arcs, share), abs=0.01)
    assert np.linalg.norm(points, axis=-1) == pytest.approx(1)


def test_arcs_hold_their_share_of_the_circle():
    points = toy_memory.crowded(0, 20, 500, 3, 0.25)
    angle = np.arctan2(points[..., 1], points[..., 0]) / (2 * np.pi)
    assert np.mean(np.abs(angle * 3 - np.round(angle * 3))) == pytest.approx(0.25 / 4, rel=0.02)


def test_halving_the_share_bears_half_the_load(run, tmp_path):
    """Only the points' distance in the memory's own length counts: share times the root of beta."""
    config = circle.get_config("smoke")
    config.correlation.update(
        {
            "shares": (0.4, 0.2),
            "arcs": (1,),
            "num_patterns": (2, 3, 4, 6, 9, 13, 18),
            "betas": (80.0, 320.0),
            "draws": 8,
        }
    )
    run = CircleRun(config)
    toy_memory.find_loads(run, runs.Workdir(tmp_path / "w", {"load": 1}))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "w" / "critical_load.csv").read_text())))
    load = {(float(row["share"]), float(row["beta"])): float(row["load"]) for row in rows}
    assert load[0.4, 80.0] == pytest.approx(load[0.2, 320.0], rel=0.02)
    assert load[0.4, 320.0] / load[0.2, 320.0] == pytest.approx(2, rel=0.3)
    for row in rows:
        assert not row["load_low"] or float(row["load_low"]) <= float(row["load"])
        assert not row["load_high"] or float(row["load_high"]) >= float(row["load"])


def test_a_load_beyond_the_sizes_tried_is_blank():
    always, never = [np.ones(4), np.ones(4)], [np.zeros(4), np.zeros(4)]
    for recalled in (always, never):
        found = toy_memory.load_columns((2, 8), recalled, never, seed=0)
        assert found["load"] is found["load_low"] is found["load_high"] is None
