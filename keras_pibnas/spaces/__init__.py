"""Search spaces: ops by name, and named lists of them."""

from keras_pibnas.spaces.catalog import get, names, pibconv, register
from keras_pibnas.spaces.files import load, save
from keras_pibnas.spaces.registry import build_op, canonical, op_names, register_alias, register_op
from keras_pibnas.spaces.space import SearchSpace

__all__ = [
    "SearchSpace",
    "build_op",
    "canonical",
    "get",
    "load",
    "names",
    "op_names",
    "pibconv",
    "register",
    "register_alias",
    "register_op",
    "save",
]
