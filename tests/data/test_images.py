"""Folders of images: order, kinds, sizes, and files that cannot be read."""

import numpy as np
import pytest
from PIL import Image

from memgen_jax import data
from memgen_jax.data import images
from memgen_jax.errors import InputError


def noise(seed, shape=(6, 6, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def save(folder, name, pixels, **settings):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.squeeze()).save(path, **settings)
    return path


def test_images_come_sorted_by_path_from_all_subfolders(tmp_path):
    save(tmp_path, "b/1.png", noise(0))
    save(tmp_path, "a.PNG", noise(1))
    save(tmp_path, "b/0.webp", noise(2), lossless=True)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "._a.png").write_bytes(b"left by another system")
    items = images.read_folder(tmp_path)
    assert items.names == ["a.PNG", "b/0.webp", "b/1.png"]
    np.testing.assert_array_equal(items.values, np.stack([noise(1), noise(2), noise(0)]))


def test_more_images_than_a_chunk_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "CHUNK", 3)
    for i in range(8):
        save(tmp_path, f"{i}.png", noise(i, (2, 2, 1)))
    expected = np.stack([noise(i, (2, 2, 1)) for i in range(8)])
    np.testing.assert_array_equal(images.read_folder(tmp_path).values, expected)


def test_jpeg_comes_near_what_was_saved(tmp_path):
    smooth = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 8, (32, 32, 3))
    save(tmp_path, "a.jpg", smooth, quality=95)
    assert np.abs(images.read_folder(tmp_path).values[0].astype(int) - smooth).max() <= 4


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_grey_stays_grey_and_all_else_becomes_rgb(tmp_path, mode, channels):
    Image.fromarray(noise(0)).convert(mode).save(tmp_path / "a.png")
    assert images.read_folder(tmp_path).values.shape == (1, 6, 6, channels)
    assert images.read_folder(tmp_path, channels=3).values.shape == (1, 6, 6, 3)


def test_mixed_sizes_are_refused_by_name_and_brought_together_by_size(tmp_path):
    save(tmp_path, "a.png", noise(0))
    save(tmp_path, "b.png", noise(1, (6, 8, 3)))
    with pytest.raises(InputError, match=r"b\.png has 6×8 .* a\.png has 6×6.*size="):
        images.read_folder(tmp_path)
    items = images.read_folder(tmp_path, size=6)
    # The central square of 6×8 is columns 1..6, and at its own size nothing is resampled.
    np.testing.assert_array_equal(items.values, np.stack([noise(0), noise(1, (6, 8, 3))[:, 1:7]]))


def test_mixed_channels_are_refused_by_name_and_brought_together_by_channels(tmp_path):
    save(tmp_path, "a.png", noise(0))
    save(tmp_path, "b.png", noise(1, (6, 6, 1)))
    with pytest.raises(InputError, match=r"b\.png is grey but a\.png is RGB.*channels="):
        images.read_folder(tmp_path)
    items = images.read_folder(tmp_path, channels=3)
    np.testing.assert_array_equal(items.values[1], np.repeat(noise(1, (6, 6, 1)), 3, axis=-1))


@pytest.mark.parametrize(("stored", "asked"), [(3, 1), (1, 3), (3, 3)])
def test_channels_do_to_an_array_what_they_do_to_the_same_images_in_a_folder(tmp_path, stored, asked):
    pictures = np.stack([noise(i, (6, 6, stored)) for i in range(3)])
    for i, picture in enumerate(pictures):
        save(tmp_path, f"{i}.png", picture)
    np.savez(tmp_path / "all.npz", images=pictures)
    from_files, _ = data.read(tmp_path, channels=asked)
    from_array, _ = data.read(tmp_path / "all.npz", channels=asked)
    assert from_array.values.shape == (3, 6, 6, asked)
    np.testing.assert_array_equal(from_array.values, from_files.values)


def test_a_size_halves_by_averaging_so_that_no_pixel_is_dropped(tmp_path):
    checkers = np.indices((16, 16)).sum(0) % 2 * 255
    save(tmp_path, "a.png", checkers.astype(np.uint8))
    small = images.read_folder(tmp_path, size=8).values
    assert small.min() > 120 and small.max() < 136


def test_broken_files_are_named_or_skipped_and_counted(tmp_path):
    good = save(tmp_path, "c.png", noise(0, (40, 40, 3)))
    (tmp_path / "a.png").write_bytes(good.read_bytes()[:900])
    with pytest.raises(InputError, match=r"a\.png .*truncated.*skip_bad"):
        images.read_folder(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"")
    items = images.read_folder(tmp_path, skip_bad=True)
    assert items.names == ["c.png"] and "2 unreadable images" in items.note
    np.testing.assert_array_equal(items.values[0], noise(0, (40, 40, 3)))
    good.unlink()
    with pytest.raises(InputError, match="none of the 2 images"):
        images.read_folder(tmp_path, skip_bad=True)


def test_sixteen_bit_images_are_refused_and_not_clipped(tmp_path):
    Image.fromarray(np.arange(36, dtype=np.uint16).reshape(6, 6) * 1000).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png.*8 bits"):
        images.read_folder(tmp_path)


def test_an_empty_or_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="holds no PNG"):
        images.read_folder(tmp_path)
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        images.read_folder(tmp_path / "nowhere")


def test_a_folder_is_a_data_set_of_which_some_are_set_aside(tmp_path):
    for i in range(10):
        save(tmp_path, f"{i}.png", noise(i))
    loaded = data.load(str(tmp_path), num_held_out=3)
    assert loaded.name == tmp_path.name and loaded.item_shape == (6, 6, 3)
    both = {bytes(image) for image in (*loaded.train, *loaded.held_out)}
    assert len(loaded.train) == 7 and len(loaded.held_out) == 3 and len(both) == 10
    with pytest.raises(InputError, match=r"num_held_out=10 .*0\.\.9"):
        data.load(str(tmp_path), num_held_out=10)
    assert data.load(str(tmp_path), size=4).item_shape == (4, 4, 3)
