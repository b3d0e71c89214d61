"""Evaluation of the shared weights under any op weights: of genotypes, or with ops left out."""

import numpy as np
import tensorflow as tf
from keras import ops

from keras_pibnas import engine
from keras_pibnas.engine.interface import value_of
from keras_pibnas.search.averages import with_architecture


class SharedWeights:
    """A supernet's `evaluate`: its network under the one-hot op weights of a genotype, or any others."""

    _given_mix = _mix_variables = None
    _batch_statistics = False

    def evaluate(self, *args, genotype=None, mix=None, batch_statistics=False, **kwargs):
        """As keras.Model.evaluate; with a genotype or op weights, the shared weights under these.

        Whatever op weights there are, they share a traced function: they are its input.

        Args:
            genotype: a Genotype, whose op weights are one-hot.
            mix: op weights [normal, reduce], each (edges, ops), such as `op_weights` gives and a caller changed.
            batch_statistics: whether normalization under a genotype or op weights uses the statistics of each batch.
                The moved ones are of the op weights that the search went through.

        Raises:
            ValueError: the genotype has other nodes than the supernet, or ops that the space has not got; op weights
                of another shape; both are there, or neither, where batch statistics are asked for.
        """
        if "callbacks" in kwargs:
            kwargs["callbacks"] = with_architecture(kwargs["callbacks"], self)
        if genotype is None and mix is None and not batch_statistics:
            return super().evaluate(*args, **kwargs)
        self._take_mix(self._rows(genotype, mix))
        own, self.test_function = self.test_function, self._mix_test_functions.get(batch_statistics)
        self._given_mix, self._batch_statistics = self._mix_variables, batch_statistics
        try:
            return super().evaluate(*args, **kwargs)
        finally:
            self._mix_test_functions[batch_statistics], self.test_function = self.test_function, own
            self._given_mix, self._batch_statistics = None, False

    def _rows(self, genotype, mix):
        """The completed op weights of a genotype, or of op weights."""
        if (genotype is None) == (mix is None):
            raise ValueError(
                "Give either a genotype or the op weights mix=[normal, reduce], such as op_weights(). "
                f"Received: {'none' if mix is None else 'both'}"
            )
        if mix is None:
            return self.relaxed.genotype_mix(genotype, self.progress, self.architecture[0].dtype)
        shapes = [tuple(alpha.shape) for alpha in self.alphas]
        if [np.shape(rows) for rows in mix] != shapes:
            raise ValueError(f"mix must be of shapes {shapes}. Received: {[np.shape(rows) for rows in mix]}")
        mix = [ops.cast(ops.convert_to_tensor(rows), self.architecture[0].dtype) for rows in mix]
        return self.relaxed.complete(mix, [value_of(variable) for variable in self.architecture], self.progress)

    def _take_mix(self, rows):
        if self._mix_variables is None:
            with self.distribute_strategy.scope():
                self._mix_variables = [tf.Variable(value, trainable=False) for value in rows]
        for variable, value in zip(self._mix_variables, rows, strict=True):
            variable.assign(value)

    def _with_batch_statistics(self, images, mix):
        """Logits (B, num_classes), normalized by the statistics of these images; the moved statistics stay."""
        read = engine.current().read
        weights, statistics = read(self.network.trainable_variables), read(self.network.non_trainable_variables)
        return self.network.stateless_call(weights, statistics, images, mix, training=True)[0]
