"""Discrete networks: a genotype as a functional Keras model."""

from keras_pibnas.network.build import DiscreteNetwork, build_network, inference_model
from keras_pibnas.network.drop_path import set_drop_path

__all__ = ["DiscreteNetwork", "build_network", "inference_model", "set_drop_path"]
