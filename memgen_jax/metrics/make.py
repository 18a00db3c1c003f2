"""Metrics by name."""

from typing import Literal, get_args

from memgen_jax import user_code
from memgen_jax.annotations import FloatName, Positive
from memgen_jax.arrays_in import takes_arrays
from memgen_jax.errors import InputError
from memgen_jax.metrics.lpips import Lpips, LpipsBilinear
from memgen_jax.metrics.metric import Metric
from memgen_jax.metrics.pixels import Pixels
from memgen_jax.metrics.stlpips import ShiftTolerantLpips

MetricName = Literal["l2", "lpips", "lpips_bilinear", "stlpips"]
"""The metrics that have a name."""
METRICS: tuple[str, ...] = get_args(MetricName)
"""The names as a tuple."""


@takes_arrays
def make_metric(
    name: str,
    item_shape: tuple[int, ...],
    *,
    batch: Positive = 64,
    dtype: FloatName = "float32",
    memory: int | None = None,
    field: str = "metric",
) -> Metric:
    """The metric of that name, for items of that shape.

    Args:
      name: one of `METRICS`, or FILE.py:FUNCTION, where FUNCTION(item_shape) gives a `Metric`; its further arguments
        stand in brackets, FILE.py:FUNCTION(power=2).
      item_shape: of one item: (height, width, channel) for images, (dim,) for vectors.
      batch, dtype, memory: of embeddings, where the metric computes any; see `Lpips`.
      field: the setting that gave the name, for the sentence.
    Raises:
      InputError: another name, items that the metric cannot compare, or a user's function that gives no metric.

    >>> from memgen_jax import metrics
    >>> metrics.make_metric("l2", (28, 28, 1)).phrase
    'L2, pixels in [-1, 1]'
    """
    if user_code.is_user_function(name):
        return _users_metric(name, item_shape, field)
    if name not in METRICS:
        raise InputError.setting(field, name, f"one of {', '.join(METRICS)}, or FILE.py:FUNCTION")
    metric = {
        Pixels.name: lambda: Pixels(is_image=len(item_shape) == 3),
        Lpips.name: lambda: Lpips(batch, dtype, memory),
        LpipsBilinear.name: lambda: LpipsBilinear(batch, dtype, memory),
        ShiftTolerantLpips.name: lambda: ShiftTolerantLpips(batch, dtype, memory),
    }[name]()
    metric.require_shape(item_shape)
    return metric


@takes_arrays
def metric_code(name: str, field: str = "metric") -> str:
    """SHA-256 of what a metric of a user's file does; "" for our own, which are this release's.

    Raises:
      InputError: there is no such metric.
    """
    if not user_code.is_user_function(name):
        return ""
    function, _ = user_code.split_call(name, field)
    return user_code.load_function(function, 1, field).code


def _users_metric(name: str, item_shape: tuple[int, ...], field: str) -> Metric:
    where, given = user_code.split_call(name, field)
    function = user_code.load_function(where, 1, field)
    metric = function.make(
        field, (Metric,), "a memgen_jax.metrics.Metric, such as an Embedding", item_shape, **given
    )
    metric.require_shape(item_shape)
    return metric


@takes_arrays
def usual_metric(item_shape: tuple[int, ...]) -> str:
    """The name of the metric that the paper uses for such items: LPIPS for colour, else L2.

    >>> from memgen_jax import metrics
    >>> metrics.usual_metric((28, 28, 1)), metrics.usual_metric((32, 32, 3))
    ('l2', 'lpips')
    """
    return Lpips.name if len(item_shape) == 3 and item_shape[-1] == 3 else Pixels.name
