"""The builder's traced function, held to networks that `build_network` builds and `fit` trains."""

import numpy as np
import pytest

from benchmarks.tabular.network import Networks
from keras_pibnas import build_network, tabular
from keras_pibnas.analysis import complexity
from keras_pibnas.layers.op import uniform
from keras_pibnas.tabular import CellSpace, Settings
from keras_pibnas.tabular.training import initial_values

SETTINGS = Settings(side=8, layers=3, channels=4, train_images=64, valid_images=64, batch_size=32, epochs=1)
SPACE = CellSpace(("sep_conv_3x3", "pib_conv_3x3"))
NOISE = CellSpace(("noise", "sep_conv_3x3"))


@pytest.mark.slow
@pytest.mark.parametrize("index", [5, 20])
def test_a_cell_is_trained_as_fit_trains_its_network(index, networks):
    found, valid, test = both(networks, SPACE, index)
    # To within an image, as logits may be equal to rounding.
    assert found["valid"] == pytest.approx(valid / 64, abs=1.1 / 64)
    assert found["test"] == pytest.approx(test / 1669, abs=1.1 / 1669)


@pytest.mark.slow
def test_a_cell_with_noise_is_trained_as_fit_trains_its_network():
    """Both draw the same in training; in inference the table draws for all images at once."""
    found, _, test = both(Networks(SETTINGS, NOISE, SETTINGS.splits()), NOISE, 5)
    assert {op for op, _ in NOISE.cells[5]} == {"noise", "sep_conv_3x3"}
    assert found["test"] == pytest.approx(test / 1669, abs=0.05)


def both(networks, space, index):
    """(What `tabular.train` gives, correct of valid, correct of test), where both ways end at the same weights."""
    splits = SETTINGS.splits()
    valid, test, loss = networks.train(space.cells[index], 1, SETTINGS.order(splits, 1))
    assert 0 < loss < 10
    found = tabular.train(SETTINGS, space.genotype(index), 1)
    flat, place = networks.trained.numpy(), 0
    for name, own in networks.places.items():
        op = space.primitives.index(space.cells[index][int(name[-1])][0]) if len(own.layers) > 1 else 0
        weights = found["model"].get_layer(own.layers[op].name).trainable_weights
        values = np.concatenate([np.ravel(weight) for weight in weights] or [[]])
        np.testing.assert_allclose(flat[place : place + len(values)], values, atol=1e-5)
        place += own.size
    return found, valid, test


@pytest.fixture(scope="module")
def networks():
    return Networks(SETTINGS, SPACE, SETTINGS.splits())


def test_costs_of_a_cell_are_those_of_its_network(networks):
    cell = SPACE.cells[7]
    assert len({op for op, _ in cell}) == 2
    count = complexity(build_network(SPACE.genotype(7), (8, 8, 1), 10, 4, 3))
    assert [sum(networks.costs[op][kind] for op, _ in cell) / 4 for kind in (0, 1)] == [count.params, count.macs]


def test_order_is_that_of_the_batches():
    splits, settings = SETTINGS.splits(), Settings(train_images=64, batch_size=32, epochs=2)
    labels = splits.arrays["train"][1]
    batches = settings.batches(splits, 3)
    read = [y for _ in range(2) for _, y in batches]  # each iteration is the next epoch
    np.testing.assert_array_equal(read, labels[settings.order(splits, 3)])


def test_weights_start_from_seed_and_name_as_build_network_draws_them():
    first, second = (build_network(SPACE.genotype(index), (8, 8, 1), 10, 4, 3) for index in (0, 1))
    names = [layer.name for layer in first.layers]
    shared = [layer for layer in second.layers if layer.weights and layer.name in names]
    assert shared
    for layer in shared:
        twin = first.get_layer(layer.name)
        for a, b, other in zip(initial_values(layer, 1), initial_values(twin, 1), initial_values(twin, 2), strict=True):
            np.testing.assert_array_equal(a, b)
            assert np.ptp(a) == 0 or not np.array_equal(a, other)
    # A 1x1 convolution of 8 channels: U(+-8^-1/2), of which 32 values come near the bound.
    layer = first.get_layer("cell_1_preprocess_1")
    kernel = initial_values(layer, 0)[0]
    bound = kernel.shape[2] ** -0.5
    assert uniform(kernel.shape[2]).maxval == bound and 0.8 * bound < np.abs(kernel).max() <= bound
