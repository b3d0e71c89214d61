"""Parameters and multiply-adds of a model; the counting is that of `keras_pibnas.costs`."""

from keras_pibnas.costs import Complexity, Count, calls_of, complexity, count_layer

__all__ = ["Complexity", "Count", "calls_of", "complexity", "count_layer"]
