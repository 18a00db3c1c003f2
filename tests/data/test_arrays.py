"""Arrays from files: ranges inferred, nothing unpickled, every refusal names its file."""

import numpy as np
import pytest

from memgen_jax import data
from memgen_jax.data import ranges
from memgen_jax.data.arrays import read_array
from memgen_jax.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
PIXELS[0, 0, 0] = [0, 128, 255]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "faces.npz"


@pytest.mark.parametrize(
    ("stored", "note"),
    [
        (PIXELS, ""),
        (PIXELS / 255, r"[0, 1]"),
        ((PIXELS / 127.5 - 1).astype(np.float32), "[-1, 1]"),
        ((PIXELS / 255).astype(np.float16), "[0, 1]"),
    ],
)
def test_every_range_comes_back_as_the_same_pixels_and_is_stated(path, stored, note):
    np.savez(path, images=stored)
    items, held_out = read_array(path)
    assert items.values.dtype == np.uint8 and held_out is None
    np.testing.assert_array_equal(items.values, PIXELS)
    assert note in items.note
    assert items.names[4] == "faces.npz[4]"


def test_grey_images_gain_a_channel_and_npy_files_are_read_as_a_whole(tmp_path):
    np.save(tmp_path / "grey.npy", PIXELS[..., 0])
    np.testing.assert_array_equal(read_array(tmp_path / "grey.npy")[0].values, PIXELS[..., :1])


def test_the_only_array_of_a_file_is_taken_whatever_its_name(path):
    np.savez(path, PIXELS)
    np.testing.assert_array_equal(read_array(path)[0].values, PIXELS)
    np.savez(path, first=PIXELS, second=PIXELS)
    with pytest.raises(InputError, match=r"first, second.*'images'"):
        read_array(path)


def test_held_out_items_share_the_range_of_the_training_items(path):
    bright = np.float32(PIXELS[:2] / 255 * 0.5 + 0.5)  # never negative, though stored in [-1, 1]
    np.savez(path, images=PIXELS / 127.5 - 1, held_out=bright)
    loaded = data.load(str(path))
    assert loaded.held_out.min() >= 191 and loaded.train.min() == 0
    with pytest.raises(InputError, match="2 held-out items of its own"):
        data.load(str(path), num_held_out=1)


def test_vectors_stay_floats_and_state_the_range_they_span(path):
    vectors = np.random.default_rng(0).normal(size=(6, 3))
    np.savez(path, images=vectors)
    loaded = data.load(str(path))
    assert not loaded.is_image and loaded.train.dtype == np.float32
    np.testing.assert_allclose(loaded.value_range, (vectors.min(), vectors.max()), rtol=1e-6)
    with pytest.raises(InputError, match="size=8"):
        data.load(str(path), size=8)


def test_images_are_resized_on_request(path):
    np.savez(path, images=PIXELS)
    assert data.load(str(path), size=2).item_shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.float32(PIXELS), "from 0 to 255"),
        (np.where(PIXELS == 255, np.nan, PIXELS / 255), "NaN or infinite values, first in item 0 of 5"),
        (np.full((2, 4, 4, 1), np.inf), "NaN or infinite"),
        (np.int64(PIXELS), "int64"),
        (PIXELS[..., :2].transpose(0, 3, 1, 2), r"\(5, 2, 4, 4\).*channels, last or first"),
        (PIXELS.reshape(5, -1), r"\(5, 48\)"),
        (PIXELS[:0], "holds nothing"),
        (np.float32(3), r"shape \(\)"),
        (np.array(["a", "b"]), "<U1"),
    ],
)
def test_arrays_that_are_no_images_are_refused_by_file_and_reason(path, images, message):
    np.savez(path, images=images)
    with pytest.raises(InputError, match=rf"faces\.npz.*{message}"):
        read_array(path)


def test_pickled_objects_are_never_loaded(path, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").touch, ())

    np.savez(path, images=np.array([Trap(), 1], dtype=object))
    np.save(tmp_path / "trap.npy", np.array([Trap(), 1], dtype=object))
    for trap in (path, tmp_path / "trap.npy"):
        with pytest.raises(InputError, match="holds Python objects"):
            read_array(trap)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
def test_a_file_cut_anywhere_is_refused_in_one_sentence(tmp_path, suffix):
    path = tmp_path / f"cut{suffix}"
    (np.savez if suffix == ".npz" else np.save)(path, PIXELS)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"cannot read .*cut\.np") as error:
            read_array(path)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere.npz", "no file nowhere.npz"),
        ("some/folder", "nothing at some/folder"),
        ("mnist", r"unknown data set 'mnist': give one of digits, .*tfds:NAME"),
        ("http:data", "nothing at http:data"),
        ("", "unknown data set ''"),
    ],
)
def test_what_does_not_exist_is_refused_with_what_could_be_given(name, message):
    with pytest.raises(InputError, match=message):
        data.load(name)


def test_a_file_of_another_kind_is_refused(tmp_path):
    (tmp_path / "faces.tar").write_bytes(b"x")
    with pytest.raises(InputError, match=r"cannot read .*faces\.tar as a zip or tar file"):
        data.load(str(tmp_path / "faces.tar"))


