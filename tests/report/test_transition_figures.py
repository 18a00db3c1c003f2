import itertools

import numpy as np
import pytest
from matplotlib.colors import to_hex

from memgen_jax.report import style
from memgen_jax.report import transition_figures as figures

SIZES = np.array([2, 8, 32, 128, 512, 1437])
MEMORIZED = np.array([1.0, 0.98, 0.9, 0.5, 0.02, 0.0])
SPURIOUS = np.array([0.0, 0.0, 0.02, 0.09, 0.01, 0.0])


def rows(memorized=MEMORIZED, spurious=SPURIOUS):
    made = []
    for size, first, second in zip(SIZES, memorized, spurious, strict=True):
        row = {"num_train": int(size), "num_synthetic": 4 * int(size)}
        fractions = {"memorized": first, "spurious": second, "generalized": 1 - first - second}
        for phase, value in fractions.items():
            row |= {phase: value, f"{phase}_low": max(value - 0.03, 0), f"{phase}_high": min(value + 0.03, 1)}
        made.append(row)
    return made


CRITICAL = (
    figures.CriticalSize("generalized reaches 50%", 140.0, None, None, "generalized"),
    figures.CriticalSize("memorized falls to 50%", 128.0, 110.0, 150.0, "memorized"),
    figures.CriticalSize("spurious peaks", 131.0, 90.0, 300.0, "spurious"),
    figures.CriticalSize("generalized reaches 99.9%", None, None, None, "generalized"),
)


def lines_of(axes, phase):
    return [line for line in axes.lines if to_hex(line.get_color()) == style.PHASE_COLORS[phase]]


def test_each_curve_holds_its_fractions_in_the_order_of_the_sizes():
    figure = figures.transition([figures.TransitionPanel(rows()[::-1])])
    main, enlarged = figure.axes
    for phase in figures.PHASES:
        (line,) = lines_of(main, phase)
        np.testing.assert_array_equal(line.get_xdata(), SIZES)
        np.testing.assert_array_equal(line.get_ydata(), [row[phase] for row in rows()])
    (line,) = lines_of(enlarged, "spurious")
    np.testing.assert_array_equal(line.get_ydata(), SPURIOUS)
    assert 0.12 < enlarged.get_ylim()[1] < 0.15  # just above the upper end of the highest interval
    assert main.get_xscale() == "log"


def test_bands_span_the_intervals():
    figure = figures.transition([figures.TransitionPanel(rows())])
    for phase, band in zip(figures.PHASES, figure.axes[0].collections, strict=True):
        corners = band.get_paths()[0].vertices
        for row in rows():
            heights = corners[corners[:, 0] == row["num_train"], 1]
            assert heights.min() == pytest.approx(row[f"{phase}_low"])
            assert heights.max() == pytest.approx(row[f"{phase}_high"])


def test_the_control_is_dashed_and_seeds_are_thin():
    control = rows(np.ones(6), np.zeros(6))
    seeds = [rows(MEMORIZED * 0.9), rows(MEMORIZED * 0.8), rows(MEMORIZED * 0.7)]
    figure = figures.transition([figures.TransitionPanel(rows(), control_rows=control, seed_rows=seeds)])
    main = figure.axes[0]
    (dashed,) = [line for line in main.lines if line.is_dashed()]
    np.testing.assert_array_equal(dashed.get_ydata(), np.ones(6))
    *thin, curve = sorted(lines_of(main, "memorized"), key=lambda line: line.get_linewidth())
    assert len(thin) == 3 and curve.get_linewidth() > 2 * thin[-1].get_linewidth()
    assert len(lines_of(figure.axes[1], "spurious")) == 4
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == [*figures.PHASES, "memorized, exact score (control)", "single seeds"]


def test_critical_sizes_are_marked_with_their_intervals_and_unreached_ones_are_not():
    figure = figures.transition([figures.TransitionPanel(rows(), critical=CRITICAL)])
    marks, main, enlarged = figure.axes
    texts = [text.get_text() for text in marks.texts]
    assert texts == [
        "memorized falls to 50%: 128 (110–150)",
        "spurious peaks: 131 (90–300)",
        "generalized reaches 50%: 140",
    ]
    for axes in (main, enlarged):
        drops = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
        assert drops == [128.0, 131.0, 140.0]


