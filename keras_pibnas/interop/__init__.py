"""Bridges: weights of the published PyTorch code in."""

from keras_pibnas.interop.torch_weights import load_torch_weights

__all__ = ["load_torch_weights"]
