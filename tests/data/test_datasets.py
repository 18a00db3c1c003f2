"""Named data sets: what they hold, in which range, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.datasets import load_digits

from memgen_jax import data
from memgen_jax.errors import InputError


def test_digits_are_the_1797_of_scikit_learn_split_once_with_every_level_kept():
    digits = data.load("digits")
    assert digits.is_image and digits.item_shape == (8, 8, 1)
    assert digits.train.shape == (1437, 8, 8, 1) and digits.held_out.shape == (360, 8, 8, 1)
    both = np.concatenate([digits.train, digits.held_out])
    levels = np.round(both[..., 0] / 255 * 16)
    original = load_digits().images
    assert sorted(map(bytes, levels.astype(np.uint8))) == sorted(map(bytes, original.astype(np.uint8)))
    assert both.max() == 255 and both.min() == 0


def test_the_digits_are_the_same_at_every_call():
    np.testing.assert_array_equal(data.load("digits").train, data.load("digits").train)


def test_encode_inverts_decode_on_every_pixel_value_in_numpy_and_in_jax():
    pixels = np.arange(256, dtype=np.uint8)
    decoded = data.decode(pixels)
    assert decoded.dtype == np.float32 and decoded[0] == -1 and decoded[255] == 1
    np.testing.assert_array_equal(data.encode(decoded), pixels)
    on_device = jax.jit(data.decode)(jnp.asarray(pixels))
    np.testing.assert_allclose(on_device, decoded, atol=1e-7)
    np.testing.assert_array_equal(jax.jit(data.encode)(on_device), pixels)


def test_encode_clips_what_lies_outside_and_rounds_to_the_nearest():
    values = np.array([-7.0, -1.0, -1 + 0.6 / 127.5, 0.9999, 3.0], np.float32)
    np.testing.assert_array_equal(data.encode(values), [0, 0, 1, 255, 255])


def test_decode_leaves_vectors_alone():
    points = data.circle(5, 0).train
    assert data.decode(points) is points


def test_circle_points_are_uniform_on_the_unit_circle_and_held_out_ones_are_fresh():
    circle = data.load("circle")
    assert circle.train.shape == (60_000, 2) and not circle.is_image
    np.testing.assert_allclose(np.linalg.norm(circle.train, axis=1), 1, atol=1e-6)
    turn = np.arctan2(circle.train[:, 1], circle.train[:, 0]) / (2 * np.pi) + 0.5
    assert stats.kstest(turn, "uniform").pvalue > 1e-3
    assert not set(map(bytes, circle.held_out)) & set(map(bytes, circle.train[:20_000]))


def test_a_smaller_circle_is_a_prefix_of_a_larger_one():
    np.testing.assert_array_equal(data.circle(9).train, data.circle(1000).train[:9])


@pytest.mark.parametrize("item_shape", [(16, 16, 1), (5,)])
def test_gaussian_pixels_are_independent_with_mean_and_width_of_the_paper(item_shape):
    gaussian = data.gaussian_pixels(item_shape, num_train=2000, num_held_out=10)
    assert gaussian.item_shape == item_shape and gaussian.train.dtype == np.float32
    assert not gaussian.is_image
    flat = gaussian.train.reshape(2000, -1)
    assert stats.kstest(flat.ravel(), stats.norm(0.5, 0.1).cdf).pvalue > 1e-3
    off_diagonal = np.corrcoef(flat[:, :5].T) - np.eye(5)
    assert np.abs(off_diagonal).max() < 5 / np.sqrt(2000)
    low, high = gaussian.value_range
    assert low <= flat.min() and flat.max() <= high


def test_an_unknown_name_is_refused_with_the_known_ones():
    with pytest.raises(InputError, match=r"'digit'.*digits, circle, gaussian_pixels"):
        data.load("digit")


def test_train_and_held_out_items_of_different_kinds_are_refused():
    images = np.zeros((3, 4, 4, 1), np.uint8)
    with pytest.raises(InputError, match="float64"):
        data.Dataset("x", images.astype(np.float64), images.astype(np.float64))
    with pytest.raises(InputError, match="no training items"):
        data.Dataset("x", images[:0], images)
