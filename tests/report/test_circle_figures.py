"""The circle's figures draw every K that they are given, each energy from its own minimum."""

import numpy as np
import pytest

from memgen_jax import memory
from memgen_jax.report import circle_figures

SIZES = (2, 4, 9, 100, 1000, 2000, 4000, 8000, 16_000)  # more than there are line styles
TIMES = (0.001, 0.15, 0.7)


@pytest.fixture(scope="module")
def attractors():
    """Rows as attractors.csv gives them: text."""
    return [
        {
            "num_train": str(size),
            "time": str(t),
            "beta": str(1 / (2 * t)),
            "landscape": landscape,
            "minima": "3",
            "ring_radius": str(memory.ring_radius(1 / (2 * t))),
            "ring_radius_std": "0.01",
        }
        for size in SIZES
        for t in TIMES
        for landscape in circle_figures.LANDSCAPES
    ]


def landscape(lift):
    """A bowl of depth 1 whose energies all carry the constant `lift`; two clusters, one at the bottom."""
    axis = np.linspace(-1.5, 1.5, 6)
    grid = np.stack(np.meshgrid(axis, axis), -1)
    energy = (grid**2).sum(-1) + lift
    centroids = np.array([[0.0, 0.0], [0.5, 0.0]])
    return {
        "grid": grid,
        "train": np.array([[1.0, 0.0], [0.0, 1.0]]),
        "exact_energy": energy,
        "learned_energy": energy + 7,
        "exact_score": -2 * grid,
        "learned_score": -2 * grid,
        "generated": centroids,
        "generated_energy": np.array([lift, lift + 0.25]),
        "centroids": centroids,
        "centroid_energy": np.array([lift, lift + 0.25]),
        "time": np.asarray(0.15),
        "beta": np.asarray(1 / 0.3),
    }


def labels(axes):
    return axes.get_legend_handles_labels()[1]


def test_energies_are_counted_from_the_lowest_one():
    figure = circle_figures.landscapes({2: landscape(-3.0), None: landscape(5.0)})
    learned, theory = figure.axes[:2]
    assert [text.get_text() for text in learned.texts] == ["0.00", "0.25"]
    assert not theory.texts
    for axes in (learned, theory):
        energy = axes.collections[0].get_array()
        assert energy.min() == 0
        np.testing.assert_allclose(energy.max(), 2 * 1.5**2, rtol=0.05)


def test_no_size_is_left_out_however_many_there_are(attractors):
    axes = circle_figures.ring_radius(attractors, SIZES).axes[0]
    for size in SIZES[4:]:
        assert f"exact, K = {size:,}" in labels(axes) and f"learned, K = {size:,}" in labels(axes)
    angle, times = np.linspace(-np.pi, np.pi, 5), np.array(TIMES)
    ring = {"angle": angle, "times": times, "depth": np.zeros((3, 5))}
    minima = {name: np.array([1.0, 1.0]) for name in ("x", "y", "time")}
    minima |= {"num_train": np.array([2, 2]), "learned": np.array([False, True])}
    train = np.array([[1.0, 0.0], [0.0, 1.0]])
    figure = circle_figures.temperature(ring, train, minima, attractors)
    counts = next(axes for axes in figure.axes if axes.get_ylabel() == "number of minima")
    assert labels(counts) == [f"K = {size:,}" for size in SIZES]


def test_the_phase_diagram_prints_every_cell():
    rows = [
        {
            "num_patterns": str(size),
            "beta": str(beta),
            "recalled": str(size / 10),
            "spurious_minima": str(beta),
        }
        for size in (2, 9)
        for beta in (0.5, 20.0)
    ]
    recalled, spurious = circle_figures.phase_diagram(rows).axes[:2]
    assert [text.get_text() for text in recalled.texts] == ["0.2", "0.2", "0.9", "0.9"]
    assert [text.get_text() for text in spurious.texts] == ["0.5", "20.0", "0.5", "20.0"]


def test_the_critical_load_is_drawn_for_every_arrangement_and_its_middle_temperature():
    where = [(1, 1.0, "0.0"), (1, 0.5, "0.41"), (3, 0.5, "0.0")]
    rows = [
        {
            "arcs": str(a),
            "share": str(s),
            "correlation": c,
            "beta": "80",
            "num_patterns": str(k),
            "spurious_minima": str(k / 8),
        }
        for a, s, c in where
        for k in (2, 8)
    ]
    loads = [
        {"arcs": str(a), "share": str(s), "beta": "80", "load": "4", "load_low": "3", "load_high": ""}
        for a, s, _ in where
    ]
    left, right = circle_figures.critical_load(rows, loads).axes
    assert labels(left) == ["β = 80, 1 arc", "β = 80, 3 arcs"]
    assert [line.get_ydata().tolist() for line in right.lines] == [[1 / 8, 1 / 8]] * 2
    assert labels(right) == ["share 1, correlation 0.00", "share 0.5, correlation 0.41"]
