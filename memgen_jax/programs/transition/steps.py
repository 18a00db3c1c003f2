"""The second axis, training time: fractions against K and steps, and when each K memorizes and generalizes.

Needs `train.num_snapshots`. Writes fractions_by_step.csv and training_time.json.
"""

import json
from typing import Any

import numpy as np

from memgen_jax import phases, runs, sweep
from memgen_jax.programs.transition import copying, estimates
from memgen_jax.programs.transition.settings import TransitionRun
from memgen_jax.programs.transition.tables import (
    each_width,
    join_widths,
    of_width,
    read_table,
    write_rows,
)
from memgen_jax.programs.transition.thresholds import first_rule
from memgen_jax.report import phase_diagram_figures

# Samples count as good when their median distance to S is within this factor of unseen real items', on either side,
# and when they cover as large a share of these as honest data would, within the same factor.
GOOD = 1.1


def tabulate(run: TransitionRun, workdir: runs.Workdir) -> None:
    """Writes the two files; nothing where no snapshots were kept."""
    if not run.snapshots(run.members):
        return
    rule = first_rule(run, workdir)
    held_out = held_out_distances(workdir)
    balls = copying.Balls(run) if copying.can_cover(run) else None
    size_covered = min(map(run.num_samples, (*run.members, *run.snapshots(run.members))))
    rows = []
    for (width, size, step), group in by_step(run).items():
        distances = [workdir.read_npz(f"neighbors/{m.name}.npz")["train_distance"] for m in group]  # type: ignore[index]
        fractions = estimates.fraction_row("", estimates.make_group(run, workdir, group, rule))
        row = {"num_train": size, "step": step} | {k: v for k, v in fractions.items() if k != "rule"}
        row["sample_distance"] = float(np.median(np.concatenate(distances)))
        row["held_out_distance"] = held_out.get(size)
        found = [balls.coverage(workdir, member, size_covered).coverage for member in group] if balls else []
        row["coverage"] = float(np.mean(found)) if found else None
        row["coverage_expected"] = balls.expected(size_covered) if balls else None
        rows.append(row if width is None else row | {"width": width})
    write_rows(run, workdir, "fractions_by_step.csv", rows)
    times = {width: training_times(of_width(rows, width)) for width in run.widths}
    workdir.write_json("training_time.json", join_widths(run, times))


def by_step(run: TransitionRun) -> dict[tuple[int | None, int, int], list[sweep.Member]]:
    """(width, K, step) -> the members of all seeds at that step, the last step included."""
    groups: dict[tuple[int | None, int, int], list[sweep.Member]] = {}
    for width in run.widths:
        for member in (m for m in run.members if m.width == width):
            for at in (*run.snapshots([member]), member):
                step = run.settings.train.num_steps if at.step is None else at.step
                groups.setdefault((width, member.num_train, step), []).append(at)
    return groups


def held_out_distances(workdir: runs.Workdir) -> dict[int, float | None]:
    outcome = json.loads((workdir / "transition.json").read_text())
    return {row["num_train"]: row["held_out_distance"] for row in outcome["held_out_quality"]}


def training_times(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """When each K memorizes and generalizes, and how the first grows with K.

    tau_mem(K): where the memorized fraction, made non-decreasing in the steps, crosses one half, linear in
    log steps. tau_gen(K): the first step kept at which the samples are as good as unseen items, by a rule with two
    sides; see `is_good`. None where that does not happen within the steps kept.

    Args:
      rows: those of fractions_by_step.csv for one width.
    Returns:
      `tau`: num_train, tau_mem, tau_gen of every K; `exponent` of the power law tau_mem ~ K^exponent over the
      sizes that have one, with its standard error; None where they are fewer than three.
    """
    table = []
    for size in sorted({row["num_train"] for row in rows}):
        own = sorted((row for row in rows if row["num_train"] == size), key=lambda row: row["step"])
        steps = np.array([row["step"] for row in own], np.float64)
        memorized = np.array([row["memorized"] for row in own])
        counts = np.array([row["num_synthetic"] for row in own], np.float64)
        crossing = phases.half_crossing(steps, memorized, counts, increasing=True)
        good = [row["step"] for row in own if is_good(row)]
        table.append(
            {
                "num_train": size,
                "tau_mem": float(crossing) if np.isfinite(crossing) else None,
                "tau_gen": min(good, default=None),
            }
        )
    return {"tau": table} | power_law(table)


def is_good(row: dict[str, Any]) -> bool:
    """Whether the samples of one K and step are as new as unseen items and reach as many of them.

    Their median distance to S is that of held-out items, within 10% on *either* side: copies lie too near, noise too
    far. And they cover the held-out items as honest data would, to 10%: a model that makes a few things at the right
    distance does not. False where nothing is held out.
    """
    near, expected = row["held_out_distance"], row.get("coverage_expected")
    if not near or not expected:
        return False
    return near / GOOD <= row["sample_distance"] <= GOOD * near and row["coverage"] >= expected / GOOD


def power_law(table: list[dict[str, Any]]) -> dict[str, float | None]:
    """Least squares of log tau_mem on log K."""
    found = [(row["num_train"], row["tau_mem"]) for row in table if row["tau_mem"]]
    if len(found) < 3:
        return {"exponent": None, "exponent_error": None}
    sizes, times = np.log(np.array(found, np.float64)).T
    slope, intercept = np.polyfit(sizes, times, 1)
    residual = times - slope * sizes - intercept
    spread = np.sum((sizes - sizes.mean()) ** 2)
    error = np.sqrt(np.sum(residual**2) / max(1, len(found) - 2) / spread)
    return {"exponent": float(slope), "exponent_error": float(error)}


def exists(workdir: runs.Workdir) -> bool:
    return (workdir / "training_time.json").exists()


def draw(run: TransitionRun, workdir: runs.Workdir) -> tuple[Any, str, str]:
    """The phase diagram in (K, steps), one line of panels a width, its description, and its caption."""
    times = each_width(run, json.loads((workdir / "training_time.json").read_text()))
    rows = read_table(workdir, "fractions_by_step.csv")
    several = len(times) > 1
    lines = [
        phase_diagram_figures.PhaseDiagramLine(
            of_width(rows, width), found["tau"], f"width {width}" if several else ""
        )
        for width, found in times.items()
    ]
    caption = (
        "Solid line: the step at which half of the samples are memorized. Dashed line: the first step at which samples "
        "are as good as unseen items: as far from S as these, and covering as many of them as honest data would, both "
        'within 10%. Where there is none, "generalized" means undertrained, or still leaning on S.'
    )
    powers = [
        f"{found['exponent']:.2f} (± {found['exponent_error']:.2f})" + several * f" at width {width}"
        for width, found in times.items()
        if found["exponent"] is not None
    ]
    if powers:
        caption += f" The first grows as K to the power {', '.join(powers)}."
    alt = "Share of each phase against training-set size and training steps."
    return phase_diagram_figures.phase_diagram(lines), alt, caption
