"""Costs of a model on this machine: latency of the whole and of every layer, parameters, MACs and memory."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import keras
import numpy as np

from keras_pibnas import spaces
from keras_pibnas.analysis.complexity import calls_of, complexity
from keras_pibnas.analysis.memory import peak_activation_memory


@dataclass(frozen=True)
class LayerProfile:
    """One layer, with all its calls in the model.

    Attributes:
        name, kind: of the layer and of its class.
        params: trainable parameters.
        macs: for one image; one multiply-add is one.
        traffic: bytes of its inputs, outputs and weights for one batch: the least that memory must move.
        seconds: median for one batch, alone.

    Example:
        >>> kp.analysis.LayerProfile("stem", "ConvStem", params=108, macs=6912, traffic=4096, seconds=1e-4).macs
        6912
    """

    name: str
    kind: str
    params: int
    macs: int
    traffic: int
    seconds: float


@dataclass(frozen=True)
class Profile:
    """A model on this machine.

    Attributes:
        name: of the model.
        batch_size: images at a time.
        params: trainable parameters.
        macs: for one image.
        peak_memory: bytes of activations at the fullest moment of one float32 image (`peak_activation_memory`).
        traffic: bytes that the layers move for one batch, together.
        seconds: median for one batch; quartiles: the first and the third.
        layers: tuple of LayerProfile.

    Example:
        >>> profile = kp.analysis.Profile("network", 1, 108, 6912, 2048, 4096, 1e-4, (1e-4, 2e-4), layers=())
        >>> profile.macs / profile.seconds  # a second
        69120000.0
    """

    name: str
    batch_size: int
    params: int
    macs: int
    peak_memory: int
    traffic: int
    seconds: float
    quartiles: tuple
    layers: tuple


def profile(
    model: keras.Model, batch_size: int = 1, repeats: int = 30, progress: Callable[[int, int], Any] | None = None
) -> Profile:
    """Measures a model's inference, compiled to a graph, whole and layer by layer.

    A layer is timed alone, on random numbers, less what calling an empty function takes. The sum of the layers is not
    the whole: there, branches run side by side on several cores. Layers of one configuration and input shape are timed
    once.

    Args:
        model: functional, of layers that `complexity` counts.
        batch_size: images at a time.
        repeats: runs that a median is of, after a fifth as many to warm up.
        progress: called as progress(number of layers done, of layers) or None.

    Returns:
        Profile.

    Raises:
        ValueError: a model that `complexity` cannot count, or batch_size or repeats below 1.

    Example:
        >>> images = keras.Input((8, 8, 3))
        >>> model = keras.Model(images, keras.layers.Conv2D(4, 3, use_bias=False)(images))
        >>> found = kp.analysis.profile(model, repeats=2)
        >>> found.macs, found.seconds > 0
        (3888, True)
    """
    _check(batch_size=batch_size, repeats=repeats)
    counted = complexity(model)
    layers = _layers(model, dict(counted.layers), batch_size, repeats, progress)
    low, median, high = np.percentile(_times(model, [model.input], batch_size, repeats), (25, 50, 75))
    return Profile(
        model.name,
        batch_size,
        counted.params,
        counted.macs,
        peak_activation_memory(model),
        sum(layer.traffic for layer in layers),
        float(median),
        (float(low), float(high)),
        tuple(layers),
    )


def _layers(model, counts, batch_size, repeats, progress):
    found, known = [], {}
    calls = {layer: nodes for layer, nodes in calls_of(model).items() if nodes and nodes[0].input_tensors}
    for number, (layer, nodes) in enumerate(calls.items()):
        seconds = sum(_known_time(known, layer, node, batch_size, repeats) for node in nodes)
        traffic = sum(_traffic(layer, node, batch_size) for node in nodes)
        count = counts[layer.name]
        kind = type(layer).__name__
        found.append(LayerProfile(layer.name, kind, count.params, count.macs, traffic, seconds))
        if progress:
            progress(number + 1, len(calls))
    return found


def _known_time(known, layer, node, batch_size, repeats):
    """Seconds of one call, looked up where a layer like this one was timed."""
    config = {key: value for key, value in layer.get_config().items() if key != "name"}
    key = (type(layer), repr(config), tuple(x.shape for x in node.input_tensors))
    if key not in known:
        inputs = node.arguments.args
        empty = np.median(_times(lambda *x: x, inputs, batch_size, repeats))
        known[key] = max(0.0, float(np.median(_times(layer, inputs, batch_size, repeats)) - empty))
    return known[key]


def latencies(
    places: Iterable[tuple],
    batch_size: int = 1,
    repeats: int = 30,
    progress: Callable[[int, int], Any] | None = None,
) -> dict:
    """Seconds of ops on this machine, each alone: a table that `methods.ExpectedCost(unit=)` counts in.

    Args:
        places: (op, channels, (height, width) of the input, stride), as `methods.places` lists them.
        batch_size: images at a time; seconds are for all of them.
        repeats, progress: as `profile`.

    Returns:
        {place: median seconds in inference, less what calling an empty function takes}.

    Raises:
        ValueError: an unknown op, or batch_size or repeats below 1.

    Example:
        >>> list(kp.analysis.latencies([("skip_connect", 4, (8, 8), 1)], repeats=2))
        [('skip_connect', 4, (8, 8), 1)]
    """
    _check(batch_size=batch_size, repeats=repeats)
    table, places = {}, list(places)
    for number, (name, channels, side, stride) in enumerate(places):
        inputs, op = (keras.Input((*side, channels)),), spaces.build_op(name, channels, stride)
        op(*inputs)
        times = [np.median(_times(call, inputs, batch_size, repeats)) for call in (op, lambda x: x)]
        table[name, channels, side, stride] = max(0.0, float(times[0] - times[1]))
        if progress:
            progress(number + 1, len(places))
    return table


def _check(**counts):
    for name, value in counts.items():
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number, 1 or more. Received: {name}={value!r}")


def _traffic(layer, node, batch_size):
    values = sum(prod(x.shape[1:]) for x in (*node.input_tensors, *node.outputs))
    weights = sum(prod(weight.shape) for weight in layer.weights)
    return 4 * (batch_size * values + weights)


def _times(function, symbolic, batch_size, repeats):
    """Seconds of each run of function(*symbolic), with random numbers in place of Keras's symbolic tensors."""
    import tensorflow as tf

    takes_training = getattr(function, "_call_has_training_arg", False)
    call = (lambda *x: function(*x, training=False)) if takes_training else function
    random = np.random.default_rng(0)

    def filled(x):
        return tf.constant(random.normal(size=(batch_size, *x.shape[1:])).astype(x.dtype))

    given = keras.tree.map_structure(filled, tuple(symbolic))
    run = tf.function(lambda *x: call(*x), autograph=False).get_concrete_function(*given)
    tensors, seconds = keras.tree.flatten(given), []
    for _ in range(repeats + max(1, repeats // 5)):
        start = time.perf_counter()
        keras.tree.map_structure(lambda y: y.numpy(), run(*tensors))  # waits for the result
        seconds.append(time.perf_counter() - start)
    return np.array(seconds[-repeats:])
