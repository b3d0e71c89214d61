"""Importing this module has Keras know every class that a saved file may name.

Keras looks such classes up by name and imports nothing for it, so they have to be there before
`keras.saving.load_model` is called.
"""

from keras_pibnas import layers, methods, network, optimizers, schedules, search

__all__ = ["layers", "methods", "network", "optimizers", "schedules", "search"]
