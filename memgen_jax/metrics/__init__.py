"""What near means: a metric turns items into vectors whose Euclidean distance it is."""

from memgen_jax.metrics.embedding import Embedding
from memgen_jax.metrics.encoder import Encoder, Network
from memgen_jax.metrics.lpips import (
    Lpips,
    LpipsBilinear,
    check_picture_shape,
    embed_picture,
    lpips_distance,
    lpips_embedding,
)
from memgen_jax.metrics.make import METRICS, MetricName, make_metric, metric_code, usual_metric
from memgen_jax.metrics.metric import Metric, PairDistance, euclidean
from memgen_jax.metrics.onnx_file import load_onnx
from memgen_jax.metrics.orbit import Orbit, least_search, parse_orbit
from memgen_jax.metrics.pixels import Pixels
from memgen_jax.metrics.stlpips import ShiftTolerantLpips
from memgen_jax.metrics.weights import cache_folder, fetch_weights, load_weights, weights_path

__all__ = [
    "METRICS",
    "Embedding",
    "Encoder",
    "Lpips",
    "LpipsBilinear",
    "Metric",
    "MetricName",
    "Network",
    "Orbit",
    "PairDistance",
    "Pixels",
    "ShiftTolerantLpips",
    "cache_folder",
    "check_picture_shape",
    "embed_picture",
    "euclidean",
    "fetch_weights",
    "least_search",
    "load_onnx",
    "load_weights",
    "lpips_distance",
    "lpips_embedding",
    "make_metric",
    "metric_code",
    "parse_orbit",
    "usual_metric",
    "weights_path",
]
