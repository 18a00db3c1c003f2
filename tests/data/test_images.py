"""Folders of images: order, kinds, sizes, and files that cannot be read."""

import os

import numpy as np
import pytest
from PIL import Image

from memgen_jax import data
from memgen_jax.data import folders, images
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
    items = folders.read_folder(tmp_path)
    assert items.names == ["a.PNG", "b/0.webp", "b/1.png"]
    np.testing.assert_array_equal(items.values, np.stack([noise(1), noise(2), noise(0)]))


def test_more_images_than_a_chunk_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "CHUNK", 3)
    for i in range(8):
        save(tmp_path, f"{i}.png", noise(i, (2, 2, 1)))
    expected = np.stack([noise(i, (2, 2, 1)) for i in range(8)])
    np.testing.assert_array_equal(folders.read_folder(tmp_path).values, expected)


def test_jpeg_comes_near_what_was_saved(tmp_path):
    smooth = np.broadcast_to(np.arange(32, dtype=np.uint8)[:, None, None] * 8, (32, 32, 3))
    save(tmp_path, "a.jpg", smooth, quality=95)
    assert np.abs(folders.read_folder(tmp_path).values[0].astype(int) - smooth).max() <= 4


@pytest.mark.parametrize(
    ("mode", "channels"), [("1", 1), ("L", 1), ("LA", 1), ("P", 3), ("RGB", 3), ("RGBA", 3)]
)
def test_grey_stays_grey_and_all_else_becomes_rgb(tmp_path, mode, channels):
    Image.fromarray(noise(0)).convert(mode).save(tmp_path / "a.png")
    assert folders.read_folder(tmp_path).values.shape == (1, 6, 6, channels)
    assert folders.read_folder(tmp_path, channels=3).values.shape == (1, 6, 6, 3)


def test_palettes_of_greys_are_grey_and_go_with_either_kind(tmp_path):
    grey = [noise(seed, (6, 6)) for seed in range(4)]
    for name, pixels in (("0.gif", grey[0]), ("1.png", grey[1])):
        Image.fromarray(pixels).convert("P").save(tmp_path / name)
    Image.fromarray(grey[2]).quantize(256).save(tmp_path / "2.png")
    alone = folders.read_folder(tmp_path)
    assert alone.either and (alone.values[..., 0] == grey[:3]).all()
    beside_grey, beside_rgb = tmp_path / "grey", tmp_path / "rgb"
    for folder in (beside_grey, beside_rgb):
        folder.mkdir()
        for name in ("0.gif", "1.png", "2.png"):
            (folder / name).write_bytes((tmp_path / name).read_bytes())
    save(beside_grey, "3.png", grey[3])
    found = folders.read_folder(beside_grey)
    assert not found.either and (found.values[..., 0] == grey).all()
    save(beside_rgb, "3.png", noise(9))
    found = folders.read_folder(beside_rgb)
    assert not found.either and (found.values[:3] == np.stack(grey[:3])[..., None]).all()
    assert (found.values[3] == noise(9)).all()
    brought = images.in_one_colour([alone, found])
    assert (brought[0].values == found.values[:3]).all() and brought[1] is found


def test_a_palette_of_greys_with_a_clear_entry_is_grey_whatever_that_entry_is(tmp_path):
    picture = Image.fromarray(np.uint8([[0, 1], [2, 3]]), "P")
    picture.putpalette([9, 9, 9, 200, 200, 200, 255, 0, 0, 40, 40, 40])
    picture.save(tmp_path / "a.png", transparency=2)
    assert folders.read_folder(tmp_path).values.squeeze().tolist() == [[9, 200], [255, 40]]
    picture.save(tmp_path / "a.png", transparency=bytes([255, 255, 0, 255]))
    assert folders.read_folder(tmp_path).values.squeeze().tolist() == [[9, 200], [255, 40]]
    picture.save(tmp_path / "a.png")
    assert folders.read_folder(tmp_path).values.shape == (1, 2, 2, 3)


def test_mixed_sizes_are_refused_by_name_and_brought_together_by_size(tmp_path):
    save(tmp_path, "a.png", noise(0))
    save(tmp_path, "b.png", noise(1, (6, 8, 3)))
    with pytest.raises(InputError, match=r"b\.png has 6×8 .* a\.png has 6×6.*size="):
        folders.read_folder(tmp_path)
    items = folders.read_folder(tmp_path, size=6)
    # The central square of 6×8 is columns 1..6, and at its own size nothing is resampled.
    np.testing.assert_array_equal(items.values, np.stack([noise(0), noise(1, (6, 8, 3))[:, 1:7]]))


