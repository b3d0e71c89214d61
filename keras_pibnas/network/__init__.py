"""Discrete networks: a genotype as a functional Keras model."""

from keras_pibnas.network.build import DiscreteNetwork, build_network, inference_model

__all__ = ["DiscreteNetwork", "build_network", "inference_model"]
