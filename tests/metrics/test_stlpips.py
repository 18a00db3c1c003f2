"""Shift-tolerant LPIPS against numbers from PyPI's `stlpips-pytorch` 0.0.2 (PyTorch 2.13), and its own definition."""

import io
import pickle
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import ndimage

from memgen_jax import metrics
from memgen_jax.errors import InputError
from memgen_jax.metrics import stlpips, weights

needs_weights = pytest.mark.skipif(
    not metrics.weights_path("stlpips").is_file(), reason="run `memgen fetch-weights stlpips`"
)

# Three pairs a row, those of LPIPS's test.
REFERENCE = {
    ("random", 24): (0.070320792, 0.037509434, 0.034981281),
    ("random", 64): (0.032707166, 0.038483225, 0.043165941),
    ("real", 24): (0.348925501, 0.413075060, 1.013857603),
    ("real", 28): (0.349586576, 0.472978950, 1.009957314),
    ("real", 32): (0.407455504, 0.492358297, 0.926807582),
    ("real", 97): (0.515282512, 0.583121359, 1.015607715),
}


def pairs(kind, side):
    if kind == "random":
        return np.random.default_rng(side).integers(0, 256, (2, 3, side, side, 3), dtype=np.uint8)
    from sklearn.datasets import load_sample_images

    places = ((20, 30), (120, 200), (150, 330))
    cut = [
        [photo[top : top + side, left : left + side] for top, left in places]
        for photo in load_sample_images().images
    ]
    return np.array(cut)


@needs_weights
@pytest.mark.parametrize(("kind", "side"), list(REFERENCE))
def test_it_equals_the_pytorch_package(kind, side):
    metric = metrics.make_metric("stlpips", (side, side, 3))
    first, second = (metric.vectors(stack) for stack in pairs(kind, side))
    np.testing.assert_allclose(((first - second) ** 2).sum(1), REFERENCE[kind, side], atol=2e-6)


@needs_weights
def test_its_distance_inside_a_program_is_that_of_its_vectors():
    metric = metrics.ShiftTolerantLpips()
    first, second = (stack[0] for stack in pairs("real", 24))
    between = jax.jit(metric.between(lambda item: item))(first, second)
    np.testing.assert_allclose(between, REFERENCE["real", 24][0], atol=2e-6)


@needs_weights
def test_the_length_of_its_vectors_is_known_beforehand():
    metric = metrics.ShiftTolerantLpips()
    assert metric.num_features((32, 32, 3)) == metric.vectors(pairs("real", 32)[0]).shape[1]


@needs_weights
def test_a_shift_by_a_pixel_moves_it_less_than_it_moves_lpips():
    if not metrics.weights_path().is_file():
        pytest.skip("no LPIPS weights")
    original, other = pairs("real", 64)
    moved = np.roll(original, 1, axis=2)
    shares = []
    for metric in (metrics.Lpips(), metrics.ShiftTolerantLpips()):
        start, shifted, far = (metric.vectors(images) for images in (original, moved, other))
        shares.append(((start - shifted) ** 2).sum(1) / ((start - far) ** 2).sum(1))
    assert (shares[1] < shares[0] / 2).all()


@pytest.mark.parametrize("shape", [(9, 12), (8, 7), (5, 5)])
def test_the_blur_is_a_mirrored_binomial_filter_at_every_second_place(shape):
    maps = np.random.default_rng(0).normal(size=(*shape, 2)).astype(np.float32)
    taps = np.outer([1, 2, 1], [1, 2, 1]) / 16
    for channel in range(2):
        wide = np.pad(maps[..., channel], 2, mode="reflect")
        expected = ndimage.convolve(wide, taps)[1:-1, 1:-1][::2, ::2]
        np.testing.assert_allclose(stlpips.blurred(jnp.asarray(maps))[..., channel], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((20, 40, 3), "at least 21 pixels"), ((32, 32, 4), "1 or 3 channels"), ((32,), "vectors")],
)
def test_items_that_it_cannot_compare_are_refused(shape, words):
    with pytest.raises(InputError, match=words):
        metrics.make_metric("stlpips", shape)


def test_a_pickle_of_anything_but_tensors_is_stopped():
    with pytest.raises(pickle.UnpicklingError, match="no place among weights"):
        weights._TorchUnpickler(io.BytesIO(pickle.dumps(zipfile.ZipFile, 2))).load()


def test_missing_weights_give_the_command_and_another_package_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMGEN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match="run: memgen fetch-weights stlpips"):
        metrics.make_metric("stlpips", (32, 32, 3)).require_ready()
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as file:
        file.writestr("nothing.txt", "")
    with pytest.raises(InputError, match="holds no stlpips_pytorch"):
        metrics.fetch_weights(tmp_path / "other.whl", "stlpips")
    (tmp_path / "alex.pth").write_bytes(b"something else")
    with pytest.raises(InputError, match="checksum differs"):
        metrics.fetch_weights(tmp_path / "alex.pth", "stlpips")
    with pytest.raises(InputError, match="which='vgg' must be one of lpips, stlpips"):
        metrics.fetch_weights(None, "vgg")
