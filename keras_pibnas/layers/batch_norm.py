"""Batch normalization: second derivatives are right, branches have their op weights folded in, replicas agree."""

import contextvars

import keras
from keras import ops

from keras_pibnas.engine.context import holding
from keras_pibnas.engine.kernels import bias_add, fast, moments, pointwise, scaled
from keras_pibnas.engine.replicas import image_count, replica_count, replica_moments

_SYNCHRONIZED = contextvars.ContextVar("whether batch normalizations that are made synchronize", default=False)


def synchronizing(wanted):
    """Batch normalizations that are made inside have synchronized=wanted, where they are not told otherwise."""
    return holding(_SYNCHRONIZED, wanted)


def synchronized_by_default():
    return _SYNCHRONIZED.get()


@keras.saving.register_keras_serializable("keras_pibnas")
class BatchNorm(keras.layers.Layer):
    """Batch normalization over channels (Ioffe and Szegedy, 2015), as PyTorch computes it.

    moving = momentum * moving + (1 - momentum) * batch, the moving variance from the unbiased batch variance.
    Keras's own layer stops the gradient through the mean inside the variance, so its second derivative is wrong on
    TensorFlow; this one's is right. Statistics are float32 or wider under every mixed-precision policy.

    Args:
        affine: whether there are gamma and beta.
        momentum: share of the old moving value.
        epsilon: added to the variance.
        synchronized: whether batch statistics are those of the global batch under a distribution strategy; otherwise
            each replica normalizes by its own images, and training averages the moved statistics once a step. None:
            as `synchronizing` says, or False.

    Call arguments:
        x: (B, H, W, C) or (B, C).
        weights: (E,) or None; they are multiplied into the output, one for each of E equal blocks of channels.
        training: batch statistics when true, moving ones else; frozen (trainable=False), it has moving ones always.

    Example:
        >>> kp.layers.BatchNorm()(np.ones((1, 8, 8, 4), "float32")).shape
        TensorShape([1, 8, 8, 4])
    """

    def __init__(
        self,
        affine: bool = True,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        synchronized: bool | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.affine, self.momentum, self.epsilon = affine, momentum, epsilon
        self.synchronized = synchronized_by_default() if synchronized is None else synchronized

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
        self.moving_variance = self.add_weight(name="moving_variance", initializer="ones", trainable=False, **kind)

    def call(self, x, weights=None, training=False):
        flat = x if len(x.shape) == 4 else x[:, None, None, :]
        y = self._normalized(flat, weights, training)
        return y if flat is x else y[:, 0, 0, :]

    def _normalized(self, x, weights, training):
        training = self.moves(training)
        kernels = self._one_kernel(x) if training else None
        if kernels:
            x, shift = _without_mean(x, kernels)
            return self._in_one_kernel(kernels, x, weights, shift)
        if training:
            mean, variance, count = self._moments(x)
            self._move(mean, _unbiased(variance, count))
        else:
            mean, variance = self.moving_mean, self.moving_variance
        scale, offset = (ops.cast(value, x.dtype) for value in self.coefficients(mean, variance, weights))
        return bias_add(scaled(x, scale), offset)

    def of_convolution(self, convolve, x, kernel, weights=None, training=False):
        """The layer's output for convolve(x, kernel). In inference the scale goes into the kernel, not the image.

        kernel: (kh, kw, I, C), or (k, k, C, 1) of a depthwise convolution.
        """
        if self.moves(training):
            return self._normalized(convolve(x, kernel), weights, True)
        scale, offset = self.coefficients(self.moving_mean, self.moving_variance, weights)
        kernel = ops.cast(kernel, scale.dtype)
        y = convolve(x, kernel * ops.reshape(scale, (-1, 1) if kernel.shape[-1] == 1 else (-1,)))
        return bias_add(y, ops.cast(offset, y.dtype))

    def of_pointwise(self, x, kernel, weights=None, training=False, relu=False):
        """The layer's output, or its ReLU, for the 1x1 convolution of x (B, H, W, G * I) with (1, 1, I, G * O).

        Its mean is that of x, convolved, and the convolution can take it off as a bias.
        """
        convolve = lambda x, k: pointwise(x, ops.cast(k, x.dtype))  # noqa: E731
        kernels = self._one_kernel(x) if self.moves(training) else None
        if not kernels:
            y = self.of_convolution(convolve, x, kernel, weights, training)
            return ops.relu(y) if relu else y
        shift = ops.stop_gradient(ops.reshape(convolve(kernels.mean(x), kernel), (-1,)))
        return self._in_one_kernel(kernels, bias_add(convolve(x, kernel), -shift), weights, shift, relu)

    def moves(self, training):
        """Whether it normalizes by the batch and moves its statistics: in training, unless it is frozen."""
        return bool(training) and self.trainable

    @property
    def synchronizes(self):
        """Whether statistics are those of several replicas, where this is asked."""
        return self.synchronized and replica_count() > 1

    def _one_kernel(self, x):
        """The engine's kernels, where they normalize x in training."""
        alone = keras.backend.standardize_dtype(x.dtype) == "float32" and not self.synchronizes
        return fast(x) if alone else None

    def _moments(self, x):
        """Mean, variance and number of values a channel, of the batch."""
        mean, variance = moments(x)
        if not self.synchronizes:
            return mean, variance, size(x, ops.shape(x)[0])
        return replica_moments(mean, variance, size(x, image_count(x)))

    def standardize(self, x, spread):
        """x (B, H, W, C) with mean 0 and variance 1 over the batch; for branches that share x.

        spread: turns statistics (C,) into those of all branches, by which the moving ones move.
        """
        kernels = self._one_kernel(x)
        if kernels:
            x, shift = _without_mean(x, kernels)
            one, zero = ops.ones_like(shift), ops.zeros_like(shift)
            y, mean, unbiased = kernels.batch_norm(x, one, zero, zero, zero, 0.0, self.epsilon)
            mean = mean + shift
        else:
            mean, variance, count = self._moments(x)
            inverse = ops.rsqrt(variance + self.epsilon)
            y = bias_add(scaled(x, ops.cast(inverse, x.dtype)), ops.cast(-mean * inverse, x.dtype))
            unbiased = _unbiased(variance, count)
        self._move(spread(mean), spread(unbiased))
        return y

    def _in_one_kernel(self, kernels, x, weights, shift, relu=False):
        """The output for x, from which its mean, `shift`, has been taken off: the kernel takes it to be zero."""
        state = [variable.value for variable in (self.moving_mean, self.moving_variance)]
        weight = None if weights is None else repeat(ops.cast(weights, state[0].dtype), x.shape[-1])
        if not self.affine:
            scale = ops.ones_like(state[0]) if weight is None else weight
            offset = ops.zeros_like(state[0])
        elif weight is None:
            scale, offset = self.gamma, self.beta
        else:
            scale, offset = self.gamma * weight, self.beta * weight
        y, mean, variance = kernels.batch_norm(x, scale, offset, *state, self.momentum, self.epsilon, relu)
        self.moving_mean.assign(mean + (1.0 - self.momentum) * shift)
        self.moving_variance.assign(variance)
        return y

    def coefficients(self, mean, variance, weights=None):
        """(scale, offset), both (C,), with y = x * scale + offset."""
        scale = ops.rsqrt(variance + self.epsilon)
        if self.affine:
            scale = scale * self.gamma
        offset = -mean * scale
        if self.affine:
            offset = offset + self.beta
        if weights is None:
            return scale, offset
        weight = repeat(ops.cast(weights, scale.dtype), scale.shape[0])
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
            "synchronized": self.synchronized,
        }


def _without_mean(x, kernels):
    """(x without its mean, that mean (C,)), through which no gradient flows."""
    shift = ops.stop_gradient(ops.reshape(kernels.mean(x), (-1,)))
    return bias_add(x, -shift), shift


def _unbiased(variance, count):
    return variance * (count / ops.maximum(count - 1.0, 1.0))


def size(x, images):
    """How many values a channel of so many images x has: a scalar, float32 or wider."""
    dtype = "float64" if keras.backend.standardize_dtype(x.dtype) == "float64" else "float32"
    return ops.cast(images, dtype) * float(x.shape[1] * x.shape[2])


def repeat(weights, channels):
    """(E,) -> (channels,): each weight channels / E times. What is there for every channel stays."""
    blocks = weights.shape[0]
    if blocks in (None, channels):
        return weights
    return ops.reshape(ops.broadcast_to(ops.reshape(weights, (blocks, 1)), (blocks, channels // blocks)), (channels,))
