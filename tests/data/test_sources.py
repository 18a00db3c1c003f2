"""What people bring: archives, tables, LMDB, CIFAR's and MNIST's files, folders of many; and what is wrong with it."""

import gzip
import io
import os
import pickle
import socket
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from memgen_jax import data
from memgen_jax.data import cifar, images, numpy_files, room
from memgen_jax.errors import InputError

PIXELS = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)


def encoded(pixels, kind="PNG", **settings):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **settings)
    return stream.getvalue()


def values(source, **options):
    return data.read(str(source), **options)[0].values


def tar(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


PICTURES = [(f"{i:03d}.png", encoded(image)) for i, image in enumerate(PIXELS)]
SAMPLES = [
    member
    for name, content in PICTURES
    for member in ((name, content), (name.replace("png", "cls"), b"3"), (name.replace("png", "json"), b"{}"))
]


@pytest.mark.parametrize(
    "mode, name", [("w", "a.tar"), ("w:gz", "a.TAR.GZ"), ("w:bz2", "a.tar.bz2"), ("w:xz", "a.txz")]
)
def test_a_tar_of_webdataset_is_read_in_its_order_and_what_is_beside_the_images_is_counted(
    tmp_path, mode, name
):
    items, _ = data.read(tar(tmp_path / name, SAMPLES[::-1], mode))
    assert (items.values == PIXELS[::-1]).all() and items.names[0] == "005.png"
    assert items.unread == {".json": 6, ".cls": 6} and len(items.left_out) == 12


def test_a_zip_is_read_and_a_folder_of_archives_is_one_set(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.ZIP", "w") as archive:
        archive.writestr("dataset.json", "{}")
        archive.writestr("__MACOSX/._000.png", b"left by another system")
        for name, content in PICTURES[:3]:
            archive.writestr(f"00000/{name}", content)
    items, _ = data.read(tmp_path / "a.ZIP")
    assert (items.values == PIXELS[:3]).all() and items.names[0] == "00000/000.png"
    assert items.unread == {".json": 1, "hidden": 1}
    tar(tmp_path / "b.tar", PICTURES[3:])
    (tmp_path / "notes.txt").write_text("")
    both, _ = data.read(tmp_path)
    assert (both.values == PIXELS).all() and both.unread == {".json": 1, "hidden": 1, ".txt": 1}


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.9])
def test_a_tar_that_is_cut_off_or_joined_never_passes_for_whole(tmp_path, keep):
    path = tar(tmp_path / "a.tar", PICTURES)
    whole = path.read_bytes()
    end = max(i for i in range(0, len(whole), 512) if whole[i : i + 512].strip(b"\0")) + 512
    for length in (int(keep * end), int(keep * end) // 512 * 512, end):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match="cannot read"):
            data.read(path)
    path.write_bytes(whole + whole)
    with pytest.raises(InputError, match="several were joined"):
        data.read(path)


def test_an_archive_without_images_says_what_it_holds(tmp_path):
    tar(tmp_path / "a.tar", [("data_batch_1", b"x"), ("more.json", b"{}")])
    with pytest.raises(InputError, match=r"holds no image \(but 1 \.json, 1 no ending\)"):
        data.read(tmp_path / "a.tar")


def test_a_damaged_image_in_an_archive_is_named_or_skipped(tmp_path):
    path = tar(tmp_path / "a.tar", [*PICTURES, ("bad.png", b"no image")])
    with pytest.raises(InputError, match=r"bad\.png .*skip_bad"):
        data.read(path)
    items, _ = data.read(path, skip_bad=True)
    assert len(items.values) == 6 and items.skipped == ("bad.png",)


@pytest.fixture
def table():
    pa = pytest.importorskip("pyarrow")
    held = [{"bytes": content, "path": name} for name, content in PICTURES]
    return pa.table({"label": list(range(6)), "image": pa.array(held)})


def test_parquet_of_the_hub_is_read_by_its_splits(tmp_path, table):
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "data").mkdir()
    pq.write_table(table.slice(0, 2), tmp_path / "data/train-00000-of-00002.parquet")
    pq.write_table(table.slice(2, 2), tmp_path / "data/train-00001-of-00002.parquet")
    pq.write_table(table.slice(4, 2), tmp_path / "data/test-00000-of-00001.parquet")
    (tmp_path / "README.md").write_text("")
    items, held_out = data.read(tmp_path)
    assert (items.values == PIXELS[:4]).all() and (held_out.values == PIXELS[4:]).all()
    assert items.unread == {".md": 1, "other column": 1}
    assert (values(f"{tmp_path}:test") == PIXELS[4:]).all()
    one = tmp_path / "data/test-00000-of-00001.parquet"
    assert (values(one) == PIXELS[4:]).all() and (values(f"{one}:image") == PIXELS[4:]).all()
    with pytest.raises(InputError, match="no column 'pictures': it has label, image"):
        data.read(f"{one}:pictures")
    with pytest.raises(InputError, match="no split 'dev'"):
        data.read(f"{tmp_path}:dev")


