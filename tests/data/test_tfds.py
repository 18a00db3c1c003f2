"""idx files, and prepared data sets read without TensorFlow."""

import gzip
import os
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from memgen_jax import data
from memgen_jax.data import tfds
from memgen_jax.errors import InputError

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # of the package dataset-fashion-mnist


def write_idx(path, array):
    header = struct.pack(f">{array.ndim + 1}I", 0x800 + array.ndim, *array.shape)
    content = header + array.tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture(scope="module")
def idx_folder(tmp_path_factory):
    """Fashion-MNIST in small: 12 training and 5 test images."""
    folder = tmp_path_factory.mktemp("idx")
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 12), ("t10k", 5)):
        images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{prefix}-labels-idx1-ubyte", rng.integers(0, 10, count, dtype=np.uint8))
    return folder


@pytest.fixture(scope="module")
def data_dir(idx_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("prepared")
    data.prepare_fashion_mnist(idx_folder, folder)
    return folder


def as_set(images):
    return {bytes(image) for image in images}


def test_idx_files_are_a_data_set_with_the_test_images_held_out(idx_folder):
    loaded = data.load(f"idx:{idx_folder}")
    assert loaded.train.shape == (12, 28, 28, 1) and loaded.held_out.shape == (5, 28, 28, 1)
    first = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.train[..., 0], first)


def test_damaged_or_missing_idx_files_are_named(idx_folder, tmp_path):
    with pytest.raises(InputError, match=r"no train-images-idx3-ubyte or .*\.gz in"):
        data.load(f"idx:{tmp_path}")
    whole = (idx_folder / "train-images-idx3-ubyte.gz").read_bytes()
    for content in (
        whole[: len(whole) // 2],
        b"",
        gzip.compress(b"12"),
        gzip.compress(bytes(4000)),
        b"plain",
    ):
        (tmp_path / "train-images-idx3-ubyte.gz").write_bytes(content)
        with pytest.raises(InputError, match=r"train-images-idx3-ubyte\.gz is not a whole idx file"):
            data.load(f"idx:{tmp_path}")


def test_prepared_data_hold_the_images_of_the_idx_files(idx_folder, data_dir):
    prepared = data.load("tfds:fashion_mnist", data_dir=data_dir)
    original = data.load(f"idx:{idx_folder}")
    assert prepared.name == "fashion_mnist"
    assert prepared.train.shape == original.train.shape
    assert as_set(prepared.train) == as_set(original.train)
    assert as_set(prepared.held_out) == as_set(original.held_out)
    assert "tensorflow" not in sys.modules


def test_images_and_labels_stay_together_for_the_stock_reader(idx_folder, data_dir):
    import tensorflow_datasets

    source = tensorflow_datasets.data_source("fashion_mnist", split="train", data_dir=data_dir)
    images = np.random.default_rng(0).integers(0, 256, (12, 28, 28), dtype=np.uint8)
    labels = (idx_folder / "train-labels-idx1-ubyte").read_bytes()[8:]
    expected = {bytes(image): label for image, label in zip(images, labels, strict=True)}
    found = {bytes(source[i]["image"]): source[i]["label"] for i in range(len(source))}
    assert found == expected


def test_decoded_images_are_kept_beside_the_data_and_read_from_there(data_dir):
    first = tfds.read_tfds("fashion_mnist", "test", data_dir=data_dir, size=14)
    assert first.values.shape == (5, 14, 14, 1)
    (cache,) = data_dir.glob("fashion_mnist/*/memgen-test-14.npy")
    np.save(cache, np.full_like(first.values, 7))
    assert (tfds.read_tfds("fashion_mnist", "test", data_dir=data_dir, size=14).values == 7).all()
    cache.write_bytes(b"cut short")
    again = tfds.read_tfds("fashion_mnist", "test", data_dir=data_dir, size=14)
    np.testing.assert_array_equal(again.values, first.values)
    np.testing.assert_array_equal(np.load(cache), first.values)
    assert not list(data_dir.glob("fashion_mnist/*/.memgen*"))


def test_one_split_can_be_asked_for(data_dir):
    items, held_out = data.read("tfds:fashion_mnist:test", data_dir=data_dir)
    assert len(items.values) == 5 and held_out is None
    assert items.names[0] == "fashion_mnist:test[0]"
    with pytest.raises(InputError, match=r"no split 'valid'.*test, train"):
        data.read("tfds:fashion_mnist:valid", data_dir=data_dir)


def test_what_is_not_prepared_is_refused_with_what_is_there(data_dir, tmp_path):
    with pytest.raises(InputError, match=r"'cifar10'.*there: fashion_mnist"):
        data.load("tfds:cifar10", data_dir=data_dir)
    with pytest.raises(InputError, match="there: none"):
        data.load("tfds:cifar10", data_dir=tmp_path)
    with pytest.raises(InputError, match=r"no folder .*nowhere.*data_dir=FOLDER"):
        data.load("tfds:cifar10", data_dir=tmp_path / "nowhere")


@pytest.fixture(scope="module")
def scenes_dir(tmp_path_factory):
    """A data set like LSUN: a configuration, colour images of different sizes, no test split."""
    import tensorflow_datasets
    from PIL import Image

    folder = tmp_path_factory.mktemp("scenes")
    with tensorflow_datasets.core.registered.skip_registration():

        class Scenes(tensorflow_datasets.core.GeneratorBasedBuilder):
            VERSION = tensorflow_datasets.core.Version("1.0.0")
            BUILDER_CONFIGS = (tensorflow_datasets.core.BuilderConfig(name="church"),)
            pkg_dir_path = None

            def _info(self):
                image = tensorflow_datasets.features.Image(encoding_format="jpeg")
                return self.dataset_info_from_configs(
                    features=tensorflow_datasets.features.FeaturesDict({"image": image})
                )

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(4), "validation": self._generate_examples(2)}

            def _generate_examples(self, count):
                for i in range(count):
                    grey = np.full((20, 20 + i, 3), 40 * i + count, np.uint8)
                    yield i, {"image": Image.fromarray(grey)}

    Scenes(data_dir=str(folder), file_format="array_record").download_and_prepare()
    return folder


