"""All networks of a table in one traced function: which op stands on which edge is its input.

An edge of a normal cell has the layers of all ops; `tf.switch_case` calls one of them. The weights of a network are one
flat vector, whose part for such an edge holds the weights of the op that is there, and zeros up to the longest. So a
whole training is one call: a loop over its batches inside the graph, and nothing is built or traced from cell to cell.
"""

from functools import partial

import numpy as np
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas import topology
from keras_pibnas.data.augmentation import normalize
from keras_pibnas.tabular.cells import SOURCES
from keras_pibnas.tabular.training import initial_values


class Place:
    """The layer at a place of the network, or the layers of all ops that may stand there.

    Args: layers: Keras layers, built.
    """

    def __init__(self, layers):
        self.layers = layers
        self.weight_sizes, self.statistic_sizes = (
            [[_size(variable) for variable in getattr(layer, kind)] for layer in layers]
            for kind in ("trainable_variables", "non_trainable_variables")
        )
        self.size, self.statistics = (max(map(sum, s)) for s in (self.weight_sizes, self.statistic_sizes))

    def initial(self, op, seed):
        """(weights, statistics) that training starts from: flat, with zeros up to the longest op's."""
        layer = self.layers[op]
        values = dict(zip((v.path for v in layer.variables), initial_values(layer, seed), strict=True))
        kinds = (layer.trainable_variables, self.size), (layer.non_trainable_variables, self.statistics)
        return [_flat([values[variable.path] for variable in variables], size) for variables, size in kinds]

    def call(self, op, x, weights, statistics, training):
        """(y, moved statistics) of the op's layer."""
        layer = self.layers[op]
        own = _unpacked(weights, self.weight_sizes[op], layer.trainable_variables)
        kept = _unpacked(statistics, self.statistic_sizes[op], layer.non_trainable_variables)
        y, moved = layer.stateless_call(own, kept, x, **({"training": training} if kept else {}))
        rest = statistics[sum(self.statistic_sizes[op]) :]
        return y, tf.concat([*map(_floats, moved), rest], 0)


