"""What layers have in common that make others when they are built."""

import keras


class Composite(keras.layers.Layer):
    """A layer whose sublayers are frozen with it, also those that it makes later.

    Keras freezes the sublayers that a layer has when `trainable` is set; one that is loaded frozen has none yet.
    """

    def __setattr__(self, name, value):
        super().__setattr__(name, value)
        if isinstance(value, keras.layers.Layer) and not self.trainable:
            value.trainable = False
