"""What near means: a metric turns items into vectors whose Euclidean distance it is."""

from memgen_jax.metrics.lpips import check_picture_shape, embed_picture, lpips, lpips_embedding
from memgen_jax.metrics.metric import METRICS, Metric
from memgen_jax.metrics.weights import fetch_weights, load_weights, weights_path

__all__ = [
    "METRICS",
    "Metric",
    "check_picture_shape",
    "embed_picture",
    "fetch_weights",
    "load_weights",
    "lpips",
    "lpips_embedding",
    "weights_path",
]
