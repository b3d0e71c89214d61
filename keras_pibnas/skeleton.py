"""The former name of `keras_pibnas.topology`, for one version more."""

import warnings

from keras_pibnas.topology import STEMS, CellPlan, auxiliary_index, check_images, plan

__all__ = ["STEMS", "CellPlan", "auxiliary_index", "check_images", "plan"]

warnings.warn(
    "keras_pibnas.skeleton is deprecated: import keras_pibnas.topology instead", DeprecationWarning, stacklevel=2
)
