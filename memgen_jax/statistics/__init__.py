"""Error bars that hold: intervals, bootstrap, rank tests, dip, copying, coverage, repeats."""

from memgen_jax.statistics.bootstrap import Mean, mean_interval
from memgen_jax.statistics.copying import Cells, auth_pct, data_copying, lowest_cell, nearer_to_train
from memgen_jax.statistics.coverage import BALL, Coverage, density_and_coverage, expected_coverage
from memgen_jax.statistics.differences import Interval, difference, ratio
from memgen_jax.statistics.dip import dip_test
from memgen_jax.statistics.intervals import student_interval, wilson_interval, zero_bound
from memgen_jax.statistics.rank_tests import Trend, holm, trend_test
from memgen_jax.statistics.repeats import (
    Share,
    chance_of_neighbor,
    mean_share,
    powers_of_two,
    share_by_nearest,
    share_of_repeats,
)

__all__ = [
    "BALL",
    "Cells",
    "Coverage",
    "Interval",
    "Mean",
    "Share",
    "Trend",
    "auth_pct",
    "chance_of_neighbor",
    "data_copying",
    "density_and_coverage",
    "difference",
    "dip_test",
    "expected_coverage",
    "holm",
    "lowest_cell",
    "mean_interval",
    "mean_share",
    "nearer_to_train",
    "powers_of_two",
    "ratio",
    "share_by_nearest",
    "share_of_repeats",
    "student_interval",
    "trend_test",
    "wilson_interval",
    "zero_bound",
]
