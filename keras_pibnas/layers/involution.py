"""Involution: a kernel for every pixel, made from that pixel, the same for all channels of a group."""

import keras
from keras import ops

from keras_pibnas.engine.kernels import concatenate, pointwise, split, weigh
from keras_pibnas.layers.batch_norm import BatchNorm
from keras_pibnas.layers.op import Op
from keras_pibnas.layers.separable import check_kernel_size


@keras.saving.register_keras_serializable("keras_pibnas")
class Involution(Op):
    """y[i, j, c] = sum_uv kernel[i, j, g(c), u, v] * x[s i + d (u - k // 2), s j + d (v - k // 2), c].

    kernel = 1x1 to groups * k * k (ReLU (BN (1x1 to C / reduction (x)))), and at stride s = 2 of x averaged over 2 x 2
    pixels (over those that there are at the far end of an odd side). Outside the image x is zero. No convolution has a
    bias. Li et al., "Involution: Inverting the Inherence of Convolution for Visual Recognition" (arXiv:2103.06255),
    section 3; the project "DARTS with involution" uses one group and reduction ratio 1.

    Args:
        channels, strides, branches: as `Op`.
        affine: whether the BN inside, which normalizes what the kernels are made from, has gamma and beta.
        kernel_size: k, odd.
        dilation: d, a positive integer.
        groups: G, a divisor of the channels; the kernel of group g is for channels g C / G to (g + 1) C / G - 1.
        reduction: ratio by which the kernel's branch is narrowed, a divisor of the channels.

    Example:
        >>> kp.layers.Involution(4)(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        channels: int,
        strides: int = 1,
        affine: bool = True,
        branches: int = 1,
        kernel_size: int = 3,
        dilation: int = 1,
        groups: int = 1,
        reduction: int = 1,
        **kwargs,
    ):
        super().__init__(channels, strides, affine, branches, **kwargs)
        self.kernel_size, self.dilation = check_kernel_size(self, kernel_size), dilation
        self.groups, self.reduction = groups, reduction
        for name, value in (("dilation", dilation), ("groups", groups), ("reduction", reduction)):
            if not isinstance(value, int) or value < 1 or (name != "dilation" and channels % value):
                kind = "a positive integer" if name == "dilation" else f"a divisor of the {channels} channels"
                raise ValueError(f"{name} of Involution must be {kind}. Received: {name}={value!r}")

    def build(self, input_shape):
        super().build(input_shape)
        hidden = self.channels // self.reduction
        weights = self.groups * self.kernel_size**2
        self.reduce = self.kernel("reduce", (1, 1), self.channels, self.branches * hidden)
        self.batch_norm = BatchNorm(self.affine, name="batch_norm", dtype=self.dtype_policy)
        self.batch_norm.build_for(self.branches * hidden)
        self.span = self.kernel("span", (1, 1), hidden, self.branches * weights)

    def call(self, x, weights=None, training=False):
        return self._weigh(x, self._kernels(x, weights, training))

    def _kernels(self, x, weights, training):
        """(B, H', W', E * G * k * k), with the edges' weights in the last 1x1."""
        x = pointwise(self._average(x), ops.cast(self.reduce, x.dtype))
        x = ops.relu(self.batch_norm(x, training=training))
        return pointwise(x, ops.cast(self.weighted(self.span, weights), x.dtype))

    def _average(self, x):
        return ops.average_pool(x, 2, 2, "same", data_format="channels_last") if self.strides == 2 else x

    def _weigh(self, x, kernels):
        sides = kernels.shape[1:3]
        kernels = ops.reshape(kernels, (-1, *sides, self.branches, self.groups * self.kernel_size**2))
        groups = zip(split(x, self.groups), split(kernels, self.groups), strict=True)
        parts = [weigh(part, kernel, self.kernel_size, self.strides, self.dilation) for part, kernel in groups]
        return ops.reshape(concatenate(parts), (-1, *sides, self.width))

    def get_config(self):
        names = ("kernel_size", "dilation", "groups", "reduction")
        return super().get_config() | {name: getattr(self, name) for name in names}
