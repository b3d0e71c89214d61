"""Tables: what is asked of them, and their files."""

import json
from dataclasses import asdict

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas import tabular
from keras_pibnas.tabular import CellSpace, Settings, Table

SPACE = CellSpace(("skip_connect", "sep_conv_3x3"))  # 2 * 16 + 4 * 5 / 2 = 42 cells


def arrays(**changes):
    """A table whose cell number i classifies 2 i of 100 test images right from seed 0, 2 i + 2 from seed 1."""
    number = np.arange(42)
    about = {
        "settings": asdict(Settings(epochs=3)), "primitives": SPACE.primitives, "reduce": SPACE.reduce,
        "images": {"train": 32, "valid": 50, "test": 100}, "seconds": 84, "processor": "none", "versions": {},
    }  # fmt: skip
    return {
        "valid": np.stack([number, number % 5, np.full(42, -1)], 1),
        "test": np.stack([2 * number, 2 * number + 2, np.full(42, -1)], 1),
        "params": 100 + number, "macs": 1000 + number, "about": np.array(json.dumps(about)),
    } | changes  # fmt: skip


def test_query():
    entry = Table(arrays()).query(SPACE.genotype(30))
    assert (entry.index, entry.genotype) == (30, SPACE.genotype(30))
    assert entry.test_seeds == (0.60, 0.62) and entry.test == pytest.approx(0.61)
    assert entry.valid_seeds == (0.6, 0.0) and entry.valid == pytest.approx(0.3)
    assert (entry.params, entry.macs) == (130, 1030)
    # Cells 31 to 41 are better, 0 to 29 worse; the best has (0.82 + 0.84) / 2.
    assert entry.rank == 12
    assert entry.percentile == pytest.approx(100 * 30 / 42)
    assert entry.regret == pytest.approx(0.83 - 0.61)


def test_ranking_settings_and_spread():
    table = Table(arrays())
    assert list(table.ranking()) == list(range(41, -1, -1))
    assert table.settings == Settings(epochs=3) and table.space == SPACE and len(table) == 42
    assert table.spread().seeds == pytest.approx(0.02 / np.sqrt(2))


def test_random_choice_is_exact():
    table = Table(arrays())
    one = table.random_choice()
    tests = np.arange(42) * 0.02 + 0.01
    assert one["test"] == pytest.approx((tests.mean(), tests.std()))
    assert one["percentile"][0] == pytest.approx(100 * np.mean(np.arange(42) / 42))
    assert one["regret"][0] == pytest.approx(tests.max() - tests.mean())
    # All 42 drawn: seed 0 chooses the best cell, seed 1 any of those whose number is 4 modulo 5 (4, 9, ..., 39).
    assert table.random_choice(42)["test"][0] == pytest.approx((tests[41] + tests[4::5].mean()) / 2)


def test_a_file_holds_the_table(tmp_path):
    path = tabular.write(tmp_path / "own.npz", arrays())
    table, whole = tabular.load(path), Table(arrays())
    np.testing.assert_array_equal(table.test, whole.test)
    np.testing.assert_array_equal(table.valid, whole.valid)
    assert table.about == whole.about and list(table.macs) == list(whole.macs)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Known: .*or a file. Received: 'letters'"):
        tabular.load("letters")
    (tmp_path / "wrong.npz").write_bytes(b"no zip")
    with pytest.raises(ValueError, match="wrong.npz is no table"):
        tabular.load(tmp_path / "wrong.npz")
    with pytest.raises(ValueError, match="42 cells. Received: macs of 3"):
        tabular.write(tmp_path / "short.npz", arrays(macs=np.arange(3)))


def test_settings_are_checked():
    with pytest.raises(ValueError, match="batch_size=33, train_images=32"):
        Settings(train_images=32, batch_size=33)
    with pytest.raises(ValueError, match="epochs=0"):
        Settings(epochs=0)
    with pytest.raises(ValueError, match="1437 training images"):
        Settings(valid_images=1400).splits()


def test_images_are_divided():
    splits = Settings(side=8, train_images=200, valid_images=600).splits()
    parts = {split: images for split, (images, _) in splits.arrays.items()}
    assert {split: len(images) for split, images in parts.items()} == {"train": 200, "valid": 600, "test": 997}
    # Every image stands in one part.
    rows = np.concatenate([images.reshape(len(images), -1) for images in parts.values()])
    from sklearn.datasets import load_digits

    whole = np.round(load_digits().images * (255 / 16)).astype("uint8").reshape(1797, -1)
    np.testing.assert_array_equal(sorted(map(bytes, rows)), sorted(map(bytes, whole)))
    counts, whole = (np.bincount(part.arrays["train"][1]) for part in (splits, kp.data.load("digits", 8)))
    assert np.abs(counts - whole * 200 / 1437).max() <= 1


def test_rates_are_a_cosine():
    rates = Settings(train_images=64, batch_size=32, epochs=2, learning_rate=0.1).rates()
    assert rates == pytest.approx([0.1, 0.1 * (1 + 2**-0.5) / 2, 0.05, 0.1 * (1 - 2**-0.5) / 2])
