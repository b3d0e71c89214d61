import json

import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas import data


def test_digits_at_their_own_size():
    digits = data.load("digits", side=8)
    from sklearn.datasets import load_digits

    stored = load_digits()
    images = np.concatenate([digits.arrays[name][0] for name in ("train", "test")])
    # 1797 images, four fifths for training: floor(0.8 * 1797) = 1437.
    assert [len(digits.arrays[name][1]) for name in ("train", "test")] == [1437, 360]
    assert digits.input_shape == (8, 8, 1) and digits.num_classes == 10 and not digits.flip
    assert digits.class_names == tuple("0123456789")
    scaled = np.round(stored.images * 255 / 16).astype(np.uint8)
    assert sorted(image.tobytes() for image in images) == sorted(image.tobytes() for image in scaled)
    shares = np.bincount(digits.arrays["test"][1]) / np.bincount(stored.target)
    assert max(abs(shares - 0.2)) < 1 / 170  # one image of the 174 to 183 in a class


def test_digits_are_normalized_by_their_training_split():
    digits = data.load("digits", side=8)
    images = np.stack([image for image, _ in digits.train])
    assert abs(images.mean()) < 1e-5 and abs(images.std() - 1) < 1e-5


@pytest.mark.parametrize(("side", "expected"), [(None, 8), (8, 8), (16, 16), (32, 32)])
def test_digits_sides(side, expected):
    assert data.load("digits", side=side).input_shape == (expected, expected, 1)


def test_digits_default_to_32_and_are_the_same_digits():
    large, small = data.load("digits"), data.load("digits", side=8)
    assert large.input_shape == (32, 32, 1)
    np.testing.assert_array_equal(large.arrays["test"][1], small.arrays["test"][1])
    # Four new pixels lie 3/8 and 1/8 of a pixel before, 1/8 and 3/8 after the old one's centre: their mean is
    # 3/4 of the old one and 1/8 of each neighbour; the border repeats itself.
    weights = 0.75 * np.eye(8) + 0.125 * (np.eye(8, k=1) + np.eye(8, k=-1))
    weights[0, 0] = weights[7, 7] = 0.875
    expected = weights @ small.arrays["train"][0][..., 0] @ weights
    found = large.arrays["train"][0].reshape(-1, 8, 4, 8, 4).mean((2, 4))
    np.testing.assert_allclose(found, expected, atol=0.5)  # rounded to integers


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("mnist", {}, "Unknown data set. Known: digits, cifar10, cifar100.*Received: 'mnist'"),
        ("nowhere.npz", {}, "Received: 'nowhere.npz'"),
        ("digits", {"side": 28}, "digits come with side 32, 16, 8. Received: side=28"),
        ("digits", {"side": 0}, "at least 4 pixels, or None. Received: side=0"),
        ("digits", {"side": 8.0}, "Received: side=8.0"),
        ("digits", {"data_dir": "somewhere"}, "data_dir is for cifar10 and cifar100 only.*somewhere"),
    ],
)
def test_load_says_what_is_wrong(name, arguments, message):
    with pytest.raises(ValueError, match=message):
        data.load(name, **arguments)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
@pytest.mark.parametrize("by", ["argument", "environment", "home"])
def test_missing_cifar_names_both_ways_to_get_it(tmp_path, monkeypatch, name, by):
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    directory = None
    expected = tmp_path / "home" / "tensorflow_datasets"
    if by == "argument":
        directory = expected = tmp_path / "given"
    if by == "environment":
        expected = tmp_path / "set"
        monkeypatch.setenv("TFDS_DATA_DIR", str(expected))
    with pytest.raises(ValueError, match="not prepared") as error:
        data.load(name, data_dir=directory)
    command = (
        'python -c "import tensorflow_datasets as tfds; '
        f"tfds.builder('{name}', data_dir='{expected}').download_and_prepare()\""
    )
    assert command in str(error.value)
    assert "point data_dir at" in str(error.value) and "\n" not in str(error.value)
    assert not expected.exists()


def write_records(path, records, kind):
    if kind == "tfrecord":
        with tf.io.TFRecordWriter(path) as writer:
            for record in records:
                writer.write(record)
        return
    module = pytest.importorskip("array_record.python.array_record_module")
    writer = module.ArrayRecordWriter(path, "group_size:1")
    for record in records:
        writer.write(record)
    writer.close()


def prepare(root, name, names, train=20, test=10, version="3.0.2", kind="tfrecord", shape=(32, 32, 3), last="test"):
    """Writes a data set as tensorflow-datasets prepares it, and returns its arrays; images of 32x32 pixels."""
    import tensorflow_datasets as tfds

    folder = root / name / version
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {"image": tfds.features.Image(shape=shape), "label": tfds.features.ClassLabel(names=names)}
    )
    features.save_config(str(folder))
    info = {"name": name, "version": version, "fileFormat": kind, "splits": []}
    arrays = {}
    for split, count in (("train", train), (last, test)):
        images = np.random.default_rng(count).integers(0, 256, (count, 32, 32, 3)).astype(np.uint8)
        arrays[split] = images, np.arange(count) % len(names)
        records = [
            features.serialize_example({"image": image, "label": int(label)})
            for image, label in zip(*arrays[split], strict=True)
        ]
        write_records(str(folder / f"{name}-{split}.{kind}-00000-of-00001"), records, kind)
        info["splits"].append(
            {
                "name": split,
                "shardLengths": [str(count)],
                "numBytes": "1",
                "filepathTemplate": "{DATASET}-{SPLIT}.{FILEFORMAT}-{SHARD_X_OF_Y}",
            }
        )
    (folder / "dataset_info.json").write_text(json.dumps(info))
    return arrays


