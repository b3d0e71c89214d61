"""The engine: how a search is computed. One door, behind which the plain form and the fast ones stand.

The plain form, in `keras.ops`, is the definition and works on every backend. The TensorFlow engine computes the same
with functions that are traced once, and with oneDNN's kernels on a CPU. Which one is in use: `current`.
"""

from keras_pibnas.engine.choice import current, names, register, use
from keras_pibnas.engine.interface import Engine, Gradient

__all__ = ["Engine", "Gradient", "current", "names", "register", "use"]