def test_arrow_as_datasets_saves_it_is_read(tmp_path, table):
    pa = pytest.importorskip("pyarrow")
    for split, part in {"train": table.slice(0, 4), "test": table.slice(4)}.items():
        (tmp_path / split).mkdir()
        (tmp_path / split / "state.json").write_text("{}")
        with pa.ipc.new_stream(tmp_path / split / "data-00000-of-00001.arrow", part.schema) as writer:
            writer.write_table(part, max_chunksize=3)
    (tmp_path / "dataset_dict.json").write_text("{}")
    items, held_out = data.read(tmp_path)
    assert (items.values == PIXELS[:4]).all() and (held_out.values == PIXELS[4:]).all()
    assert (values(tmp_path / "test") == PIXELS[4:]).all()


def test_tables_of_numbers_are_images_or_vectors(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    vectors = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    pq.write_table(pa.table({"embedding": list(vectors)}), tmp_path / "v.parquet")
    assert (values(tmp_path / "v.parquet") == vectors).all()
    pq.write_table(pa.table({"pixels": PIXELS.tolist()}), tmp_path / "p.parquet")
    assert (values(tmp_path / "p.parquet") == PIXELS).all()
    pq.write_table(pa.table({"label": [1, 2]}), tmp_path / "l.parquet")
    with pytest.raises(InputError, match="columns label, of which none can hold the items"):
        data.read(tmp_path / "l.parquet")


def test_an_lmdb_of_lsun_is_read_in_the_order_of_its_keys_and_a_cut_one_refused(tmp_path):
    lmdb = pytest.importorskip("lmdb")
    with (
        lmdb.open(str(tmp_path / "church_lmdb"), map_size=2**24) as environment,
        environment.begin(write=True) as put,
    ):
        for i, image in enumerate(PIXELS):
            put.put(f"{5 - i:040x}".encode(), encoded(image, "WEBP", lossless=True))
    items, _ = data.read(tmp_path / "church_lmdb")
    assert (items.values == PIXELS[::-1]).all() and items.names[0] == f"{0:040x}"
    file = tmp_path / "church_lmdb/data.mdb"
    assert (values(file) == PIXELS[::-1]).all()
    used = file.stat().st_size
    os.truncate(file, used // 2 // 4096 * 4096)
    with pytest.raises(InputError, match=r"cannot read .*data\.mdb"):
        data.read(tmp_path / "church_lmdb")


def test_cifar_and_mnist_are_known_by_what_their_folders_hold(tmp_path):
    flat = PIXELS.repeat(4, 1).repeat(4, 2).transpose(0, 3, 1, 2).reshape(6, -1)
    ten, hundred, mnist = (tmp_path / name for name in ("ten", "hundred", "mnist"))
    for folder in (ten, hundred, mnist):
        folder.mkdir()
    for i, names in enumerate(cifar.BATCHES.values()):
        for name in names:
            (ten / name).write_bytes(pickle.dumps({b"data": flat[i : i + 2], b"labels": [1, 2]}))
    items, held_out = data.read(ten)
    assert items.values.shape == (10, 32, 32, 3) and (held_out.values[0, ::4, ::4] == PIXELS[1]).all()
    assert values(ten / "data_batch_1").shape == (2, 32, 32, 3)
    for name in ("train", "test", "meta"):
        (hundred / name).write_bytes(pickle.dumps({b"data": flat[:3]}))
    assert values(hundred).shape == (3, 32, 32, 3) == values(hundred / "train").shape
    grey = PIXELS[..., :1]
    packed = gzip.compress(struct.pack(">4I", 0x803, 6, 8, 8) + grey.tobytes())
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(packed)
    (mnist / "t10k-images.idx3-ubyte").write_bytes(gzip.decompress(packed))
    assert (values(mnist) == grey).all() and (values(mnist / "t10k-images.idx3-ubyte") == grey).all()
    (mnist / "train-images-idx3-ubyte.gz").write_bytes(
        gzip.compress(struct.pack(">4I", 0x803, 2**31, 999, 999))
    )
    with pytest.raises(InputError, match="not a whole idx file"):
        data.read(mnist)


def test_the_binary_version_of_cifar_is_read_as_pythons_is(tmp_path):
    flat = PIXELS.repeat(4, 1).repeat(4, 2).transpose(0, 3, 1, 2).reshape(6, -1)
    ten, hundred = tmp_path / "cifar-10-batches-bin", tmp_path / "cifar-100-binary"
    for folder in (ten, hundred):
        folder.mkdir()
    for names in cifar.BATCHES.values():
        for name in names:
            (ten / f"{name}.bin").write_bytes(np.insert(flat, 0, 7, axis=1).tobytes())
    items, held_out = data.read(ten)
    assert items.values.shape == (30, 32, 32, 3) and (held_out.values[:, ::4, ::4] == PIXELS).all()
    for name, count in (("train", 6), ("test", 2)):
        (hundred / f"{name}.bin").write_bytes(np.insert(flat[:count], [0, 0], 7, axis=1).tobytes())
    (hundred / "fine_label_names.txt").write_text("apple")
    assert (values(hundred)[:, ::4, ::4] == PIXELS).all()
    assert (values(hundred / "test.bin")[:, ::4, ::4] == PIXELS[:2]).all()
    (ten / "test_batch.bin").write_bytes(flat.tobytes())
    with pytest.raises(InputError, match=r"test_batch\.bin is cut short, or no batch of CIFAR"):
        data.read(ten)


def test_original_files_are_found_below_the_root_that_others_give_them_and_under_other_names(tmp_path):
    raw, grey = tmp_path / "root/MNIST/raw", PIXELS[..., 0]
    raw.mkdir(parents=True)
    content = struct.pack(">4I", 0x803, 6, 8, 8) + grey.tobytes()
    (raw / "train-images-idx3-ubyte").write_bytes(content)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    (raw / "train-labels-idx1-ubyte").write_bytes(b"labels")
    assert (values(tmp_path / "root")[..., 0] == grey).all()  # packed and unpacked, one split
    (raw / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
    items, held_out = data.read(tmp_path / "root")
    assert len(items.values) == 6 and (held_out.values == items.values).all()
    (tmp_path / "drawn.idx3-ubyte").write_bytes(content)
    assert (values(tmp_path / "drawn.idx3-ubyte")[..., 0] == grey).all()
    other = tmp_path / "root/cifar-100-python"
    other.mkdir()
    for name in ("train", "test", "meta"):
        (other / name).write_bytes(b"")
    with pytest.raises(InputError, match=r"several data sets .*MNIST/raw.*: give the folder of one"):
        data.read(tmp_path / "root")


def test_pictures_named_one_by_one_are_one_set(tmp_path):
    paths = [str(tmp_path / name) for name, _ in PICTURES]
    for path, (_, content) in zip(paths, PICTURES, strict=True):
        (tmp_path / path).write_bytes(content)
    items, _ = data.read_sets(paths[::-1])
    assert (items.values == PIXELS[::-1]).all() and items.names == paths[::-1]
    np.save(tmp_path / "a.npy", PIXELS)
    items, _ = data.read_sets([paths[2], tmp_path / "a.npy"])
    assert len(items.values) == 7 and items.names[:2] == [paths[2], f"{tmp_path}/a.npy/a.npy[0]"]


@pytest.mark.parametrize("source", ["", "  ", "tfds:", "idx:", "cifar:"])
def test_a_source_without_a_name_is_refused(source):
    with pytest.raises(InputError, match="names no data: give"):
        data.read(source)


def test_a_folder_of_npz_files_is_one_set_labels_and_test_parts_apart(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS[:2], labels=np.arange(2))
    np.savez(tmp_path / "b.npz", images=PIXELS[2:])
    np.save(tmp_path / "labels.npy", np.arange(6))
    items, held_out = data.read(tmp_path)
    assert (items.values == PIXELS).all() and held_out is None
    assert items.unread == {"other array": 1, "file without items": 1}
    (tmp_path / "split").mkdir()
    np.savez(tmp_path / "split/train_batch_1.npz", data=PIXELS[:4])
    np.savez(tmp_path / "split/val_data.npz", data=PIXELS[4:])
    items, held_out = data.read(tmp_path / "split")
    assert len(items.values) == 4 and (held_out.values == PIXELS[4:]).all()


def test_several_kinds_of_data_in_one_folder_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", images=PIXELS)
    tar(tmp_path / "b.tar", PICTURES)
    with pytest.raises(InputError, match=r"several kinds of data \(1 \.npz, 1 \.tar\)"):
        data.read(tmp_path)


def test_the_layout_may_be_said_and_is_asked_for_where_both_fit(tmp_path):
    first = np.moveaxis(PIXELS, -1, 1)
    np.save(tmp_path / "a.npy", first)
    assert (values(tmp_path / "a.npy", layout="nchw") == PIXELS).all()
    with pytest.raises(InputError, match="with layout=nhwc it has 8"):
        data.read(tmp_path / "a.npy", layout="nhwc")
    both = np.zeros((5, 3, 9, 3), np.uint8)
    np.save(tmp_path / "b.npy", both)
    with pytest.raises(InputError, match="may be first or last: say which with layout=nchw"):
        data.read(tmp_path / "b.npy")
    assert values(tmp_path / "b.npy", layout="nhwc").shape == (5, 3, 9, 3)
    np.save(tmp_path / "c.npy", PIXELS[0])
    with pytest.raises(InputError, match="that of one image"):
        data.read(tmp_path / "c.npy")


@pytest.mark.parametrize(
    "stored",
    [
        np.asfortranarray(PIXELS),
        (PIXELS / 255).astype(">f4"),
        (PIXELS / 255).astype(np.longdouble),
        np.asfortranarray(PIXELS / 255),
    ],
    ids=["fortran", "big-endian", "long double", "fortran floats"],
)
@pytest.mark.parametrize("save", [np.save, np.savez, np.savez_compressed])
@pytest.mark.parametrize("memory", [None, 10])
def test_however_numbers_lie_in_a_file_they_are_the_same_pixels_in_memory_or_mapped(
    tmp_path, stored, save, memory
):
    path = tmp_path / ("a.npy" if save is np.save else "a.npz")
    save(path, stored)
    found = values(path, memory=memory)
    assert (found == PIXELS).all() and found.dtype == np.uint8
    assert isinstance(found, np.memmap) == (memory is not None)


def test_a_folder_larger_than_the_memory_allowed_is_mapped_and_read_in_small_blocks(tmp_path, monkeypatch):
    for name, content in PICTURES:
        (tmp_path / name).write_bytes(content)
    found = values(tmp_path, memory=100)
    assert isinstance(found, np.memmap) and (found == PIXELS).all()
    smaller = values(tmp_path, memory=50, size=4, channels=1)
    assert smaller.shape == (6, 4, 4, 1) and isinstance(smaller, np.memmap)


def test_where_no_disk_has_room_one_sentence_says_how_much_it_takes():
    with pytest.raises(InputError, match=r"take 1,000,000,000\.0 GB, for which there is no room.*TMPDIR"):
        room.make_room((10**9, 10**9), np.dtype(np.uint8), memory=0)
    with pytest.raises(InputError, match="1,000,000,000,000,000,000 numbers take"):
        room.make_room((10**18,), np.dtype(np.uint8), memory=0)


@pytest.mark.parametrize(
    "bad, words",
    [
        (np.array([1e300, 1.0] * 8).reshape(4, 4), "NaN or infinite"),
        (np.ones((3, 4, 4), bool), "type bool"),
        (np.ones((3, 4, 4), np.uint16), "type uint16"),
        (np.ones((3, 4, 4), complex), "complex128"),
        (np.zeros((3, 4), [("a", "f4")]), r"\[\('a'"),
        (np.zeros((4, 8, 8, 4), np.uint8), "1 or 3 channels"),
        (np.zeros((4, 16), np.uint8), "vectors must be floats"),
    ],
)
def test_numbers_that_are_no_items_are_one_sentence(tmp_path, bad, words):
    np.save(tmp_path / "a.npy", bad)
    with pytest.raises(InputError, match=words):
        data.read(tmp_path / "a.npy")


def test_two_arrays_in_one_npy_and_a_claim_of_more_than_is_there_are_refused(tmp_path):
    with (tmp_path / "a.npy").open("wb") as stream:
        np.save(stream, PIXELS)
        np.save(stream, PIXELS)
    with pytest.raises(InputError, match=r"was np\.save called twice"):
        data.read(tmp_path / "a.npy")
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "|u1", "fortran_order": False, "shape": (10**12, 8, 8)}
    )
    (tmp_path / "b.npy").write_bytes(head.getvalue() + bytes(100))
    with pytest.raises(InputError, match="cut off: 100 of 64,000,000,000,000 bytes"):
        data.read(tmp_path / "b.npy")


def test_a_packed_array_that_unpacks_to_far_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(numpy_files, "BOMB", (200, 2**20))
    np.savez_compressed(tmp_path / "a.npz", images=np.zeros((3000, 32, 32), np.uint8))
    with pytest.raises(InputError, match=r"unpacks to .* save it with np\.save"):
        data.read(tmp_path / "a.npz")


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(tmp_path):
    Image.new("1", (30_000, 3_000)).save(tmp_path / "bomb.png")
    with pytest.raises(InputError, match=r"bomb\.png \(it has 90,000,000 pixels"):
        data.read(tmp_path)


def test_hidden_files_links_sockets_and_folders_seen_twice_are_counted_and_end_no_reading(tmp_path):
    folder, elsewhere = tmp_path / "set", tmp_path / "elsewhere"
    for place in (folder / "inner", folder / ".cache", elsewhere):
        place.mkdir(parents=True)
    (folder / "a.png").write_bytes(PICTURES[0][1])
    (folder / ".cache/b.png").write_bytes(PICTURES[1][1])
    (folder / "._a.png").write_bytes(b"x")
    (elsewhere / "c.png").write_bytes(PICTURES[2][1])
    (folder / "inner/loop").symlink_to(folder)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "lost").symlink_to(tmp_path / "nowhere")
    with socket.socket(socket.AF_UNIX) as made:
        here = os.getcwd()
        os.chdir(folder)
        made.bind("s")
        os.chdir(here)
    items, _ = data.read(folder)
    assert items.names == ["a.png", "again/c.png"]
    assert items.unread == {
        "hidden": 1,
        "hidden folder": 1,
        "link to a folder already read": 2,
        "no ending": 2,
    }
    assert len(items.left_out) == 6


