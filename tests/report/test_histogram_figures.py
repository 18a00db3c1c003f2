import numpy as np
import pytest

from memgen_jax.report import histogram_figures as figures
from memgen_jax.report import style

RANDOM = np.random.default_rng(0)
COPIES, OTHERS = RANDOM.uniform(0.01, 0.3, 300), RANDOM.uniform(1.5, 3.0, 700)


def panel(**changes):
    values = {
        "num_train": 128,
        "train_distance": np.concatenate([COPIES, OTHERS]).astype(np.float32),
        # of the others, 100 repeat each other; of the copies, all do
        "synthetic_distance": np.concatenate([COPIES, OTHERS[:600], np.full(100, 0.2)]).astype(np.float32),
        "delta_m": 1.0,
        "delta_s": 0.7,
    }
    return figures.HistogramPanel(**(values | changes))


def bars(axes):
    """Of each histogram in the axes: its edges and the heights above its baseline."""
    return [
        (data.edges, data.values - (0 if data.baseline is None else data.baseline))
        for data in (patch.get_data() for patch in axes.patches)
    ]


def test_every_sample_is_counted_once_in_each_histogram():
    upper, lower = figures.histograms([panel()]).axes
    assert sum(heights.sum() for _, heights in bars(upper)) == pytest.approx(1.0)
    assert sum(heights.sum() for _, heights in bars(lower)) == pytest.approx(1.0)
    ((edges, heights),) = bars(upper)
    assert heights[edges[1:] <= 1.0].sum() == pytest.approx(0.3)


def test_what_is_plain_and_left_of_delta_s_is_the_spurious_share():
    _, lower = figures.histograms([panel()]).axes
    (edges, plain), (_, hatched) = bars(lower)
    assert plain[edges[1:] <= 0.7].sum() == pytest.approx(0.1)
    assert hatched.sum() == pytest.approx(0.3)
    assert [bool(patch.get_hatch()) for patch in lower.patches] == [False, True]


def test_thresholds_stand_at_their_distances_and_are_named():
    upper, lower = figures.histograms([panel(delta_m=0.9, delta_s=0.35)]).axes
    for axes, symbol, value in ((upper, "m", 0.9), (lower, "s", 0.35)):
        (line,) = axes.lines
        assert list(line.get_xdata()) == [value, value]
        (text,) = axes.texts
        assert text.get_text() == f"δ$_{symbol}$ = {value}"


def test_a_logarithmic_axis_comes_with_a_wide_range_and_keeps_exact_copies():
    distance = np.concatenate([np.zeros(50), COPIES, OTHERS]).astype(np.float32)
    upper, _ = figures.histograms([panel(train_distance=distance, synthetic_distance=distance)]).axes
    assert upper.get_xscale() == "log"
    ((_, heights),) = bars(upper)
    assert heights.sum() == pytest.approx(1.0)
    assert heights[0] >= 50 / len(distance)
    near = panel(train_distance=1 + COPIES, synthetic_distance=1 + COPIES)
    assert figures.histograms([near]).axes[0].get_xscale() == "linear"


def test_a_lone_sample_without_a_neighbour_is_drawn_at_the_far_end():
    lone = panel(train_distance=np.array([0.5]), synthetic_distance=np.array([np.inf]))
    _, lower = figures.histograms([lone]).axes
    (_, plain), (_, hatched) = bars(lower)
    assert plain.sum() + hatched.sum() == 1.0
    assert hatched[-1] == 1.0


def test_pictures_of_the_peaks_are_framed_in_the_colour_of_their_phase():
    grey = np.zeros((8, 8, 1), np.uint8)
    pairs = {"memorized": figures.Pair(grey, grey), "spurious": figures.Pair(grey, grey)}
    upper, lower = figures.histograms([panel(examples=pairs)]).axes
    for axes, phase in ((upper, "memorized"), (lower, "spurious")):
        (box,) = [artist for artist in axes.artists if hasattr(artist, "offsetbox")]
        assert box.patch.get_edgecolor()[:3] == pytest.approx(
            [int(style.PHASE_COLORS[phase][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        )
        assert len(box.offsetbox.get_children()) == 2


def test_the_spurious_curve_below_marks_the_sizes_shown():
    rows = [
        {"num_train": size, "spurious": share, "spurious_low": 0.0, "spurious_high": 2 * share}
        for size, share in ((2, 0.0), (128, 0.1), (1437, 0.01))
    ]
    figure = figures.histograms([panel(num_train=2), panel()], rows)
    curve, *marks = figure.axes[-1].lines
    np.testing.assert_array_equal(curve.get_ydata(), [0.0, 0.1, 0.01])
    assert [line.get_xdata()[0] for line in marks] == [2, 128]


@pytest.mark.parametrize(
    "spurious, memorized, count, expected",
    [
        ([0, 0, 0.1, 0.02, 0], [1, 1, 0.6, 0.2, 0], 3, [2, 32, 512]),
        ([0, 0, 0, 0, 0], [1, 0.9, 0.8, 0.45, 0], 3, [2, 128, 512]),
        ([0, 0, 0.1, 0.02, 0], [1, 1, 0.6, 0.2, 0], 5, [2, 8, 32, 128, 512]),
        ([0.2, 0, 0, 0, 0], [0.8, 1, 1, 1, 1], 3, [2, 32, 512]),
        ([0.1, 0, 0.0, 0.02, 0], [1, 1, 0.6, 0.2, 0], 1, [2]),
    ],
)
def test_the_sizes_chosen_are_the_ends_and_the_transition(spurious, memorized, count, expected):
    sizes = [2, 8, 32, 128, 512]
    rows = [
        {"num_train": size, "spurious": one, "memorized": other}
        for size, one, other in zip(sizes, spurious, memorized, strict=True)
    ]
    assert figures.choose_sizes(rows[::-1], count) == expected
