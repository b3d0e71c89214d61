"""Batch normalization: second derivatives are right, branches have their mixing weight folded in, replicas agree."""

import keras
from keras import ops

from keras_pibnas.layers.primitives import (
    bias_add,
    moments,
    moments_after,
    pointwise,
    scaled,
    shifted_moments,
)
from keras_pibnas.layers.replicas import image_count, replica_moments


@keras.saving.register_keras_serializable("keras_pibnas")
class BatchNorm(keras.layers.Layer):
    """Batch normalization over channels (Ioffe and Szegedy, 2015), as PyTorch computes it.

    moving = momentum * moving + (1 - momentum) * batch, the moving variance from the unbiased batch variance.
    Keras's own layer stops the gradient through the mean inside the variance, so its second derivative is wrong on
    TensorFlow; this one is plain arithmetic. Statistics are float32 or wider under every mixed-precision policy, and
    are those of the whole global batch under a distribution strategy.

    Args:
        affine: whether there are gamma and beta.
        momentum: share of the old moving value.
        epsilon: added to the variance.

    Call arguments:
        x: (B, H, W, C) or (B, C).
        mix: (E,) or None; weights of the E equal blocks of channels, multiplied into the output.
        training: batch statistics when true, moving ones else.
    """

    def __init__(self, affine=True, momentum=0.9, epsilon=1e-5, **kwargs):
        super().__init__(**kwargs)
        self.affine, self.momentum, self.epsilon = affine, momentum, epsilon

    def build(self, input_shape):
        self._create(input_shape[-1])

    def build_for(self, channels):
        """Builds for an output of that many channels, when another layer's kernel makes them."""
        if not self.built:
            self.build((None, channels))
            self.built = True

    def _create(self, channels):
        wide = "float64" if self.variable_dtype == "float64" else "float32"
        kind = {"shape": (channels,), "dtype": wide, "autocast": False}
        self.gamma = self.add_weight(name="gamma", initializer="ones", **kind) if self.affine else None
        self.beta = self.add_weight(name="beta", initializer="zeros", **kind) if self.affine else None
        self.moving_mean = self.add_weight(name="moving_mean", initializer="zeros", trainable=False, **kind)
        self.moving_variance = self.add_weight(
            name="moving_variance", initializer="ones", trainable=False, **kind
        )

    def call(self, x, mix=None, training=False):
        flat = x if len(x.shape) == 4 else x[:, None, None, :]
        y = bias_add(*self.unshifted(flat, mix, training))
        return y if flat is x else y[:, 0, 0, :]

    def unshifted(self, x, mix=None, training=False, shift=None):
        """(x * scale, offset), whose sum is the output; x (B, H, W, C). shift: as in `input_coefficients`."""
        scale, offset = (
            ops.cast(value, x.dtype) for value in self.input_coefficients(x, training, mix, shift)
        )
        return scaled(x, scale), offset

    def input_coefficients(self, x, training=False, mix=None, shift=None):
        """(scale, offset) of x itself, each (C,); for layers that fold them into the convolution that follows.

        shift: what has been subtracted from x in training (see `primitives.shifted`), or None.
        """
        if not training:
            return self.coefficients(self.moving_mean, self.moving_variance, mix)
        mean, variance = moments(x) if shift is None else shifted_moments(x)
        return self.batch_coefficients(mean, variance, x, mix, shift)

    def pointwise(self, z, kernel, mix=None, training=False, shift=None):
        """Normalizes the 1x1 convolution of z with kernel without computing it twice or storing it.

        Mean and variance of y = K'z follow from those of z. So the scale goes into the kernel, the shift into a bias,
        and one convolution gives the normalized output (inference folds it the same way).
        z (B, H, W, G * I), kernel (1, 1, I, G * O), mix (E,) or None -> the output without its bias, (B, H, W, G * O),
        and the bias (G * O,). shift (G * I,) or None: what has been subtracted from z in training.
        """
        kernel = ops.cast(kernel, self.moving_mean.dtype)
        if training:
            mean, variance = moments_after(z, kernel)
            shift = (
                None
                if shift is None
                else pointwise(ops.cast(shift, kernel.dtype)[None, None, None], kernel)[0, 0, 0]
            )
            scale, offset = self.batch_coefficients(mean, variance, z, mix, shift)
        else:
            scale, offset = self.coefficients(self.moving_mean, self.moving_variance, mix)
        return pointwise(z, ops.cast(kernel * scale, z.dtype)), ops.cast(offset, z.dtype)

    def batch_coefficients(self, mean, variance, x, mix=None, shift=None):
        """`coefficients` from the statistics of the batch x on this replica; moves the moving statistics."""
        mean, variance, count = replica_moments(mean, variance, size(x), shift)
        self._move(mean if shift is None else mean + ops.cast(shift, mean.dtype), variance, count)
        return self.coefficients(mean, variance, mix)

    def coefficients(self, mean, variance, mix=None):
        """(scale, offset), both (C,), with y = x * scale + offset."""
        scale = ops.rsqrt(variance + self.epsilon)
        if self.affine:
            scale = scale * self.gamma
        offset = -mean * scale
        if self.affine:
            offset = offset + self.beta
        if mix is None:
            return scale, offset
        weight = repeat(ops.cast(mix, scale.dtype), scale.shape[0])
        return scale * weight, offset * weight

    def _move(self, mean, variance, count):
        unbiased = variance * (count / ops.maximum(count - 1.0, 1.0))
        for moving, value in ((self.moving_mean, mean), (self.moving_variance, unbiased)):
            value = ops.cast(ops.stop_gradient(value), moving.dtype)
            moving.assign(moving + (1.0 - self.momentum) * (value - moving))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "affine": self.affine,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }


def size(x):
    """How many values a channel of x has on this replica: a scalar, float32 or wider."""
    dtype = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    return ops.cast(image_count(x), dtype) * float(x.shape[1] * x.shape[2])


def repeat(mix, channels):
    """(E,) -> (channels,): each weight channels / E times."""
    blocks = mix.shape[0]
    return ops.reshape(
        ops.broadcast_to(ops.reshape(mix, (blocks, 1)), (blocks, channels // blocks)), (channels,)
    )
