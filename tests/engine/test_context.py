"""Settings that hold inside a block."""

import tensorflow as tf

import keras_pibnas as kp


def test_variables_have_one_name_in_tensorflow_and_their_own_in_keras():
    with tf.name_scope("outside"), kp.engine.current().building():
        inside = tf.Variable(1.0, name="inside")
    assert inside.name == "variable:0"
    assert tf.Variable(1.0, name="after").name == "after:0"

    supernet = kp.Supernet("darts", (8, 8, 3), channels=2, layers=2, nodes=1)
    supernet.compile()
    network = supernet.network
    for variables in (network.variables, supernet.optimizer.variables):
        assert len({variable.path for variable in variables}) == len(variables)
    assert {variable.value.name for variable in network.variables} == {"variable:0"}


def test_other_models_keep_their_names():
    network = kp.build_network("PIBCONV", (8, 8, 3), channels=2, layers=2)
    optimizer = kp.optimizers.SGD()
    optimizer.build(network.trainable_variables)
    for variables in (network.variables, optimizer.variables):
        assert len({variable.value.name for variable in variables}) > len(variables) / 2
    assert network.get_layer("stem").kernel.value.name == "stem/kernel:0"