def test_names_that_are_no_text_or_of_several_lines_stay_one_sentence(tmp_path):
    (tmp_path / "two\nlines.png").write_bytes(b"x")
    with pytest.raises(InputError, match=r"two\\nlines\.png") as told:
        data.read(tmp_path)
    assert "\n" not in str(told.value)
    os.rename(tmp_path / "two\nlines.png", os.fsencode(tmp_path) + b"/caf\xe9.png")
    with pytest.raises(InputError, match=r"caf\\udce9\.png") as told:
        data.read(tmp_path)
    str(told.value).encode()


@pytest.mark.parametrize("mode", ["CMYK", "P", "RGBA", "LA", "L", "1", "RGB"])
def test_a_picture_is_known_by_its_content_and_not_by_its_ending(tmp_path, mode):
    kind = "JPEG" if mode in ("CMYK", "RGB", "L") else "PNG"
    Image.fromarray(PIXELS[0]).convert(mode).save(tmp_path / "a.bmp", kind)
    items, _ = data.read(tmp_path)
    assert items.values.shape == (1, 8, 8, 1 if mode in ("L", "LA", "1") else 3)
    assert ("in CMYK" in items.note) == (mode == "CMYK")


def test_the_first_of_several_frames_counts_and_postscript_is_not_run(tmp_path):
    frames = [Image.fromarray(PIXELS[i, ..., 0]) for i in range(3)]
    frames[0].save(tmp_path / "a.tif", save_all=True, append_images=frames[1:])
    items, _ = data.read(tmp_path)
    assert (items.values[0, ..., 0] == PIXELS[0, ..., 0]).all() and "1 with several frames" in items.note
    Image.fromarray(PIXELS[0]).save(tmp_path / "b.eps")
    (tmp_path / "b.eps").rename(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"b\.png"):
        data.read(tmp_path)


