"""Batch normalization: second derivatives are right, branches have their mixing weight folded in, replicas agree."""

import keras
from keras import ops

from keras_pibnas.layers import native
from keras_pibnas.layers.primitives import bias_add, fast, moments, pointwise, scaled
from keras_pibnas.layers.replicas import image_count, replica_count, replica_moments


@keras.saving.register_keras_serializable("keras_pibnas")
class BatchNorm(keras.layers.Layer):
    """Batch normalization over channels (Ioffe and Szegedy, 2015), as PyTorch computes it.

    moving = momentum * moving + (1 - momentum) * batch, the moving variance from the unbiased batch variance.
    Keras's own layer stops the gradient through the mean inside the variance, so its second derivative is wrong on
    TensorFlow; this one's is right. Statistics are float32 or wider under every mixed-precision policy, and
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
        y, offset = self.unshifted(flat, mix, training)
        y = bias_add(y, offset)
        return y if flat is x else y[:, 0, 0, :]

    def unshifted(self, x, mix=None, training=False):
        """(y, offset), whose sum is the output; x (B, H, W, C), offset (C,) or None for zero."""
        if training and self._one_kernel(x):
            x, shift = _without_mean(x)
            return self._in_one_kernel(x, mix, shift), None
        if training:
            mean, variance, count = replica_moments(*moments(x), size(x))
            self._move(mean, _unbiased(variance, count))
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale, offset = (ops.cast(value, x.dtype) for value in self.coefficients(mean, variance, mix))
        return scaled(x, scale), offset

    def after(self, convolve, x, kernel, mix=None, training=False):
        """`unshifted` of convolve(x, kernel). In inference the scale goes into the kernel instead of the image.

        kernel: (kh, kw, I, C), or (k, k, C, 1) of a depthwise convolution.
        """
        if training:
            return self.unshifted(convolve(x, kernel), mix, True)
        scale, offset = self.coefficients(self.moving_mean, self.moving_variance, mix)
        kernel = ops.cast(kernel, scale.dtype)
        y = convolve(x, kernel * ops.reshape(scale, (-1, 1) if kernel.shape[-1] == 1 else (-1,)))
        return y, ops.cast(offset, y.dtype)

    def pointwise(self, x, kernel, mix=None, training=False, relu=False):
        """`unshifted` of the 1x1 convolution of x (B, H, W, G * I) with kernel (1, 1, I, G * O), or its ReLU and None.

        Its mean is that of x, convolved, and the convolution can take it off as a bias.
        """
        convolve = lambda x, k: pointwise(x, ops.cast(k, x.dtype))  # noqa: E731
        if not training or not self._one_kernel(x) or narrow(x):
            y, offset = self.after(convolve, x, kernel, mix, training)
            return (ops.relu(bias_add(y, offset)), None) if relu else (y, offset)
        shift = ops.stop_gradient(ops.reshape(convolve(native.mean(x), kernel), (-1,)))
        return self._in_one_kernel(bias_add(convolve(x, kernel), -shift), mix, shift, relu), None

    def _one_kernel(self, x):
        return fast(x) and replica_count() == 1

    def standardize(self, x, spread):
        """x (B, H, W, C) with mean 0 and variance 1 over the batch; for branches that share x.

        spread: turns statistics (C,) into those of all branches, by which the moving ones move.
        """
        if self._one_kernel(x):
            x, shift = _without_mean(x)
            one = ops.ones_like(x[0, 0, 0] if narrow(x) else shift, dtype=self.moving_mean.dtype)
            zero = ops.zeros_like(one)
            y, mean, unbiased = native.batch_norm(x, one, zero, zero, zero, 0.0, self.epsilon)
            mean = mean + ops.cast(shift, mean.dtype)
        else:
            mean, variance, count = replica_moments(*moments(x), size(x))
            inverse = ops.rsqrt(variance + self.epsilon)
            y = bias_add(scaled(x, ops.cast(inverse, x.dtype)), ops.cast(-mean * inverse, x.dtype))
            unbiased = _unbiased(variance, count)
        self._move(spread(mean), spread(unbiased))
        return y

    def _in_one_kernel(self, x, mix, shift, relu=False):
        """The output for x, from which its mean, `shift`, has been taken off: the kernel takes it to be zero."""
        state = [variable.value for variable in (self.moving_mean, self.moving_variance)]
        weight = None if mix is None else repeat(ops.cast(mix, state[0].dtype), x.shape[-1])
        if not self.affine:
            scale = ops.ones_like(state[0]) if weight is None else weight
            offset = ops.zeros_like(state[0])
        elif weight is None:
            scale, offset = self.gamma, self.beta
        else:
            scale, offset = self.gamma * weight, self.beta * weight
        y, mean, variance = native.batch_norm(x, scale, offset, *state, self.momentum, self.epsilon, relu)
        self.moving_mean.assign(mean + (1.0 - self.momentum) * ops.cast(shift, mean.dtype))
        self.moving_variance.assign(variance)
        return y

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

    def _move(self, mean, unbiased):
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


def _without_mean(x):
    """(x without its mean, that mean (C,)), or x and 0 where that would cost digits."""
    if narrow(x):
        return x, 0.0
    shift = ops.stop_gradient(ops.reshape(native.mean(x), (-1,)))
    return bias_add(x, -shift), shift


def narrow(x):
    """Whether x has so few digits that taking its mean off would cost more of them than it saves."""
    return keras.backend.standardize_dtype(x.dtype) in ("bfloat16", "float16")


def _unbiased(variance, count):
    return variance * (count / ops.maximum(count - 1.0, 1.0))


def size(x):
    """How many values a channel of x has on this replica: a scalar, float32 or wider."""
    dtype = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    return ops.cast(image_count(x), dtype) * float(x.shape[1] * x.shape[2])


def repeat(mix, channels):
    """(E,) -> (channels,): each weight channels / E times. What is there for every channel stays."""
    blocks = mix.shape[0]
    if blocks in (None, channels):
        return mix
    return ops.reshape(
        ops.broadcast_to(ops.reshape(mix, (blocks, 1)), (blocks, channels // blocks)), (channels,)
    )
