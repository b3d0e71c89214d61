"""The grid of a sweep: the networks that its flags name, and what each costs."""

import contextlib
import itertools

import keras

import keras_pibnas as kp
from keras_pibnas import topology
from keras_pibnas.cli import common
from keras_pibnas.runs.trials import Network


def networks(args):
    """The networks of a sweep, the shallow ones first.

    Raises:
        ValueError: a genotype is none, has no ops of a kernel size, or layers or channels are no network's.
    """
    genotypes = {label(text, number): common.resolve_genotype(text) for number, text in enumerate(args.genotype)}
    axes = itertools.product(sorted(args.layers), args.side, args.channels, args.kernel, genotypes.items())
    found = [
        Network(name, variant(genotype, kernel), kernel, layers, channels, side)
        for layers, side, channels, kernel, (name, genotype) in axes
    ]
    for network in found:
        topology.plan(network.layers, network.channels)
    return list(dict.fromkeys(found))


def label(text, number):
    """A short name of what --genotype was given: its name, its path, or its number."""
    if text in kp.genotypes.names():
        return text
    return f"genotype {number + 1}" if "(" in text or "{" in text else text.removesuffix("/genotype.json")


def variant(genotype, kernel):
    return genotype if kernel == "own" else kp.analysis.with_kernel_size(genotype, int(kernel))


def costs(network, input_shape, num_classes, stem, bytes_per_value):
    """{params, macs, activation_memory} of a Network: trainable parameters, MACs and bytes, for one image.

    Raises:
        ValueError: the network cannot be built or counted.
    """
    keras.backend.clear_session()
    model = kp.build_network(network.genotype, input_shape, num_classes, network.channels, network.layers, stem)
    count = kp.analysis.complexity(model)
    memory = kp.analysis.peak_activation_memory(model, bytes_per_value=bytes_per_value)
    return {"params": count.params, "macs": count.macs, "activation_memory": memory}


def leave_devices():
    """Leaves accelerators to the trainings: counting needs none, and TensorFlow would take all of their memory."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):  # they are in use already
        tf.config.set_visible_devices([], "GPU")
