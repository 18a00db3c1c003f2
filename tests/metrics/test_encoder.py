"""An encoder's distance is 2 − 2cos however long the vectors are, and pictures reach a network as it takes them."""

import mmap
import sys

import numpy as np
import pytest

from memgen_jax import metrics
from memgen_jax.errors import InputError
from memgen_jax.metrics.encoder import MEAN, STD, EncoderInput

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (7, 6, 4, 3), dtype=np.uint8)


def flat(pictures):
    return 3.0 * pictures.reshape(len(pictures), -1).astype(np.float32)


def test_the_distance_is_2_less_twice_the_cosine():
    metric = metrics.Encoder("flat.onnx", flat, batch=3)
    first, second = PICTURES[:4], PICTURES[4:]
    a, b = flat(first), flat(second)
    cosine = (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)
    np.testing.assert_allclose(metric.nearest(first, second), (2 - 2 * cosine).min(axis=1), atol=1e-6)
    np.testing.assert_allclose(metric.nearest(first, first), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("network", "words"),
    [
        (lambda p: p, "must make one vector of each"),
        (lambda p: np.zeros((len(p), 3)), "vectors of zeros"),
        (lambda p: np.full((len(p), 3), np.nan), "NaN"),
    ],
)
def test_a_network_that_makes_no_vectors_is_refused_by_its_name(network, words):
    with pytest.raises(InputError, match=rf"n\.onnx makes .*{words}|n\.onnx .*{words}"):
        metrics.Encoder("n.onnx", network).require_shape((6, 4, 3))


def test_vectors_have_no_encoder():
    with pytest.raises(InputError, match="takes images, and these items are vectors"):
        metrics.Encoder("n.onnx", flat).require_shape((5,))


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told in other units")
@pytest.mark.parametrize(("megabytes", "at_once"), [(None, 7), (1000, 7), (72, 4), (45, 2), (1, 1)])
def test_a_batch_takes_no_more_memory_than_it_may(megabytes, at_once):
    batches = []

    def network(
        pictures,
    ):  # 16 MB a picture, anew from the system: what a process has freed before is not seen
        batches.append(len(pictures))
        work = np.frombuffer(mmap.mmap(-1, len(pictures) * 2**24)).reshape(len(pictures), 2**21)
        work[:] = 1
        return flat(pictures) + work[:, :1].astype(np.float32)

    metric = metrics.Encoder("n.onnx", network, 16, None if megabytes is None else megabytes * 2**20)
    vectors = metric.vectors(PICTURES)
    chunks = [at_once] * (7 // at_once) + [7 % at_once] * (7 % at_once > 0)
    assert batches == [2] * (megabytes is not None) + chunks  # two of noise are measured
    np.testing.assert_allclose(vectors, metrics.Encoder("n.onnx", network).vectors(PICTURES), atol=1e-6)


def test_vectors_that_take_more_than_half_of_the_memory_lie_in_a_file():
    made = metrics.Encoder("n.onnx", flat, memory=1000).vectors(PICTURES)
    assert isinstance(made, np.memmap) and made.nbytes > 500
    np.testing.assert_array_equal(made, metrics.Encoder("n.onnx", flat, 1).vectors(PICTURES))


def test_bytes_are_given_as_they_are_and_floats_normalised():
    as_bytes = EncoderInput("uint8", "nhwc").of(PICTURES)
    np.testing.assert_array_equal(as_bytes, PICTURES)
    floats = EncoderInput("float32", "nchw").of(PICTURES)
    expected = (np.moveaxis(PICTURES, -1, 1) / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(STD, (3, 1, 1))
    assert floats.dtype == np.float32
    np.testing.assert_allclose(floats, expected, atol=1e-6)


@pytest.mark.parametrize(("side", "shape"), [(12, (18, 12)), ((5, 9), (5, 9)), (None, (6, 4))])
def test_pictures_are_resized_as_the_network_asks_and_grey_ones_get_three_channels(side, shape):
    made = EncoderInput("uint8", "nhwc", side).of(PICTURES[..., :1])
    assert made.shape == (7, *shape, 3)
    np.testing.assert_array_equal(made[..., 0], made[..., 2])


def test_a_network_of_grey_pictures_gets_no_coloured_ones():
    assert EncoderInput("uint8", "nchw", None, 1).of(PICTURES[..., :1]).shape == (7, 1, 6, 4)
    with pytest.raises(InputError, match="takes grey images"):
        EncoderInput("uint8", "nchw", None, 1).of(PICTURES)
