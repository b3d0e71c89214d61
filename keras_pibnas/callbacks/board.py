"""TensorBoard: the state of a search or a training; losses are written by Keras's own callback."""

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_pibnas.runs import is_chief, mix_entropy, skip_connections


class Board(keras.callbacks.Callback):
    """Writes TensorBoard summaries after every epoch, under the run "details".

    Scalars: learning_rate (of a search alpha_learning_rate too), images_per_second (training images), memory_mb (the
    most that the process has held), gpu_memory_mb (the same on the first GPU, where there is one). Of a search also
    entropy_normal and entropy_reduce (nats, mean over edges; log of the number of ops: nothing decided), and
    skip_connections of the normal cell; histograms of the alphas; pictures.

    Args:
        log_dir: as of keras.callbacks.TensorBoard.
        batch_size: training images a step.
        pictures: called with the model and a folder, writes .png files there; or None.
        clock: returns seconds.

    Example:
        >>> callback = kp.callbacks.Board("logs", batch_size=64)  # for fit(..., callbacks=[callback])
    """

    def __init__(
        self,
        log_dir: str | Path,
        batch_size: int,
        pictures: Callable | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        super().__init__()
        self.log_dir, self.batch_size, self.pictures, self.clock = Path(log_dir), batch_size, pictures, clock

    def on_train_begin(self, logs=None):
        import tensorflow as tf

        details = tf.summary.create_file_writer(str(self.log_dir / "details")) if is_chief() else None
        self.writer = details or tf.summary.create_noop_writer()

    def on_epoch_begin(self, epoch, logs=None):
        self.steps, self.begun, self.before = 0, self.clock(), 0

    def on_train_batch_end(self, batch, logs=None):
        if logs:  # A step that a resumed run leaves out has none.
            self.steps += batch + 1 - self.before
        else:
            self.begun = self.clock()
        self.before, self.ended = batch + 1, self.clock()

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        with self.writer.as_default(epoch + 1):
            for name, value in self.scalars().items():
                tf.summary.scalar(name, value)
            for name, alpha in zip(("normal", "reduce"), getattr(self.model, "alphas", ()), strict=False):
                tf.summary.histogram(f"alphas_{name}", keras.ops.convert_to_numpy(alpha))
            if self.pictures is not None:
                for name, picture in drawn(self.pictures, self.model).items():
                    tf.summary.image(name, picture[None])
        self.writer.flush()

    def on_train_end(self, logs=None):
        self.writer.close()

    def scalars(self):
        """{name: number} of this moment."""
        optimizer = self.model.optimizer
        speed = self.steps * self.batch_size / max(self.ended - self.begun, 1e-9)
        rate = float(keras.ops.convert_to_numpy(optimizer.learning_rate))
        values = {"learning_rate": rate, "images_per_second": speed, **memory()}
        if hasattr(self.model, "alphas"):
            values["alpha_learning_rate"] = float(keras.ops.convert_to_numpy(self.model.alpha_optimizer.learning_rate))
            for name, alpha in zip(("normal", "reduce"), self.model.alphas, strict=False):
                values[f"entropy_{name}"] = mix_entropy(keras.ops.convert_to_numpy(alpha))
            values["skip_connections"] = skip_connections(self.model.genotype())
        return values


def memory():
    """{"memory_mb": the most the process has held, "gpu_memory_mb": the same on the first GPU}, in 10^6 bytes."""
    import tensorflow as tf

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    found = {"memory_mb": peak / 1e6}
    if tf.config.list_logical_devices("GPU"):
        found["gpu_memory_mb"] = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e6
    return found


def drawn(pictures, model):
    """{name: uint8 array (H, W, 3)} of the .png files that `pictures(model, folder)` writes."""
    with tempfile.TemporaryDirectory() as folder:
        pictures(model, Path(folder))
        return {
            path.stem: np.array(keras.utils.load_img(path), np.uint8) for path in sorted(Path(folder).glob("*.png"))
        }
