"""Search: the relaxed network, the supernet and what it derives."""

from keras_pibnas.search.derive import derive_genotype
from keras_pibnas.search.network import RelaxedNetwork
from keras_pibnas.search.supernet import Supernet

__all__ = ["RelaxedNetwork", "Supernet", "derive_genotype"]
