"""keras_pibnas: differentiable architecture search for Keras, with the pseudo-inverted bottleneck convolution."""

from keras_pibnas import onednn as onednn  # before all that imports TensorFlow

# isort: split
from keras_pibnas import (
    analysis,
    callbacks,
    costs,
    data,
    distribution,
    engine,
    genotypes,
    interop,
    layers,
    methods,
    network,
    optimizers,
    spaces,
    topology,
)
from keras_pibnas.genotypes import Genotype
from keras_pibnas.network import build_network
from keras_pibnas.search import Supernet

__version__ = "0.1.0"

__all__ = [
    "Genotype", "Supernet", "__version__", "analysis", "build_network", "callbacks", "costs", "data",
    "distribution", "engine", "genotypes", "interop", "layers", "methods", "network", "optimizers", "spaces",
    "topology",
]  # fmt: skip