def test_settings_of_stored_images_are_refused_for_generated_data():
    with pytest.raises(InputError, match="digits comes as it is"):
        data.load("digits", size=16)


def test_floats_that_leave_their_range_a_little_are_refused_until_the_range_is_said(tmp_path):
    values = np.random.default_rng(0).random((5, 4, 4)).astype(np.float32)
    np.save(tmp_path / "near.npy", values)
    plain = read_array(tmp_path / "near.npy")[0].values
    values[0, 0, 0] = -0.01
    np.save(tmp_path / "near.npy", values)
    with pytest.raises(InputError, match=r"neither .0, 1. nor clearly .-1, 1."):
        read_array(tmp_path / "near.npy")
    said = read_array(tmp_path / "near.npy", "0,1")[0].values
    assert (said[1:] == plain[1:]).all() and said[0, 0, 0, 0] == 0
    with pytest.raises(InputError, match="value_range='0,2' must be one of"):
        read_array(tmp_path / "near.npy", "0,2")


def test_floats_in_0_to_255_are_read_when_said(tmp_path):
    stored = np.arange(32, dtype=np.float32).reshape(2, 4, 4) * 8
    np.save(tmp_path / "a.npy", stored)
    assert (read_array(tmp_path / "a.npy", "0,255")[0].values[..., 0] == stored).all()


def test_the_items_are_found_beside_labels_and_statistics_or_by_name(tmp_path):
    other = PIXELS[::-1].copy()
    np.savez(tmp_path / "a.npz", PIXELS, np.arange(5))
    (tmp_path / "a.npz").rename(tmp_path / "a.NPZ")
    assert (data.read(tmp_path / "a.NPZ")[0].values == PIXELS).all()
    np.savez(tmp_path / "b.npz", x_train=PIXELS, x_test=other, y_train=np.arange(5))
    assert (data.read(tmp_path / "b.npz")[0].values == PIXELS).all()
    assert (data.read(f"{tmp_path}/b.npz:x_test")[0].values == other).all()
    with pytest.raises(InputError, match=r"no 'absent': say which with .*b\.npz:NAME"):
        data.read(f"{tmp_path}/b.npz:absent")
    np.savez(tmp_path / "c.npz", images=PIXELS, samples=other)
    with pytest.raises(InputError, match="more than one that could be the items"):
        data.read(tmp_path / "c.npz")


VECTORS = np.linspace(0, 1, 20).reshape(5, 4)


@pytest.mark.parametrize(
    "arrays, chosen",
    [
        ({"arr_0": np.arange(5), "arr_1": PIXELS}, "arr_1"),
        ({"y": np.arange(5), "x": PIXELS}, "x"),
        ({"data": PIXELS, "labels": np.arange(5), "latents": VECTORS}, "data"),
        ({"images": np.arange(5), "pictures": PIXELS}, "pictures"),
        ({"points": VECTORS, "class": np.arange(5)}, "points"),
        ({"photos": PIXELS, "held_out": PIXELS[:2]}, "photos"),
        ({"mu": np.zeros(4), "sigma": np.eye(4)}, None),
        ({"real": PIXELS, "fake": PIXELS}, None),
        ({"first": VECTORS, "second": VECTORS}, None),
        ({}, None),
    ],
)
def test_the_only_array_of_a_file_that_can_be_items_is_taken(tmp_path, arrays, chosen):
    np.savez(tmp_path / "a.npz", **arrays)
    if chosen is None:
        with pytest.raises(InputError, match=r"none with a usual name|holds no array"):
            data.read(tmp_path / "a.npz")
    else:
        np.testing.assert_allclose(data.read(tmp_path / "a.npz")[0].values, arrays[chosen])


def test_channels_first_are_read_where_only_that_fits(tmp_path):
    np.save(tmp_path / "a.npy", np.moveaxis(PIXELS, -1, 1))
    assert (data.read(tmp_path / "a.npy")[0].values == PIXELS).all()


def test_a_folder_of_files_in_two_ranges_is_refused_and_bright_files_are_not(tmp_path):
    dark = np.random.default_rng(0).integers(0, 256, (4, 8, 8)).astype(np.float32)
    dark[:, 0, 0] = 0
    np.save(tmp_path / "a.npy", dark / 127.5 - 1)
    np.save(tmp_path / "b.npy", dark.clip(150, 255) / 127.5 - 1)  # bright ones in [-1, 1]
    items, _ = data.read(tmp_path)
    np.testing.assert_array_equal(items.values[4:, ..., 0], dark.clip(150, 255))
    np.save(tmp_path / "c.npy", dark / 255)
    for value_range in (None, ranges.decide({"both": (-1.0, 1.0)})["both"]):  # as audits infer it beforehand
        with pytest.raises(
            InputError, match=r"c\.npy run from 0 .*a\.npy from -1, .*or say it with"
        ) as refused:
            data.read(tmp_path, value_range=value_range)
        assert refused.value.field == "value_range"
    assert len(data.read(tmp_path, value_range="-1,1")[0].values) == 12
