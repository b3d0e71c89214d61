"""Costs of layers and models for one image: trainable parameters, and MACs (one multiply-add is one)."""

from .count import Complexity, Count, calls_of, complexity, count_call, count_layer
from .fixed import fixed_cost, sides

__all__ = ["Complexity", "Count", "calls_of", "complexity", "count_call", "count_layer", "fixed_cost", "sides"]
