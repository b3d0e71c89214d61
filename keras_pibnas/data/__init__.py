"""Images by name, as splits, batches and pairs of batches."""

from .images import RESIZES, parse_side
from .pipelines import bilevel
from .recipes import RandomResizedCrop, color_distortion_layer, imagenet_augmentation
from .shapes import check_images, with_shape
from .source import TASKS
from .sources import load
from .splits import Splits

__all__ = [
    "RESIZES",
    "TASKS",
    "RandomResizedCrop",
    "Splits",
    "bilevel",
    "check_images",
    "color_distortion_layer",
    "imagenet_augmentation",
    "load",
    "parse_side",
    "with_shape",
]
