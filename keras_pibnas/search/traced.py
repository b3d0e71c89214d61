"""Cells that are alike share one trace."""

import keras
import tensorflow as tf

from keras_pibnas.layers.replicas import replica_count


class TracedCells:
    """Calls a cell through a tf.function that is traced once for all cells of one shape, and for every pass of a step.

    A search step runs the network two to four times, forward and backward; tracing every cell of every pass takes
    minutes. The function takes a cell's weights as arguments, so another cell's layers can stand for it.
    """

    def __init__(self):
        self._functions = {}

    def __call__(self, cell, previous, mix, training):
        if (
            not training
            or tf.executing_eagerly()
            or isinstance(mix, keras.KerasTensor)
            or replica_count() > 1
        ):
            return cell(previous, mix=mix, training=training)
        states = cell.preprocess(previous, training)
        weights, state = cell.bundle_variables()
        output, moved = self._function(cell, states)(values(weights), values(state), states, mix)
        for variable, value in zip(state, moved, strict=True):
            variable.assign(value)
        return output

    def _function(self, cell, states):
        key = (cell.plan.reduction, cell.plan.channels, tuple(states.shape[1:]))
        if key not in self._functions:
            self._functions[key] = tf.function(
                _stateless(cell), autograph=False, experimental_attributes={"_noinline": True}
            )
        return self._functions[key]


def _stateless(cell):
    variables = cell.bundle_variables()

    def walk(weights, state, states, mix):
        mapping = [
            pair
            for own, given in zip(variables, (weights, state), strict=True)
            for pair in zip(own, given, strict=True)
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            output = cell.walk(states, mix, training=True)
        return output, [scope.get_current_value(variable) for variable in variables[1]]

    return walk


def values(variables):
    """The variables' values as tensors, read once."""
    return [tf.convert_to_tensor(variable.value) for variable in variables]
