"""What the tests run on one device and on several: a search and a training, tiny and in float64."""

import keras
import numpy as np
import tensorflow as tf

import keras_pibnas as kp

SPACE = kp.spaces.SearchSpace("small", ("none", "skip_connect", "max_pool_3x3", "dil_conv_3x3"), pool_norm=True)


def images(count, seed):
    generator = np.random.default_rng(seed)
    return generator.normal(size=(count, 8, 8, 3)), np.arange(count) % 3


def supernet(seed=0, **settings):
    keras.utils.set_random_seed(seed)
    small = {
        "space": SPACE,
        "input_shape": (8, 8, 3),
        "num_classes": 3,
        "channels": 2,
        "layers": 3,
        "nodes": 1,
        "synchronized": True,
    }
    model = kp.Supernet(**small | settings)
    for alpha in model.alphas:  # away from zero, where all ops weigh the same
        alpha.assign(np.random.default_rng(seed).normal(size=alpha.shape))
    model.compile(kp.optimizers.SGD(0.1, global_clipnorm=0.5), kp.optimizers.Adam(0.01), metrics=["accuracy"])
    return model


def network(seed=0, synchronized=True):
    keras.utils.set_random_seed(seed)
    cells = (("pib_conv_3x3", 0), ("skip_connect", 1)), (("max_pool_3x3", 0), ("sep_conv_3x3", 1))
    genotype = kp.Genotype(*cells, normal_concat=(2,), reduce_concat=(2,))
    model = kp.build_network(genotype, (8, 8, 3), 3, channels=2, layers=3, synchronized=synchronized)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kp.optimizers.SGD(0.1, global_clipnorm=0.5), loss, metrics=["accuracy"])
    return model


def batches(count, size, seed):
    """tf.data whose last batch is what is left."""
    return tf.data.Dataset.from_tensor_slices(images(count, seed)).batch(size)


def pairs(count, size):
    return kp.data.bilevel(batches(count, size, 0), batches(count, size, 1))


def state(model):
    """Every number that a step decides, by name."""
    optimizers = [model.optimizer, *([model.alpha_optimizer] if hasattr(model, "alpha_optimizer") else [])]
    held = [*model.weights, *(variable for optimizer in optimizers for variable in optimizer.variables)]
    return {f"{i}:{variable.path}": np.array(variable) for i, variable in enumerate(held)}


def fitted(model, data, valid, epochs=1, class_weight=None):
    """State and history after fit with validation."""
    history = model.fit(
        data, validation_data=valid, epochs=epochs, shuffle=False, verbose=0, class_weight=class_weight
    ).history
    return {**state(model), **{f"history:{name}": np.array(value) for name, value in history.items()}}
