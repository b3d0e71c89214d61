"""A network of a table, trained as any network is: what the figures of the table mean."""

import zlib

import keras
import numpy as np

from keras_pibnas.genotypes import Genotype
from keras_pibnas.network import build_network
from keras_pibnas.optimizers import SGD
from keras_pibnas.schedules import cosine
from keras_pibnas.tabular.settings import Settings


def initial_values(layer: keras.layers.Layer, seed: int) -> list:
    """What a layer's variables start from: NumPy arrays in the order of layer.variables.

    As `build_network` draws them, U(+-1 / sqrt(fan-in)), but from the seed and the weight's name alone: networks that
    share an op at a place start from the same values there. So do the random generators of ops that draw noise.
    """
    return [_initial(layer, weight, seed) for weight in layer.variables]


def _initial(layer, weight, seed):
    if weight.name in ("gamma", "moving_variance"):
        return np.ones(weight.shape, "float32")
    if weight.name in ("beta", "moving_mean"):
        return np.zeros(weight.shape, "float32")
    if "seed" in weight.name:
        return np.array([seed, zlib.crc32(layer.name.encode()) >> 1], weight.dtype)
    depthwise = weight.shape[-1] == 1
    inputs = layer.kernel.shape[:1] if isinstance(layer, keras.layers.Dense) else weight.shape[: 2 if depthwise else 3]
    bound = np.prod(inputs) ** -0.5
    name = f"{layer.name}/{weight.path.rpartition(layer.name)[2]}"
    generator = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return generator.uniform(-bound, bound, weight.shape).astype("float32")


def network(settings: Settings, genotype: Genotype, seed: int, splits) -> keras.Model:
    """The compiled network of a genotype, with the weights that training starts from."""
    model = build_network(genotype, splits.input_shape, splits.num_classes, settings.channels, settings.layers)
    for layer in model.layers:
        for variable, value in zip(layer.variables, initial_values(layer, seed), strict=True):
            variable.assign(value)
    rate = cosine(settings.learning_rate, settings.steps)
    optimizer = SGD(rate, settings.momentum, settings.l2, settings.clipnorm)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def train(settings: Settings, genotype: Genotype, seed: int = 0) -> dict:
    """Trains a cell's network from scratch, as the table's were.

    Args: settings: `Table.settings`; genotype: of the table's space; seed: of weights and order of images.

    Returns:
        {"valid": accuracy, "test": accuracy, "model": the trained network}.

    Example:
        >>> short = kp.tabular.Settings(side=8, layers=2, channels=2, train_images=50, epochs=1)
        >>> found = train(short, kp.tabular.CellSpace().genotype(0))
        >>> sorted(found)
        ['model', 'test', 'valid']
    """
    splits = settings.splits()
    model = network(settings, genotype, seed, splits)
    model.fit(settings.batches(splits, seed), epochs=settings.epochs, shuffle=False, verbose=0)
    found = {"model": model}
    for split in ("valid", "test"):
        batches = splits.batches(split, settings.batch_size, shuffle=False)
        found[split] = model.evaluate(batches, verbose=0, return_dict=True)["accuracy"]
    return found