def test_mixed_channels_are_refused_by_name_and_brought_together_by_channels(tmp_path):
    save(tmp_path, "a.png", noise(0))
    save(tmp_path, "b.png", noise(1, (6, 6, 1)))
    with pytest.raises(InputError, match=r"b\.png is grey but a\.png is RGB.*channels="):
        folders.read_folder(tmp_path)
    items = folders.read_folder(tmp_path, channels=3)
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
    small = folders.read_folder(tmp_path, size=8).values
    assert small.min() > 120 and small.max() < 136


def test_broken_files_are_named_or_skipped_and_counted(tmp_path):
    good = save(tmp_path, "c.png", noise(0, (40, 40, 3)))
    (tmp_path / "a.png").write_bytes(good.read_bytes()[:900])
    with pytest.raises(InputError, match=r"a\.png .*truncated.*skip_bad"):
        folders.read_folder(tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"")
    items = folders.read_folder(tmp_path, skip_bad=True)
    assert items.names == ["c.png"] and "2 unreadable images" in items.note
    np.testing.assert_array_equal(items.values[0], noise(0, (40, 40, 3)))
    good.unlink()
    with pytest.raises(InputError, match="none of the 2 images"):
        folders.read_folder(tmp_path, skip_bad=True)


def test_sixteen_bit_images_are_refused_and_not_clipped(tmp_path):
    Image.fromarray(np.arange(36, dtype=np.uint16).reshape(6, 6) * 1000).save(tmp_path / "deep.png")
    with pytest.raises(InputError, match=r"deep\.png.*8 bits"):
        folders.read_folder(tmp_path)


def test_an_empty_or_missing_folder_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="holds no image"):
        folders.read_folder(tmp_path)
    with pytest.raises(InputError, match=r"no folder .*nowhere"):
        folders.read_folder(tmp_path / "nowhere")


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


def store(folder, name, image, **options):
    folder.mkdir(exist_ok=True)
    image.save(folder / name, **options)


def test_every_kind_that_pillow_decodes_is_read_whatever_the_case_of_its_ending(tmp_path):
    square = np.zeros((6, 6), np.uint8)
    square[2:4, 1:5] = 200
    names = ["a.BMP", "b.tif", "c.gif", "d.png", "e.jp2", "f.PGM", "g.TIFF"]
    for name in names:
        store(
            tmp_path / "set",
            name,
            Image.fromarray(square),
            **({"irreversible": False} if "jp2" in name else {}),
        )
    items = folders.read_folder(tmp_path / "set", channels=1)
    assert list(items.names) == sorted(names)
    assert (items.values == square[..., None]).all()


def test_what_is_not_read_is_counted_by_kind(tmp_path):
    store(tmp_path, "a.png", Image.new("L", (4, 4)))
    for name in ("notes.txt", "more.txt", "LICENSE", ".hidden"):
        (tmp_path / name).write_text("")
    items = folders.read_folder(tmp_path)
    assert items.unread == {".txt": 2, "no ending": 1, "hidden": 1} and items.skipped == ()
    assert items.note == "2 .txt, 1 hidden, 1 no ending not read"


def test_a_pipe_or_a_link_to_nothing_is_refused_or_skipped_by_name(tmp_path):
    store(tmp_path, "a.png", Image.new("L", (4, 4)))
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "lost.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(InputError, match="it is no file, or a link to nothing"):
        folders.read_folder(tmp_path)
    assert sorted(folders.read_folder(tmp_path, skip_bad=True).skipped) == ["lost.png", "pipe.png"]


def test_images_are_taken_as_a_viewer_shows_them(tmp_path):
    values = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by a quarter, clockwise
    store(tmp_path / "turned", "a.png", Image.fromarray(values), exif=exif)
    turned = folders.read_folder(tmp_path / "turned")
    assert (
        turned.values[0, ..., 0] == np.rot90(values, -1)
    ).all() and turned.note == "1 turned as their EXIF says"

    clear = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
    clear.putpixel((1, 0), (10, 20, 30, 255))
    store(tmp_path / "clear", "a.png", clear)
    shown = folders.read_folder(tmp_path / "clear")
    assert shown.values[0, 0].tolist() == [[255, 255, 255], [10, 20, 30]]
    assert shown.note == "1 with transparent parts, laid on white"


def test_a_damaged_chunk_that_pillow_stumbles_over_is_one_sentence(tmp_path, monkeypatch):
    store(tmp_path, "a.png", Image.new("L", (4, 4)))
    monkeypatch.setattr(images, "_fit", lambda *_: [][0])
    with pytest.raises(InputError, match=r"cannot read image a\.png \(list index out of range\)"):
        folders.read_folder(tmp_path)
