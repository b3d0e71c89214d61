"""Images by name, as splits, batches and pairs of batches."""

from .pipelines import bilevel
from .sources import load
from .splits import Splits

__all__ = ["Splits", "bilevel", "load"]
