"""Error bars that hold: intervals, bootstrap, rank tests, dip, copying."""

from memgen_jax.statistics.bootstrap import Mean, mean_interval
from memgen_jax.statistics.copying import auth_pct, data_copying
from memgen_jax.statistics.differences import Interval, difference, ratio
from memgen_jax.statistics.dip import dip_test
from memgen_jax.statistics.intervals import wilson_interval, zero_bound
from memgen_jax.statistics.rank_tests import Trend, trend_test

__all__ = [
    "Interval",
    "Mean",
    "Trend",
    "auth_pct",
    "data_copying",
    "difference",
    "dip_test",
    "mean_interval",
    "ratio",
    "trend_test",
    "wilson_interval",
    "zero_bound",
]
