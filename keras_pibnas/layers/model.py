"""What the library's models have in common."""

import keras


class LeanMixin:
    """For a keras.Model: jit_compile="auto" means no XLA on a CPU.

    There XLA compiles grouped convolutions into code that is 20 times slower than TensorFlow's own (a search step of
    the `darts` space took 27-38 s instead of 1.6 s). jit_compile=True still asks for it.
    """

    def _resolve_auto_jit_compile(self):
        if keras.backend.backend() != "tensorflow":
            return super()._resolve_auto_jit_compile()
        import tensorflow as tf

        return bool(tf.config.list_logical_devices("GPU")) and super()._resolve_auto_jit_compile()
