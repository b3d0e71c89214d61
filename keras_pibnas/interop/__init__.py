"""Bridges: weights of the published PyTorch code in; SavedModel, LiteRT and ONNX out."""

from keras_pibnas.interop.export import FORMATS, check_format, export, in_float32
from keras_pibnas.interop.export_compare import compare_export, reference_logits
from keras_pibnas.interop.torch_weights import load_torch_weights

__all__ = [
    "FORMATS", "check_format", "compare_export", "export", "in_float32", "load_torch_weights", "reference_logits",
]  # fmt: skip
