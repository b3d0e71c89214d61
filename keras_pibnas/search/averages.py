"""Moving averages of weights and architecture (use_ema=True of their optimizers)."""

import contextlib
from types import SimpleNamespace

import keras


@contextlib.contextmanager
def finalized_together(supernet):
    """Inside, `fit` ends with weights and architecture at their averages, each where its optimizer keeps some.

    Keras hands all trainable weights to the one optimizer that it knows, which takes them for those it was built with.
    """
    optimizer = supernet.optimizer
    finalize = optimizer.finalize_variable_values

    def both(_):
        finalize(supernet.network.trainable_variables)
        supernet.alpha_optimizer.finalize_variable_values(supernet.architecture)

    optimizer.finalize_variable_values = both
    try:
        yield
    finally:
        del optimizer.finalize_variable_values


class SwapArchitecture(keras.callbacks.SwapEMAWeights):
    """Swaps the architecture and its average where `keras.callbacks.SwapEMAWeights` swaps weights and theirs."""

    def set_model(self, model):
        super().set_model(SimpleNamespace(optimizer=model.alpha_optimizer))


def with_architecture(callbacks, supernet):
    """The callbacks, where a SwapEMAWeights is among them, with what swaps the architecture, if it has an average.

    It stands in its place where the weights have none.
    """
    if not isinstance(callbacks, list | tuple):
        callbacks = [callbacks] if isinstance(callbacks, keras.callbacks.SwapEMAWeights) else callbacks
    if not isinstance(callbacks, list | tuple) or not has_average(supernet.alpha_optimizer):
        return callbacks
    found = []
    for callback in callbacks:
        swaps = isinstance(callback, keras.callbacks.SwapEMAWeights)
        found += [callback] if not swaps or has_average(supernet.optimizer) else []
        found += [SwapArchitecture(callback.swap_on_epoch)] if swaps else []
    return found


def has_average(optimizer) -> bool:
    """Whether an optimizer, or the one that it scales the loss for, keeps averages."""
    return bool(getattr(optimizer, "inner_optimizer", optimizer).use_ema)