def test_nothing_written_overlaps_or_leaves_the_page():
    panels = [
        figures.TransitionPanel(rows(), title, critical=CRITICAL) for title in ("width 64", "width 128")
    ]
    figure = figures.transition(panels)
    with style.settings():
        figure.draw_without_rendering()
    texts = [text for axes in figure.axes for text in (*axes.texts, axes._left_title)]
    for axes in figure.axes:
        for place, axis in enumerate((axes.xaxis, axes.yaxis)):
            low, high = axis.get_view_interval()
            labels = [text for text in axis.get_majorticklabels() if text.get_visible()]
            texts += [text for text in labels if low <= text.get_position()[place] <= high]
            texts.append(axis.label)
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    boxes += [figure.legends[0].get_window_extent()]
    paper = figure.bbox.padded(1)
    assert len(boxes) > 25
    assert [box for box in boxes if not all(paper.contains(*corner) for corner in box.corners())] == []
    assert not any(
        one.padded(-0.5).overlaps(other.padded(-0.5)) for one, other in itertools.combinations(boxes, 2)
    )


@pytest.mark.parametrize("count, columns", [(1, 1), (2, 2), (3, 3), (4, 2), (5, 3)])
def test_many_panels_wrap_to_further_lines(count, columns):
    panels = [figures.TransitionPanel(rows(), f"panel {place}") for place in range(count)]
    figure = figures.transition(panels)
    places = [axes.get_subplotspec().get_topmost_subplotspec() for axes in figure.axes]
    assert len(places) == 2 * count
    assert {place.get_gridspec().ncols for place in places} == {columns}
    assert len({(place.num1) for place in places}) == count


def test_training_curves_show_every_member_with_a_bar_of_sizes():
    step = np.arange(100, 1100, 100)
    loss = np.linspace(1, 0.1, 10)[None] * np.arange(1, 7)[:, None]
    loss[2, 5:] = np.nan
    figure = figures.training_curves(SIZES[::-1], step, loss)
    axes, bar = figure.axes
    for line, own in zip(axes.lines, loss[::-1], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), own[np.isfinite(own)])
    assert bar.get_ylim() == pytest.approx((2, 1437))
    assert len({to_hex(line.get_color()) for line in axes.lines}) == 6


def test_training_curves_bridge_the_steps_that_a_member_lacks_and_mark_a_single_one():
    loss = np.array([[0.5, np.nan, 0.3], [np.nan, 0.4, np.nan]])
    bridged, single = figures.training_curves(SIZES[:2], np.array([1, 2, 3]), loss).axes[0].lines
    np.testing.assert_array_equal(bridged.get_xydata(), [[1, 0.5], [3, 0.3]])
    assert single.get_marker() == "o" and bridged.get_marker() != "o"


def test_sample_quality_leaves_a_gap_where_nothing_is_new():
    quality = [
        {"num_train": 2, "sample_distance": None, "held_out_distance": 4.0},
        {"num_train": 64, "sample_distance": 1.8, "held_out_distance": 2.5},
    ]
    held_out, sample = figures.sample_quality(quality).axes[0].lines
    np.testing.assert_array_equal(held_out.get_ydata(), [4.0, 2.5])
    np.testing.assert_array_equal(sample.get_ydata(), [np.nan, 1.8])


def test_several_widths_have_a_curve_of_quality_and_a_panel_of_losses_each():
    quality = [
        {"num_train": size, "sample_distance": width / size, "held_out_distance": 4.0, "width": width}
        for width in (128, 32)
        for size in (2, 64)
    ]
    held_out, *samples = figures.sample_quality(quality).axes[0].lines
    np.testing.assert_array_equal(held_out.get_xdata(), [2, 64])
    assert [list(line.get_ydata()) for line in samples] == [[16, 0.5], [64, 2]]
    assert len({to_hex(line.get_color()) for line in samples}) == 2
    loss = np.array([[0.5, 0.4], [0.3, 0.2], [0.9, 0.8]])
    drawn = figures.training_curves(SIZES[:3], np.array([1, 2]), loss, width=np.array([32, 128, 32]))
    narrow, wide, _ = drawn.axes
    assert (narrow.get_title(loc="left"), wide.get_title(loc="left")) == ("width 32", "width 128")
    assert [list(line.get_ydata()) for line in narrow.lines] == [[0.5, 0.4], [0.9, 0.8]]
    assert [list(line.get_ydata()) for line in wide.lines] == [[0.3, 0.2]]
