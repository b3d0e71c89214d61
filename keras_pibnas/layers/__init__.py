"""Keras layers: the ops of the search spaces and what networks are put together with."""

from keras_pibnas.layers.auxiliary import AuxiliaryHead
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.blocks import Bottleneck, InvertedResidual, SeparableBlock, ShuffleUnit
from keras_pibnas.layers.conv import Conv, ConvBN, Linear, depthwise_conv
from keras_pibnas.layers.conv_3x1 import Conv3x1_1x3
from keras_pibnas.layers.drop_path import DropPath
from keras_pibnas.layers.imagenet import ImageNetAuxiliaryHead, ImageNetStem, StemReduction, make_stems
from keras_pibnas.layers.involution import Involution
from keras_pibnas.layers.layer_norm import LayerNorm
from keras_pibnas.layers.noise import Noise
from keras_pibnas.layers.op import Op
from keras_pibnas.layers.pib_conv import PIBConv, PIBConvTable
from keras_pibnas.layers.pool import AveragePool, MaxPool
from keras_pibnas.layers.preprocess import ConvStem, PatchifyStem, ReLUConvBN, preprocess
from keras_pibnas.layers.residual import ResidualBlock
from keras_pibnas.layers.roadmap import ConvNeXtConv, SepConvGELU, SepConvLayerNorm
from keras_pibnas.layers.separable import Conv7x1_1x7, DilConv, SepConv
from keras_pibnas.layers.skip import FactorizedReduce, Identity, skip_connect
from keras_pibnas.layers.zero import Zero

__all__ = [
    "AuxiliaryHead", "AveragePool", "BatchNorm", "Bottleneck", "Conv", "Conv3x1_1x3", "Conv7x1_1x7", "ConvBN",
    "ConvNeXtConv", "ConvStem", "DilConv", "DropPath", "FactorizedReduce", "Identity", "ImageNetAuxiliaryHead",
    "ImageNetStem", "InvertedResidual", "Involution", "LayerNorm", "Linear", "MaxPool", "Noise", "Op", "PIBConv",
    "PIBConvTable", "PatchifyStem", "ReLUConvBN", "ResidualBlock", "SepConv", "SepConvGELU", "SepConvLayerNorm",
    "SeparableBlock", "ShuffleUnit", "StemReduction", "Zero", "depthwise_conv", "make_stems", "preprocess",
    "skip_connect",
]  # fmt: skip
