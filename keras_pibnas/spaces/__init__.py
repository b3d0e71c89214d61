"""Search spaces: ops by name, and named lists of them."""

from keras_pibnas.spaces.catalog import SearchSpace, get, names, pibconv, register
from keras_pibnas.spaces.registry import build_op, canonical, op_names, register_alias, register_op

__all__ = [
    "SearchSpace",
    "build_op",
    "canonical",
    "get",
    "names",
    "op_names",
    "pibconv",
    "register",
    "register_alias",
    "register_op",
]
