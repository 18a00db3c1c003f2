"""The onset paper's figures: what each axis holds."""

import numpy as np
import pytest

from memgen_jax.report import onset_figures


@pytest.fixture(scope="module")
def network_figure():
    """A network that is as good as fresh data in reading "whole"; a perfect copier has no scaled E_TG."""
    rows = []
    for size in (10, 100):
        for source in ("model", "fresh", "copies"):
            for reading in ("printed", "whole"):
                value = 0.0 if source == "copies" else 1.0
                row = {"num_train": size, "source": source, "reading": reading}
                for name in ("e_tg_scaled", "e_og_scaled", "p_delta_positive"):
                    row |= {name: value, f"{name}_low": value, f"{name}_high": value}
                rows.append(row)
    return onset_figures.network(rows, "whole")


def test_every_reading_has_a_panel_with_the_network_and_both_controls(network_figure):
    titles = [axes.get_title(loc="left") or axes.get_title() for axes in network_figure.axes]
    assert titles[2:] == ["reading “printed”", "reading “whole”"]
    for axes in network_figure.axes[2:]:
        curves = [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_marker() != "None"]
        assert [line.get_label() for line in curves] == [
            "the network", "fresh data in its place", "copies in its place",
        ]  # fmt: skip


def test_curves_that_coincide_can_all_be_seen(network_figure):
    network, fresh, _ = (
        line for line in network_figure.axes[-1].lines if line.get_marker() not in ("None", None, "")
    )
    np.testing.assert_array_equal(network.get_ydata(), fresh.get_ydata())
    assert network.get_zorder() > fresh.get_zorder()
    assert network.get_markersize() < fresh.get_markersize()
