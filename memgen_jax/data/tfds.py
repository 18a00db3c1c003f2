"""Images prepared by tensorflow-datasets, read (and, for Fashion-MNIST, prepared) without TensorFlow."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from memgen_jax.arrays_in import takes_arrays
from memgen_jax.data import idx
from memgen_jax.data.images import stack
from memgen_jax.data.items import Items
from memgen_jax.errors import FIELD, InputError
from memgen_jax.files import expanded

DEFAULT_DATA_DIR = "~/tensorflow_datasets"  # where tensorflow-datasets itself puts and looks for data


def read_tfds(
    name: str, split: str, *, data_dir: str | os.PathLike | None = None, size: int | None = None
) -> Items:
    """The images of one split of a prepared data set, in the order in which it is stored.

    The first call decodes them (Fashion-MNIST: a minute) and keeps the array beside the data as
    `memgen-SPLIT-SIZE.npy`; later calls read that. Where the folder cannot be written, nothing is kept.

    Args:
      name: NAME or NAME/CONFIG as in the catalogue, such as "fashion_mnist" or "lsun/church_outdoor".
        The newest prepared version is taken.
      split: a split's name, such as "train".
      data_dir: the folder with prepared data; by default that of tensorflow-datasets.
      size: see `images.stack`; needed where images differ in size, as in LSUN.
    Raises:
      InputError: when there is no such data set, split or image, or it was prepared as tfrecord.
    """
    builder, place = _prepared(name, data_dir)
    if split not in builder.info.splits:
        raise InputError(
            f"data set {name} has no split {split!r}: give one of {', '.join(sorted(builder.info.splits))}"
        )
    cache = place / f"memgen-{split}-{size or 'full'}.npy"
    names = [f"{name}:{split}[{i}]" for i in range(builder.info.splits[split].num_examples)]
    with contextlib.suppress(OSError, ValueError, EOFError):
        values = np.load(cache, allow_pickle=False)
        if len(values) == len(names):
            return Items(values, names)
    items = _decode(builder, name, split, names, size)
    temporary = cache.with_name(f".{cache.name}.{os.getpid()}.tmp")
    with contextlib.suppress(OSError):  # a read-only data_dir only costs the decoding each time
        try:
            with temporary.open("wb") as file:
                np.save(file, items.values)
            temporary.replace(cache)
        finally:
            temporary.unlink(missing_ok=True)
    return items


def split_names(name: str, data_dir: str | os.PathLike | None = None) -> list[str]:
    """The splits that a prepared data set has."""
    return sorted(_prepared(name, data_dir)[0].info.splits)


@takes_arrays
def prepare_fashion_mnist(idx_folder: str | os.PathLike, data_dir: str | os.PathLike) -> None:
    """Prepares Fashion-MNIST in `data_dir` from its four original idx files, with no network.

    The result is that of tensorflow-datasets' own builder, which would need TensorFlow to write it: the
    same name, version, features and order of examples. Debian's package dataset-fashion-mnist has the
    files in /usr/share/datasets/fashion-mnist.

    Args:
      idx_folder: holds {train,t10k}-{images-idx3,labels-idx1}-ubyte, gzipped or not.
      data_dir: as for `read_tfds`; data already prepared there are kept.
    Raises:
      InputError: when an idx file is missing or damaged.
    """
    import tensorflow_datasets as tfds
    from PIL import Image
    from tensorflow_datasets.image_classification.mnist import FashionMNIST

    arrays = {
        split: (idx.read_idx_images(idx_folder, split), idx.read_idx_labels(idx_folder, split))
        for split in ("train", "test")
    }

    with tfds.core.registered.skip_registration():

        class FromIdxFiles(FashionMNIST):
            name = "fashion_mnist"
            pkg_dir_path = None

            def _split_generators(self, dl_manager):
                return {split: self._generate_examples(*pair) for split, pair in arrays.items()}

            def _generate_examples(self, images, labels):
                for index, (image, label) in enumerate(zip(images, labels, strict=True)):
                    yield index, {"image": Image.fromarray(image[..., 0]), "label": int(label)}

    FromIdxFiles(data_dir=os.fspath(data_dir), file_format="array_record").download_and_prepare()


def _prepared(name: str, data_dir: str | os.PathLike | None) -> tuple[Any, Path]:
    """The read-only builder of the newest version under `data_dir`, and that version's folder."""
    root = expanded(data_dir if data_dir is not None else DEFAULT_DATA_DIR)
    if not root.is_dir():
        raise InputError(
            f"cannot find data set {name!r}, for there is no folder {root} with prepared ones: name the one in "
            f"which tensorflow-datasets has prepared them, by {FIELD[0]}=FOLDER",
            "data_dir",
        )
    places = [info.parent for info in (root / name).glob("*/dataset_info.json")]
    if not places or ".." in Path(name).parts:
        known = sorted(
            {info.parent.parent.relative_to(root).as_posix() for info in root.glob("**/dataset_info.json")}
        )
        raise InputError(
            f"no data set {name!r} is prepared in {root} (there: {', '.join(known) or 'none'}): give one "
            "that is, or prepare it with tensorflow-datasets as array_record"
        )
    import tensorflow_datasets as tfds

    newest = max(places, key=lambda place: [int(n) if n.isdigit() else -1 for n in place.name.split(".")])
    return tfds.builder_from_directory(newest), newest


def _decode(builder: Any, name: str, split: str, names: list[str], size: int | None) -> Items:
    import tensorflow_datasets as tfds

    features = builder.info.features
    image_keys = [key for key, feature in features.items() if isinstance(feature, tfds.features.Image)]
    if not image_keys:
        raise InputError(f"data set {name} has no image feature: give a data set of images")
    key = image_keys[0]
    try:
        source = builder.as_data_source(split, decoders={key: tfds.decode.SkipDecoding()})
    except NotImplementedError as error:
        raise InputError(
            f"data set {name} was prepared as {builder.info.file_format.value}, which only TensorFlow reads: "
            "prepare it with file_format=array_record"
        ) from error
    channels = features[key].shape[-1]

    def opened() -> Iterator[io.BytesIO]:
        for start in range(0, len(names), 256):
            some = range(start, min(start + 256, len(names)))
            yield from (io.BytesIO(example[key]) for example in source.__getitems__(list(some)))

    return stack(opened(), names, size=size, channels=channels if channels in (1, 3) else None)