def test_a_pipe_in_place_of_a_file_is_refused_and_not_waited_for(tmp_path):
    for name in ("a.npz", "b.png", "c.tar", "d"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(InputError, match="neither a folder nor a file"):
            data.read(tmp_path / name)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"])
def test_damaged_pictures_are_pictures_or_one_sentence(tmp_path, kind):
    """A hundred random damages of each kind."""
    random = np.random.default_rng(1)
    whole = encoded(PIXELS[0], kind)
    for i in range(100):
        damaged = bytearray(whole)
        for place in random.integers(0, len(whole), 1 + i % 8):
            damaged[place] = random.integers(256)
        (tmp_path / f"{i}.png").write_bytes(damaged[: len(whole) if i % 3 else random.integers(len(whole))])
        try:
            found = images.stack([tmp_path / f"{i}.png"], ["a"])
        except InputError as error:
            assert "\n" not in str(error)
        else:
            assert found.values.dtype == np.uint8


def test_parts_of_one_set_in_two_ranges_are_refused_and_a_bright_part_is_none(tmp_path):
    unit = np.linspace(0, 1, 4 * 64, dtype=np.float32).reshape(4, 8, 8)
    sources = [tmp_path / "unit.npy", tmp_path / "signed.npy", tmp_path / "bright.npy"]
    for file, array in zip(sources, (unit, 2 * unit - 1, unit / 2 + 0.4), strict=True):
        np.save(file, array)
    with pytest.raises(InputError, match=r"unit\.npy run from 0 .*signed\.npy from -1, and both are one set"):
        data.read_sets(sources[:2])
    items, _ = data.read_sets(sources[1:])
    assert (items.values[:4] == np.round(unit * 255)[..., None]).all()
    assert items.values[4:].min() == round((0.4 + 1) / 2 * 255)


@pytest.mark.parametrize(
    ("low", "high", "said"), [(-1, 1, "0,1"), (0, 1, "0,255"), (-1, 1, "0,255"), (0, 255, "-1,1")]
)
def test_a_range_that_the_values_contradict_is_refused(tmp_path, low, high, said):
    np.save(tmp_path / "a.npy", np.linspace(low, high, 4 * 64, dtype=np.float32).reshape(4, 8, 8))
    with pytest.raises(InputError, match=f"run from {low} to {high}, which cannot be value_range={said}"):
        data.read_sets([tmp_path / "a.npy"], value_range=said)


def test_samples_that_overshoot_a_range_that_is_said_are_clipped(tmp_path):
    np.save(tmp_path / "a.npy", np.linspace(-1.3, 1.2, 4 * 64, dtype=np.float32).reshape(4, 8, 8))
    items, _ = data.read_sets([tmp_path / "a.npy"], value_range="-1,1")
    assert items.values.min() == 0 and items.values.max() == 255


def test_what_lies_beside_the_files_of_a_known_data_set_is_accounted_for(tmp_path):
    grey = PIXELS[..., 0]
    content = struct.pack(">4I", 0x803, 6, 8, 8) + grey.tobytes()
    for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"):
        (tmp_path / name).write_bytes(content)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(b"labels")
    for name, picture in PICTURES:
        (tmp_path / name).write_bytes(picture)
    items, _ = data.read(tmp_path)
    assert len(items.values) == 6 and sum(items.unread.values()) == len(PICTURES)
    assert {name for name, _ in items.left_out} == {name for name, _ in PICTURES}


def test_held_out_items_that_have_no_use_are_accounted_for(tmp_path):
    np.savez(tmp_path / "a.npz", x_train=PIXELS, x_test=PIXELS[:2])
    np.save(tmp_path / "b.npy", PIXELS)
    items, held_out = data.read_sets([tmp_path / "a.npz", tmp_path / "b.npy"])
    assert len(items.values) == 12 and held_out is None
    assert items.unread == {"held-out items of the same source": 2}
    assert data.with_unused(*data.read(tmp_path / "a.npz")).unread == items.unread
