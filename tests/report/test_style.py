import dataclasses
import subprocess
import sys

import numpy as np
import pytest

from memgen_jax.report import style


def lightness_and_contrast(color):
    """CIE lightness, and the WCAG contrast against white, from the standard's formulas."""
    channels = np.array([int(color[start : start + 2], 16) / 255 for start in (1, 3, 5)])
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return 116 * luminance ** (1 / 3) - 16, 1.05 / (luminance + 0.05)


def small_figure(title="K"):
    figure = style.new_figure(1.5, 1.0)
    figure.subplots().set_title(title)
    return figure


def test_the_room_loads_matplotlib_only_to_draw_and_pyplot_never():
    program = """
import sys
from memgen_jax.report import style
assert "matplotlib" not in sys.modules and "jinja2" not in sys.modules
style.png_bytes(style.new_figure(1, 1))
assert "matplotlib" in sys.modules and "matplotlib.pyplot" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_phases_differ_in_lightness_so_that_a_grey_print_keeps_them_apart():
    measured = [lightness_and_contrast(color) for color in style.PHASE_COLORS.values()]
    lightness = sorted(value for value, _ in measured)
    assert np.diff(lightness).min() > 15
    assert min(contrast for _, contrast in measured) > 2.9
    assert len(set(style.PHASE_MARKERS.values())) == 3


def test_saving_writes_both_formats_alike_each_time_and_leaves_no_temporary_file(tmp_path):
    first = style.save(small_figure(), tmp_path / "a.b" / "figure.v1")
    assert [path.name for path in first] == ["figure.v1.png", "figure.v1.pdf"]
    assert first[0].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert first[1].read_bytes()[:5] == b"%PDF-"
    second = style.save(small_figure(), tmp_path / "again")
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert len(list((tmp_path / "a.b").iterdir())) == 2


def test_a_figure_that_cannot_be_drawn_leaves_the_old_file_as_it_was(tmp_path):
    png, _ = style.save(small_figure(), tmp_path / "figure")
    before = png.read_bytes()
    with pytest.raises(ValueError):
        style.save(small_figure("$\\nosuchsymbol$"), tmp_path / "figure")
    assert png.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 2


def test_settings_end_with_the_block():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with style.settings():
        assert matplotlib.rcParams["axes.spines.top"] is False
    assert dict(matplotlib.rcParams) == before


def test_columns_come_from_mappings_and_dataclasses_and_none_is_nan():
    @dataclasses.dataclass
    class Row:
        memorized: float | None

    values = style.column([{"memorized": "0.25"}, Row(0.5), Row(None)], "memorized")
    np.testing.assert_array_equal(values, [0.25, 0.5, np.nan])


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_in_minus_one_to_one_become_the_bytes_they_came_from(channels):
    levels = np.arange(256, dtype=np.uint8)
    stored = np.repeat(levels.reshape(16, 16, 1), channels, axis=-1)
    decoded = stored.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(style.as_pixels(decoded), style.as_pixels(stored))
    assert style.as_pixels(stored).shape == (16, 16, 3)
    np.testing.assert_array_equal(style.as_pixels(stored)[..., 1], levels.reshape(16, 16))


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ([2, 8, 64, 256, 512, 1024, 1437], ["10", "100", "1,000"]),
        ([2, 64], ["2", "64"]),
        ([500], ["500"]),
        (list(range(2000, 16001, 1000)), ["2,000", "5,000", "10,000"]),
    ],
)
def test_sizes_are_ticked_with_plain_numbers_inside_the_axis(sizes, expected):
    axes = style.new_figure(4, 2).subplots()
    style.size_axis(axes, np.array(sizes))
    low, high = axes.get_xlim()
    assert low < sizes[0] and high > sizes[-1]
    shown = [value for value in axes.xaxis.get_major_locator()() if low <= value <= high]
    assert axes.xaxis.get_major_formatter().format_ticks(shown) == expected


def test_a_path_with_an_ending_is_that_file_alone(tmp_path):
    figure = style.new_figure()
    for name in ("x.png", "x.pdf", "x.svg", "Y.PNG"):
        assert [file.name for file in style.save(figure, tmp_path / name)] == [name]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["Y.PNG", "x.pdf", "x.png", "x.svg"]


def test_a_notebook_is_given_a_figure_as_a_picture():
    assert style.new_figure(1, 1)._repr_png_().startswith(b"\x89PNG")
