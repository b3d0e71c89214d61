"""Frozen layers, as in Keras: weights stay; batch normalizations use moving statistics and do not move them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas import layers
from keras_pibnas.spaces import registry

SPACE = kp.spaces.SearchSpace("frozen", ("none", "skip_connect", "max_pool_3x3", "dil_conv_3x3"), pool_norm=True)
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RANDOM = ("noise",)


def batch(seed, count=4):
    images = np.random.default_rng(seed).normal(0.5, 2.0, (count, 8, 8, 3)).astype("float32")
    return images, np.arange(count) % 3


TRAIN, VALID = batch(0), batch(1)


def supernet(**settings):
    return kp.Supernet(SPACE, (8, 8, 3), 3, channels=4, **{"layers": 3, "nodes": 1, "seed": 0} | settings)


def numbers(variables):
    return [keras.ops.convert_to_numpy(variable) for variable in variables]


def moved(variables, before):
    """Which variables are not what they were, by place."""
    return {i for i, (now, then) in enumerate(zip(numbers(variables), before, strict=True)) if (now != then).any()}


def norms(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, layers.BatchNorm)]


def assert_inference(layer, *shape):
    """A frozen layer gives in training what it gives in inference, and nothing moves."""
    x = np.random.default_rng(0).normal(1.0, 2.0, shape).astype("float32")
    layer.build(shape)
    before = numbers(layer.variables)
    np.testing.assert_allclose(layer(x, training=True), layer(x, training=False), atol=1e-5)
    assert not moved(layer.variables, before) and not layer.trainable_variables


@pytest.mark.parametrize("name", sorted(set(registry.op_names()) - set(RANDOM)))
def test_ops_that_are_made_frozen(name):
    """As they are when they come from a file: their normalizations are made after them."""
    for strides in (1, 2):
        assert_inference(registry.build_op(name, 4, strides, trainable=False), 2, 8, 8, 4)


@pytest.mark.parametrize(
    "layer",
    (
        layers.BatchNorm(trainable=False),
        layers.ConvStem(4, trainable=False),
        layers.ReLUConvBN(4, trainable=False),
        layers.ImageNetStem(4, trainable=False),
        layers.StemReduction(4, trainable=False),
        layers.ResidualBlock(4, trainable=False),
        layers.AuxiliaryHead(3, trainable=False),
        layers.ImageNetAuxiliaryHead(3, trainable=False),
        layers.MaxPool(4, norm=True, trainable=False),
    ),
    ids=lambda layer: type(layer).__name__,
)
def test_other_layers_that_are_made_frozen(layer):
    assert_inference(layer, 2, 8, 8, 4)


def test_a_trained_network_with_a_new_head(tmp_path):
    """Its statistics stay, after it was saved and loaded too; the head's weights move."""
    network = kp.build_network("DARTS_V2", (8, 8, 3), num_classes=5, channels=2, layers=2)
    network.trainable = False
    model = keras.Model(network.input, keras.layers.Dense(3, name="head")(network.get_layer("pooling").output))
    for name in ("new", "loaded"):
        model.compile(kp.optimizers.SGD(0.1), LOSS)
        before = numbers(model.variables)
        model.fit(*TRAIN, verbose=0)
        head = [i for i, variable in enumerate(model.variables) if variable.path.startswith("head")]
        assert len(head) == 2 and moved(model.variables, before) == set(head), name
        model.save(tmp_path / "model.keras")
        model = keras.saving.load_model(tmp_path / "model.keras")


def partly_frozen(**settings):
    """The stem, a whole cell, and the normalizations of one of two cells that would share a trace."""
    keras.utils.set_random_seed(0)
    model = supernet()
    for norm in norms(model):
        norm.moving_mean.assign(np.linspace(-0.5, 0.5, norm.moving_mean.shape[0]))
    model.network.stem.trainable = model.network.cells[0].trainable = False
    for norm in norms(model.network.cells[1]):
        norm.trainable = False
    model.compile(kp.optimizers.SGD(0.1), keras.optimizers.SGD(1.0), **settings)
    return model


def test_a_partly_frozen_supernet():
    """A traced step of exact second order is the plain engine's eager one, and moves what is not frozen alone."""
    models = [partly_frozen(), partly_frozen(engine="plain", run_eagerly=True)]
    before, alphas = numbers(models[0].network.variables), numbers(models[0].alphas)
    for model in models:
        model.fit(tf.data.Dataset.from_tensors((TRAIN, VALID)), verbose=0)
    traced, plain = ([now - then for now, then in zip(numbers(m.alphas), alphas, strict=True)] for m in models)
    for one, other in zip(traced, plain, strict=True):
        assert np.linalg.norm(one - other) < 1e-3 * np.linalg.norm(other)
    for model in models:
        network = model.network
        held = {id(v) for layer in network._flatten_layers() if not layer.trainable for v in layer.variables}
        free = {i for i, variable in enumerate(network.variables) if id(variable) not in held}
        assert held and moved(network.variables, before) == free
    for one, other in zip(*(numbers(model.network.variables) for model in models), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_a_supernet_whose_weights_are_all_frozen_moves_alphas_alone():
    model = supernet()
    model.network.trainable = False
    model.alphas[1].trainable = False
    model.compile(run_eagerly=True)
    before = numbers(model.variables)
    model.fit(tf.data.Dataset.from_tensors((TRAIN, VALID)), verbose=0)
    assert moved(model.variables, before) == {0}  # variables begin with the architecture: the normal cell's alphas
    assert int(model.optimizer.iterations) == int(model.alpha_optimizer.iterations) == 1


def test_a_supernet_is_loaded_as_frozen_as_it_was_saved(tmp_path):
    model = supernet()
    norms(model)[1].trainable = model.network.cells[0].trainable = model.alphas[0].trainable = False
    model.compile()
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    flags = [[layer.trainable for layer in one._flatten_layers()] for one in (model, again)]
    assert flags[0] == flags[1] and not all(flags[0])
    assert [alpha.trainable for alpha in again.alphas] == [False, True]
    assert len(again.optimizer.variables) == len(model.optimizer.variables)
