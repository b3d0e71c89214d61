"""How a search step is traced."""

import tensorflow as tf

from keras_pibnas import packs
from keras_pibnas.search.traced import soon_started


def test_calls_come_after_a_reference_variable():
    """There TensorFlow stops looking for such variables inside of what is called."""
    double = tf.function(lambda x: 2.0 * x, [tf.TensorSpec(())]).get_concrete_function()
    found = []

    def step(batch, labels):
        ahead, types = [packs.call(double, [batch[0]], stateful=False)[0].op], set()
        result = ahead[0].outputs[0] + batch[1]
        while ahead:
            operation = ahead.pop()
            types.add(operation.type)
            ahead += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
        found.append(types)
        assert labels is None
        return result

    function = soon_started(step)
    batch = tf.constant(1.0), tf.constant(5.0)
    assert float(function(batch, None)) == float(function(batch, None)) == 7.0
    assert len(found) == 1 and {"VariableV2", "PartitionedCall"} <= found[0]
    tf.config.run_functions_eagerly(True)
    try:
        step_eagerly = soon_started(lambda batch, labels: batch[0] + batch[1])
        assert float(step_eagerly(batch, None)) == 6.0
    finally:
        tf.config.run_functions_eagerly(False)
