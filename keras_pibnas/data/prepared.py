"""Data sets that tensorflow-datasets has prepared: CIFAR and any other of images and classes. Nothing is downloaded."""

import os
import struct
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from .images import Stored, check_size, resized
from .source import Source

_FAULTS = (tf.errors.OpError, OSError, ValueError, AssertionError, KeyError, NotImplementedError)


def directory(data_dir: str | Path | None) -> Path:
    """Where prepared data is looked for: the given place, TFDS_DATA_DIR, or ~/tensorflow_datasets."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def newest(name: str, root: Path) -> Path | None:
    """The directory of the newest prepared version below root; root itself if it is one; None: there is none."""
    if (root / "dataset_info.json").is_file():
        return root
    return max((path.parent for path in root.glob(f"{name}/*/dataset_info.json")), key=_version, default=None)


def _version(folder):
    """What versions are ordered by: 3.0.10 comes after 3.0.2, and a name that is no version before all."""
    parts = folder.name.split(".")
    return tuple(map(int, parts)) if all(part.isdecimal() for part in parts) else ()


def read_prepared(name: str, data_dir=None, size: tuple[int, int] | None = None, resize: str | None = None) -> Source:
    """Opens the newest prepared version, as TFRecord files or array_record.

    Args:
        name: of the data set, "imagenet2012", or with its configuration, "cats_vs_dogs/large".
        data_dir: the directory that holds name/VERSION/dataset_info.json, or the prepared directory itself.
        size: (height, width) that the images get when they are read; None: their own.
        resize: see `images.resized`.

    Returns:
        `Source`: train, and test, or validation where no labelled test split is there.

    Raises:
        ValueError: data that is not prepared, of another data set or kind, or damaged.
    """
    root = directory(data_dir)
    # Looked up here: tensorflow-datasets asks the network about a data set before it looks for its files.
    found = newest(name, root)
    if found is None:
        raise ValueError(
            f"{name} is not prepared in {root}. Either let tensorflow-datasets download it: python -c "
            f"\"import tensorflow_datasets as tfds; tfds.builder('{name}', data_dir='{root}')"
            f'.download_and_prepare()", or point data_dir at a directory that holds {name}/VERSION/'
            f"dataset_info.json. Received: data_dir={data_dir}"
        )
    import tensorflow_datasets as tfds

    builder = tfds.builder_from_directory(found)
    if builder.name != name.partition("/")[0]:
        raise ValueError(f"{root} holds {builder.name}, not {name}. Received: data_dir={data_dir}")
    try:
        return _source(builder, size, resize)
    except ImportError as error:
        raise ValueError(
            f"The prepared {name} in {builder.data_path} is of {builder.info.file_format.value} files: reading them "
            f"takes pip install array_record. Received: {error}"
        ) from None
    except _Misfit as error:
        raise ValueError(str(error)) from None
    except _FAULTS as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"The prepared {name} in {builder.data_path} is not readable: {reason}") from None


class _Misfit(Exception):
    """Data that is readable, and not what is wanted."""


def _source(builder, size, resize):
    keys = builder.info.supervised_keys or ("image", "label")
    features = builder.info.features
    if not all(key in features for key in keys) or not hasattr(features[keys[1]], "names"):
        raise _Misfit(
            f"{builder.name} should have an image and a class label. Received: features {', '.join(features)}"
        )
    read = partial(_split, builder, keys, size, resize)
    train, test = read("train"), None
    for split in ("test", "validation"):
        if test is None and split in builder.info.splits:
            test = read(split)
            test = None if (test[1] < 0).any() else test  # a test split whose labels are kept secret
    return Source(train, test, features[keys[1]].names)


def _split(builder, keys, size, resize, split):
    """(Stored images, integers (N,)) of a split."""
    shape = builder.info.features[keys[0]].shape
    if size is None and None in shape:
        raise _Misfit(f"{builder.name} has images of many sizes: give a side. Received: side=None")
    if None not in shape:
        check_size(shape[:2], size, resize, f"{split} images")
    size = size or shape[:2]
    records = _records(builder, split)
    labels = np.array(list(_column(builder, split, keys[1])), np.int64)

    def read(index):
        image = records(index)[keys[0]]
        check_size(image.shape[:2], size, resize, f"image {index} of {split}")
        return resized(image[None], size, resize)[0]

    def read_all():
        images = np.empty((len(labels), *size, shape[-1]), np.uint8)
        for index, image in enumerate(_column(builder, split, keys[0])):
            check_size(image.shape[:2], size, resize, f"image {index} of {split}")
            images[index] = resized(image[None], size, resize)[0]
        return images

    return Stored(read, np.arange(len(labels)), (*size, shape[-1]), read_all), labels


def _column(builder, split, key):
    """One feature of all records of a split, in the order that they are stored in."""
    import tensorflow_datasets as tfds

    if not _is_tfrecord(builder):
        others = {name: tfds.decode.SkipDecoding() for name in builder.info.features if name != key}
        return (record[key] for record in builder.as_data_source(split, decoders=others))
    only = tfds.decode.PartialDecoding({key: True})
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    dataset = builder.as_dataset(split=split, decoders=only, read_config=in_order)
    batches = dataset.batch(1 if None in builder.info.features[key].shape else 500)
    return (value for batch in batches.as_numpy_iterator() for value in batch[key])


def _records(builder, split):
    """A function from an index to the record's features."""
    if not _is_tfrecord(builder):
        return builder.as_data_source(split).__getitem__
    return TFRecords(builder.info.splits[split].filepaths, builder.info.features.deserialize_example_np)


def _is_tfrecord(builder):
    return builder.info.file_format.value == "tfrecord"


class TFRecords:
    """Records of TFRecord files by their index.

    A TFRecord file is a row of: length (8 bytes), its checksum (4), the record, its checksum (4). So one walk over
    the lengths says where each record begins, without reading any.

    Args:
        paths: of the files.
        decode: bytes of a record -> what is returned.

    Raises:
        ValueError: a file that ends within a record.
    """

    def __init__(self, paths, decode):
        self.paths, self.decode = list(paths), decode
        self.places = np.array([place for file in range(len(self.paths)) for place in self._walk(file)], np.int64)

    def __call__(self, index: int):
        file, start, length = self.places[index].tolist()
        with open(self.paths[file], "rb") as content:
            content.seek(start)
            record = content.read(length)
        return self.decode(record)

    def _walk(self, file):
        """(file, begin, length) of every record."""
        path, start = self.paths[file], 0
        end = os.path.getsize(path)
        with open(path, "rb") as content:
            while start < end:
                content.seek(start)
                head = content.read(12)
                length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else end
                if start + length + 16 > end:
                    raise ValueError(f"{path} ends within a record")
                yield file, start + 12, length
                start += length + 16
