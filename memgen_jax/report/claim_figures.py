"""The onset paper's claim on one axis: where the error begins to fall, and where each model turns."""

import typing
from collections.abc import Mapping, Sequence

from memgen_jax.report import style

if typing.TYPE_CHECKING:
    import matplotlib.figure

ERROR_NAMES = {"e_og": "E_OG begins to fall", "hellinger2": "H² begins to fall"}
_ERROR_STYLE = {"e_og": ("o", "#0b5aa8"), "hellinger2": ("s", "#4c9a8a")}
LANDMARKS = {
    "memorized_half": ("memorized falls to 50%", "memorized", "<"),
    "spurious_peak": ("spurious samples peak", "spurious", "^"),
    "generalized_half": ("generalized rises to 50%", "generalized", ">"),
}


@style.settings()
def claim(rows: Sequence[Mapping[str, typing.Any]]) -> "matplotlib.figure.Figure":
    """Is P(Δ > 0) rising where the error begins to fall? One line a model (Onset 2024, Fig. 1).

    Args:
      rows: `name`; `window`, the sizes between which P(Δ > 0) rises from 5% to 95%; `critical`, where it crosses one
        half, and `fall`, error -> onset, each with `num_train`, `low`, `high`; and `landmarks`, the critical sizes of
        the phases, empty where there are no labels. What is None is not drawn.
    """
    figure = style.new_figure(7.0, 1.3 + 0.62 * len(rows))
    axes = figure.subplots()
    for line, row in enumerate(rows):
        low, high = row["window"]
        if low is not None and high is not None:
            axes.plot([low, high], [line, line], color=style.MUTED_COLOR, linewidth=9, alpha=0.3,
                      solid_capstyle="butt", label="P(Δ > 0) rises from 5% to 95%")  # fmt: skip
        _mark(axes, row["critical"], line, "D", style.CONTROL_COLOR, "P(Δ > 0) = ½")
        for error, fall in row["fall"].items():
            marker, color = _ERROR_STYLE[error]
            _mark(axes, fall, line - 0.22, marker, color, ERROR_NAMES[error])
        for name, found in row["landmarks"].items():
            label, phase, marker = LANDMARKS[name]
            _mark(axes, found, line + 0.22, marker, style.PHASE_COLORS[phase], label)
    axes.set_yticks(range(len(rows)), [row["name"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xscale("log")
    style.plain_log_ticks(axes.xaxis)
    axes.set_xlabel("training-set size (n, K)")
    axes.set_title("Does the model turn where its error begins to fall?")
    handles, labels = axes.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    figure.legend(once.values(), once.keys(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _mark(
    axes, found: Mapping[str, typing.Any] | None, at: float, marker: str, color: str, label: str
) -> None:
    if not found or found["num_train"] is None:
        return
    value = found["num_train"]
    low = value if found["low"] is None else found["low"]
    high = value if found["high"] is None else found["high"]
    axes.errorbar(
        [value], [at], xerr=[[value - low], [high - value]], color=color, marker=marker, linestyle="none",
        capsize=2, markersize=5, markerfacecolor="none" if found.get("at_most") else color, label=label,
    )  # fmt: skip