class Networks:
    """The networks of a table's cells.

    Args: settings: Settings; space: CellSpace; splits: the images, of `settings.splits()`.
    """

    def __init__(self, settings, space, splits):
        self.settings, self.space = settings, space
        self.plans = topology.plan(settings.layers, settings.channels, 2, 2)
        shape, classes = splits.input_shape, splits.num_classes
        pairs = [[(op, source) for source in (0, 1, 0, 1)] for op in space.primitives]
        genotypes = [kp.Genotype(cell, space.reduce, (2, 3), (2, 3)) for cell in pairs]
        models = [kp.build_network(g, shape, classes, settings.channels, settings.layers) for g in genotypes]
        self.places = self._places(models)
        images, labels = (np.concatenate(parts) for parts in zip(*map(splits.arrays.get, SPLITS), strict=True))
        self.images = tf.constant(normalize(images, splits.mean, splits.std))
        self.labels = tf.constant(labels)
        self.counts = [len(splits.arrays[split][1]) for split in SPLITS]
        self.costs = _costs(models, space)
        self._train = self._traced()

    def _places(self, models):
        """{name: Place}, in the order in which they are called."""
        fixed = {layer.name: layer for layer in models[0].layers if layer.weights or "_op_" in layer.name}
        normal = [f"cell_{plan.index}_op_" for plan in self.plans if not plan.reduction]
        places = {}
        for name, layer in fixed.items():
            edge = next((name[: len(start) + 1] for start in normal if name.startswith(start)), None)
            if edge is None:
                places[name] = Place([layer])
            else:
                ops = zip(models, self.space.primitives, strict=True)
                places[edge] = Place([model.get_layer(f"{edge}_{op}") for model, op in ops])
        return places

    def initial(self, ops, seed):
        """(weights, statistics) of a network, flat. Args: ops: numbers of the ops on the four edges."""
        parts = [
            place.initial(ops[int(name[-1])] if len(place.layers) > 1 else 0, seed)
            for name, place in self.places.items()
        ]
        return [tf.constant(np.concatenate(values)) for values in zip(*parts, strict=True)]

    def train(self, cell, seed, order):
        """Trains a cell's network; (correct of valid, correct of test, last training loss).

        Args: cell: its four (op name, source) pairs; seed; order: of the images, `settings.order(splits, seed)`.
        """
        ops = [self.space.primitives.index(op) for op, _ in cell]
        choice = tf.constant([*ops, SOURCES.index((cell[2][1], cell[3][1]))])
        weights, statistics, loss = self._train(*self.initial(ops, seed), choice, order, self.settings.rates())
        logits = self._infer(weights, statistics, choice)
        self.trained = weights
        right = (tf.argmax(logits, -1, tf.int32) == self.labels[self.counts[0] :]).numpy()
        return int(right[: self.counts[1]].sum()), int(right[self.counts[1] :].sum()), float(loss)

    def _traced(self):
        flat, whole = tf.TensorSpec([None]), tf.TensorSpec([5], tf.int32)
        order = tf.TensorSpec([None, self.settings.batch_size], tf.int32)
        self._infer = tf.function(self._logits_of_rest, input_signature=[flat, flat, whole])
        return tf.function(self._loop, input_signature=[flat, flat, whole, order, flat])

    def _loop(self, weights, statistics, choice, order, rates):
        def step(number, weights, velocity, statistics, _):
            where = order[number]
            with tf.GradientTape() as tape:
                tape.watch(weights)
                images = tf.ensure_shape(tf.gather(self.images, where), [order.shape[1], *self.images.shape[1:]])
                logits, moved = self.logits(weights, statistics, images, choice, True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather(self.labels, where), logits)
                loss = tf.reduce_mean(losses)
            gradient = tape.gradient(loss, weights)
            weights, velocity = self._descended(weights, velocity, gradient, rates[number])
            return number + 1, weights, velocity, moved, loss

        _, weights, _, statistics, loss = tf.while_loop(
            lambda number, *_: number < tf.shape(order)[0], step,
            (0, weights, tf.zeros_like(weights), statistics, tf.constant(0.0)), parallel_iterations=1,
        )  # fmt: skip
        return weights, statistics, loss

    def _descended(self, weights, velocity, gradient, rate):
        """A step of `optimizers.SGD`: clip to the global norm, add l2 w, v = m v + g, w -= lr v."""
        limit = self.settings.clipnorm
        gradient = gradient * (limit / tf.maximum(tf.norm(gradient), limit))
        velocity = self.settings.momentum * velocity + gradient + self.settings.l2 * weights
        return weights - rate * velocity, velocity

    def _logits_of_rest(self, weights, statistics, choice):
        return self.logits(weights, statistics, self.images[self.counts[0] :], choice, False)[0]

    def logits(self, weights, statistics, images, choice, training):
        """(logits, moved statistics) of a network. Args: choice: numbers of four ops and of node 1's sources."""
        weights = dict(zip(self.places, tf.split(weights, [p.size for p in self.places.values()]), strict=True))
        statistics = tf.split(statistics, [p.statistics for p in self.places.values()])
        statistics = dict(zip(self.places, statistics, strict=True))

        def layer(name, x, op=None):
            place, arguments = self.places[name], (x, weights[name], statistics[name], training)
            if op is None:
                y, statistics[name] = place.call(0, *arguments)
                return y
            calls = [partial(place.call, number, *arguments) for number in range(len(place.layers))]
            y, moved = tf.switch_case(op, calls)
            y.set_shape(x.shape)  # all ops of a normal cell keep it
            statistics[name] = tf.ensure_shape(moved, statistics[name].shape)
            return y

        first = second = layer("stem", images)
        for plan in self.plans:
            first, second = second, self._cell(plan, first, second, layer, choice)
        logits = layer("logits", tf.reduce_mean(second, (1, 2)))
        return logits, tf.concat(list(statistics.values()), 0)

    def _cell(self, plan, first, second, layer, choice):
        name = f"cell_{plan.index}"
        states = [layer(f"{name}_preprocess_0", first), layer(f"{name}_preprocess_1", second)]
        for node in (0, 1):
            if plan.reduction:
                edges = enumerate(self.space.reduce[2 * node : 2 * node + 2], 2 * node)
                states.append(tf.add_n([layer(f"{name}_op_{i}_{op}", states[source]) for i, (op, source) in edges]))
            else:
                read = states if node == 0 else _read(states, choice[4])
                edges = ((f"{name}_op_{2 * node + i}", read[i], choice[2 * node + i]) for i in (0, 1))
                states.append(tf.add_n([layer(*edge) for edge in edges]))
        return tf.concat(states[2:], -1)


SPLITS = ("train", "valid", "test")


def _read(states, sources):
    """The two states that node 1 reads: SOURCES[sources]."""
    return [
        tf.where(sources == 2, states[1], states[0]),
        tf.where(sources == 0, states[1], states[2]),
    ]


# A flat vector holds the states of random generators, too: the bits of their integers, two floats each.


def _size(variable):
    """How many floats a variable is in a flat vector."""
    return int(np.prod(variable.shape)) * np.dtype(variable.dtype).itemsize // 4


def _flat(values, size):
    flat = np.concatenate([np.ravel(value).view("float32") for value in values]) if values else np.zeros(0, "float32")
    return np.pad(flat, (0, size - len(flat)))


def _floats(tensor):
    return tf.reshape(tensor if tensor.dtype == tf.float32 else tf.bitcast(tensor, tf.float32), [-1])


def _unpacked(vector, sizes, variables):
    """The tensors that a flat vector begins with."""
    parts = tf.split(vector, [*sizes, vector.shape[0] - sum(sizes)])
    return [_tensor(part, variable) for part, variable in zip(parts[:-1], variables, strict=True)]


def _tensor(part, variable):
    if variable.dtype == "float32":
        return tf.reshape(part, variable.shape)
    return tf.bitcast(tf.reshape(part, (*variable.shape, -1)), variable.dtype)


def _costs(models, space):
    """{op: (parameters, MACs) of a network whose edges in normal cells all have this op}."""
    counts = [kp.analysis.complexity(model) for model in models]
    return {op: (count.params, count.macs) for op, count in zip(space.primitives, counts, strict=True)}