def test_colour_images_of_different_sizes_are_cropped_to_one(scenes_dir):
    with pytest.raises(InputError, match=r"scenes/church:train\[\d\] has 20×2\d .*size="):
        data.load("tfds:scenes/church", data_dir=scenes_dir)
    scenes = data.load("tfds:scenes/church", data_dir=scenes_dir, size=16)
    assert scenes.train.shape == (4, 16, 16, 3)
    # The grey level tells which image it was; JPEG moves it by a little.
    levels = sorted(scenes.train.mean(axis=(1, 2, 3)))
    np.testing.assert_allclose(levels, [4, 44, 84, 124], atol=2)
    np.testing.assert_allclose(sorted(scenes.held_out.mean(axis=(1, 2, 3))), [2, 42], atol=2)


def test_data_prepared_as_tfrecord_are_refused_with_what_to_do(data_dir, tmp_path):
    shutil.copytree(data_dir / "fashion_mnist", tmp_path / "fashion_mnist")
    (info,) = tmp_path.glob("*/*/dataset_info.json")
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    for cache in info.parent.glob("memgen-*"):
        cache.unlink()
    with pytest.raises(InputError, match=r"tfrecord.*file_format=array_record"):
        data.load("tfds:fashion_mnist", data_dir=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.isdir(DEBIAN), reason="Debian's dataset-fashion-mnist is not installed")
def test_fashion_mnist_prepared_from_debians_files_holds_all_70000_images(tmp_path):
    data.prepare_fashion_mnist(DEBIAN, tmp_path)
    prepared = data.load("tfds:fashion_mnist", data_dir=tmp_path)
    original = data.load(f"idx:{DEBIAN}")
    assert len(prepared.train) == 60_000 and len(prepared.held_out) == 10_000
    assert as_set(prepared.train) == as_set(original.train)
    assert as_set(prepared.held_out) == as_set(original.held_out)
