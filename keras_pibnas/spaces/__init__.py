"""Search spaces: ops by name, and named lists of them."""

from keras_pibnas.spaces.catalog import SearchSpace, get, names, register
from keras_pibnas.spaces.registry import build_op, canonical, op_names, register_alias, register_op

__all__ = [
    "SearchSpace",
    "build_op",
    "canonical",
    "get",
    "names",
    "op_names",
    "register",
    "register_alias",
    "register_op",
]