@pytest.mark.parametrize(("name", "classes"), [("cifar10", ["cat", "dog"]), ("cifar100", ["apple", "bee"])])
@pytest.mark.parametrize("direct", [False, True])
def test_cifar_is_read_from_prepared_files(tmp_path, name, classes, direct):
    arrays = prepare(tmp_path, name, classes)
    splits = data.load(name, data_dir=tmp_path / name / "3.0.2" if direct else tmp_path)
    for split in ("train", "test"):
        for found, expected in zip(splits.arrays[split], arrays[split], strict=True):
            np.testing.assert_array_equal(found, expected)
    assert splits.class_names == tuple(classes) and splits.flip and splits.input_shape == (32, 32, 3)
    assert splits.arrays["train"][1].dtype == np.int32


def test_cifar10_has_the_published_normalization_and_cifar100_its_own(tmp_path):
    prepare(tmp_path, "cifar10", ["a", "b"])
    images = prepare(tmp_path, "cifar100", ["a", "b"])["train"][0] / 255
    published, own = (data.load(name, data_dir=tmp_path) for name in ("cifar10", "cifar100"))
    assert published.mean == (0.49139968, 0.48215827, 0.44653124)
    assert published.std == (0.24703233, 0.24348505, 0.26158768)
    np.testing.assert_allclose(own.mean, images.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(own.std, images.std((0, 1, 2)), rtol=1e-6)


def test_the_newest_prepared_version_is_read(tmp_path):
    prepare(tmp_path, "cifar10", ["a", "b"], train=8, version="3.0.2")
    prepare(tmp_path, "cifar10", ["a", "b"], train=6, version="3.0.10")
    assert len(data.load("cifar10", data_dir=tmp_path).arrays["train"][1]) == 6


def test_a_prepared_directory_of_another_data_set(tmp_path):
    prepare(tmp_path, "cifar100", ["a", "b"])
    with pytest.raises(ValueError, match="holds cifar100, not cifar10"):
        data.load("cifar10", data_dir=tmp_path / "cifar100" / "3.0.2")


def test_damaged_cifar_is_named(tmp_path):
    prepare(tmp_path, "cifar10", ["a", "b"])
    record = tmp_path / "cifar10" / "3.0.2" / "cifar10-test.tfrecord-00000-of-00001"
    record.write_bytes(record.read_bytes()[:-100])
    with pytest.raises(ValueError, match="cifar10.*not readable"):
        data.load("cifar10", data_dir=tmp_path)
    record.unlink()
    with pytest.raises(ValueError, match="cifar10.*not readable"):
        data.load("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("kind", ["tfrecord", "array_record"])
@pytest.mark.parametrize("stream", [False, True])
def test_both_kinds_of_prepared_files_in_memory_and_streamed(tmp_path, kind, stream):
    arrays = prepare(tmp_path, "cifar10", ["a", "b"], kind=kind)
    splits = data.load("cifar10", data_dir=tmp_path, stream=stream)
    assert splits.streamed == stream
    for split in ("train", "test"):
        for found, expected in zip(splits.arrays[split], arrays[split], strict=True):
            np.testing.assert_array_equal(found, expected)
    images, labels = next(iter(splits.batches("train", 20, shuffle=False)))
    np.testing.assert_allclose(images, (arrays["train"][0] / 255 - splits.mean) / splits.std, atol=1e-5)
    assert labels.numpy().tolist() == arrays["train"][1].tolist()


def test_array_record_without_its_package(tmp_path, monkeypatch):
    prepare(tmp_path, "cifar10", ["a", "b"], kind="array_record")
    import tensorflow_datasets as tfds

    def missing(*arguments, **options):
        raise ImportError("No module named 'array_record'")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "as_data_source", missing)
    with pytest.raises(ValueError, match="of array_record files: reading them takes pip install array_record") as error:
        data.load("cifar10", data_dir=tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("stream", [False, True])
def test_any_prepared_data_set_of_classes(tmp_path, monkeypatch, stream):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    arrays = prepare(tmp_path, "birds", ["a", "b"], shape=(None, None, 3), last="validation")
    splits = data.load("birds", side=32, stream=stream)
    np.testing.assert_array_equal(splits.arrays["test"][0], arrays["validation"][0])
    assert data.load("birds", side=(16, 8), resize="crop", stream=stream).input_shape == (16, 8, 3)
    with pytest.raises(ValueError, match="many sizes: give a side"):
        data.load("birds", side=None)
    with pytest.raises(ValueError, match="resize='crop', 'pad' or 'stretch'. Received: image 0 of train of 32x32"):
        data.load("birds", side=(16, 8), stream=False)


def test_prepared_data_that_is_not_there(tmp_path):
    with pytest.raises(ValueError, match="birds is not prepared in"):
        data.load("birds", data_dir=tmp_path)
