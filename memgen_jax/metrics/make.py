"""Metrics by name."""

from typing import Literal, get_args

from memgen_jax.errors import InputError
from memgen_jax.metrics.lpips import Lpips
from memgen_jax.metrics.metric import Metric
from memgen_jax.metrics.pixels import Pixels

MetricName = Literal["l2", "lpips"]
METRICS: tuple[str, ...] = get_args(MetricName)


def make_metric(
    name: str, item_shape: tuple[int, ...], *, batch: int = 64, dtype: str = "float32", field: str = "metric"
) -> Metric:
    """The metric of that name, for items of that shape.

    Args:
      item_shape: of one item: (height, width, channel) for images, (dim,) for vectors.
      batch, dtype: of embeddings, where the metric computes any.
      field: the setting that gave the name, for the sentence.
    Raises:
      InputError: another name, or items that the metric cannot compare.
    """
    if name not in METRICS:
        raise InputError.setting(field, name, f"one of {', '.join(METRICS)}")
    metric = Lpips(batch, dtype) if name == Lpips.name else Pixels(is_image=len(item_shape) == 3)
    metric.require_shape(item_shape)
    return metric


def usual_metric(item_shape: tuple[int, ...]) -> str:
    """The name of the metric that the paper uses for such items: LPIPS for colour, else L2."""
    return Lpips.name if len(item_shape) == 3 and item_shape[-1] == 3 else Pixels.name
