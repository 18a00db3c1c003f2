"""The geometry figures say what they leave out, and stand missing phases."""

import numpy as np
import pytest

from memgen_jax.report import geometry_figures


def texts(figure):
    return [t.get_text() for ax in figure.axes for t in ax.texts]


@pytest.fixture
def values():
    random = np.random.default_rng(0)
    return {
        "memorized": random.normal(3, 1, 12),
        "spurious": np.array([1.0, -np.inf, 2.0]),
        "generalized": np.full(4, -np.inf),
    }


def test_infinite_volumes_are_counted_in_the_figure(values):
    figure = geometry_figures.distributions([("log volume", values)])
    assert "−∞:\n1 of 3" in texts(figure) and "−∞:\n4 of 4" in texts(figure)
    assert not any("of 12" in text for text in texts(figure))
    low, high = figure.axes[0].get_ylim()
    assert np.isfinite(low) and np.isfinite(high)


def test_every_finite_value_is_drawn(values):
    figure = geometry_figures.distributions([("log volume", values)])
    drawn = sum(len(collection.get_offsets()) for collection in figure.axes[0].collections)
    assert drawn == 12 + 2


def test_recovery_curves_draw_the_mean_of_the_samples():
    recovered = np.array([[1.0, 0.5, 0.0], [1.0, 0.0, 0.0]])
    figure = geometry_figures.recovery_curves(
        np.array([0.2, 0.6, 1.0]), [("all", {"memorized": recovered, "spurious": np.zeros((0, 3))})], 0.9
    )
    lines = [line for line in figure.axes[0].lines if len(line.get_ydata()) == 3]
    assert len(lines) == 1
    np.testing.assert_allclose(lines[0].get_ydata(), [1, 0.25, 0])


def test_spectra_are_sorted_before_they_are_averaged():
    one, two = np.array([0.1, 0.5, 1.0]), np.array([0.3, 0.7, 0.9])
    figure = geometry_figures.spectra([("t = 50", {"generalized": np.stack([one[::-1], two])})], 0.1)
    line = next(line for line in figure.axes[0].lines if len(line.get_ydata()) == 3)
    np.testing.assert_allclose(line.get_ydata(), [0.2, 0.6, 0.95])


def test_a_quantity_without_a_phase_has_no_line_for_it():
    rows = [
        {"quantity": "flipd", "num_train": k, "phase": p, "count": c, "mean": 1.0, "low": 0.5, "high": 2.0}
        for k in (2, 64)
        for p, c in (("memorized", 5), ("spurious", 0), ("generalized", 5 * (k == 64)))
    ]
    figure = geometry_figures.against_size(rows, [("flipd", "FLIPD")])
    by_label = {line.get_label(): len(line.get_xdata()) for line in figure.axes[0].lines}
    assert by_label == {"memorized": 2, "generalized": 1}


def test_pictures_there_and_back_have_a_place_each():
    image = np.zeros((8, 8, 1), np.float32)
    figure = geometry_figures.returns(
        ["memorized", "generalized"],
        [image] * 2,
        [np.stack([image] * 3)] * 2,
        [np.stack([image] * 3)] * 2,
        list("abc"),
    )
    assert sum(len(ax.images) for ax in figure.axes) == 2 * (1 + 3 + 3)
