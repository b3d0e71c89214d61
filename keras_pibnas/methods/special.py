"""Special functions of the Gamma and Dirichlet distributions that Keras does not have: here TensorFlow's.

All of a package's own TensorFlow calls for methods stand in this file.
"""

import keras
from keras import ops

# Below this, P(a, x) is x**a / Gamma(a + 1) to more digits than float64 has.
_TINY = -40.0
_ITERATIONS = 100


def tensorflow_math():
    """tf.math. Raises NotImplementedError on another backend."""
    if keras.backend.backend() != "tensorflow":
        raise NotImplementedError(
            "Dirichlet and DirichletKL need the special functions of the tensorflow backend. "
            f"Received: backend {keras.backend.backend()!r}"
        )
    import tensorflow as tf

    return tf.math


def lgamma(x):
    """log Gamma(x), differentiable."""
    return tensorflow_math().lgamma(x)


def digamma(x):
    """d/dx log Gamma(x), differentiable."""
    return tensorflow_math().digamma(x)


@ops.custom_gradient
def log_gamma_quantile(concentration, probability):
    """log x where a variable from Gamma(concentration, 1) is below x with that probability.

    Of a uniform number it makes a logarithm of a Gamma variable, as a smooth function of the concentration: its
    derivative is the pathwise (implicit) one of Figurnov et al. (arXiv:1805.08498). The logarithm, because a Gamma
    variable of small concentration is often below all floating-point numbers.

    Args: concentration > 0, probability in (0, 1): tensors of one shape. Returns: the same shape, float64.
    """
    dtype = concentration.dtype
    a, u = (ops.cast(x, "float64") for x in (concentration, probability))
    log_x = _newton(a, u)

    def gradient(upstream):
        slope = ops.cast(upstream, "float64") * _slope(a, log_x)
        return ops.cast(slope, dtype), ops.zeros_like(probability)

    return log_x, gradient


def _newton(a, u):
    """Solves log P(a, e**y) = log u by Newton's method.

    log P is concave in y and P(a, x) <= x**a / Gamma(a + 1), whose root is the start: so the start and all iterates are
    at most the solution, and rise to it.
    """
    log_u, log_scale = ops.log(u), lgamma(a + 1.0)
    start = (log_u + log_scale) / a

    def unfinished(y, step):
        return ops.max(ops.abs(step)) > 1e-12

    def improve(y, step):
        log_p, slope = _log_cdf(a, y, log_scale)
        step = (log_u - log_p) / slope
        return y + step, step

    return ops.while_loop(unfinished, improve, (start, ops.ones_like(start)), _ITERATIONS)[0]


def _log_cdf(a, y, log_scale):
    """(log P(a, e**y), its derivative by y)."""
    tiny = y < _TINY
    safe = ops.maximum(y, _TINY)
    log_p = ops.log(tensorflow_math().igamma(a, ops.exp(safe)))
    log_density = a * safe - ops.exp(safe) - lgamma(a)
    return ops.where(tiny, a * y - log_scale, log_p), ops.where(tiny, a, ops.exp(log_density - log_p))


def _slope(a, y):
    """d/da of log x at a fixed probability; x**a / Gamma(a + 1) differentiated, where x is tiny."""
    import tensorflow as tf

    x = ops.exp(ops.maximum(y, _TINY))
    return ops.where(y < _TINY, (digamma(a + 1.0) - y) / a, tf.raw_ops.RandomGammaGrad(alpha=a, sample=x) / x)
