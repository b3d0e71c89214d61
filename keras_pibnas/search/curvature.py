"""The Hessian of a supernet's validation loss by its alphas: products with vectors, and its largest eigenvalues.

Zela et al., "Understanding and Robustifying Differentiable Architecture Search" (arXiv:1909.09656): where the largest
eigenvalue grows fast, the cell that is derived is worse than the relaxed one.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_pibnas import engine


class AlphaHessian:
    """d^2 L / dalpha^2 of a batch at the supernet's present weights and alphas, as products with vectors.

    L is the loss in training mode (batch statistics) without noise and penalties; alphas are those of all kinds of
    cell, row by row; other variables of the architecture, such as edge weights, are held. The first product of an
    engine traces.

    Args:
        supernet: Supernet.
    """

    def __init__(self, supernet):
        self.supernet, self._compiled = supernet, {}
        self.size = sum(int(np.prod(alpha.shape)) for alpha in supernet.alphas)

    def product(self, batch, vector) -> np.ndarray:
        """The Hessian times a vector, both (size,). Args: batch: (x, y) or (x, y, sample weights)."""
        net, batch = self.supernet, tf.nest.map_structure(tf.convert_to_tensor, tuple(batch))
        if not net.compiled:
            net.compile()
        sizes = [int(np.prod(alpha.shape)) for alpha in net.alphas]
        parts = np.split(np.asarray(vector), np.cumsum(sizes)[:-1])
        directions = [
            tf.constant(part.reshape(alpha.shape), alpha.dtype) for part, alpha in zip(parts, net.alphas, strict=True)
        ]
        with net.engine_in_use() as used:
            if used.name not in self._compiled:
                self._compiled[used.name] = used.compile(self._products)
            products = self._compiled[used.name](batch, directions)
        return np.concatenate([np.ravel(np.asarray(p, "float64")) for p in products])

    def _products(self, batch, directions):
        used, net = engine.current(), self.supernet
        loss, weights = net.loss_of(batch), used.read(net.network.trainable_variables)
        variables = used.read(net.architecture)
        alphas, held = variables[: len(net.alphas)], variables[len(net.alphas) :]
        with tf.GradientTape(watch_accessed_variables=False) as outer:
            outer.watch(alphas)
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(alphas)
                mix = net.relaxed.mix([*alphas, *held], net.relaxed.no_noise, net.progress)
                value, _ = loss(weights, net.relaxed.complete(mix, [*alphas, *held], net.progress))
            slopes = inner.gradient(value, alphas, unconnected_gradients="zero")
        return outer.gradient(slopes, alphas, directions, unconnected_gradients="zero")

    def eigenvalues(self, batch, k: int = 1) -> np.ndarray:
        """The k largest eigenvalues (k,), the largest first. Args: batch: as `product`. Raises ValueError: k."""
        return largest_eigenvalues(lambda vector: self.product(batch, vector), self.size, k)


def hessian_eigenvalues(supernet: Any, batch: tuple, k: int = 1) -> np.ndarray:
    """The k largest eigenvalues of the Hessian of the validation loss by the alphas, by the Lanczos method.

    As `AlphaHessian` has it; RobustDARTS's code (arXiv:1909.09656) adds the alphas' L2 factor, 1e-3, to the diagonal.

    Args:
        supernet: Supernet.
        batch: (x, y) of validation images (B, H, W, C) and labels (B,), or (x, y, sample weights).
        k: how many.

    Returns:
        (k,) of float64, the largest first; to 1e-3 of the largest in magnitude.

    Raises:
        ValueError: k below 1 or above the number of alphas.

    Example:
        >>> space = kp.spaces.SearchSpace("two", ("skip_connect", "avg_pool_3x3"))
        >>> supernet = kp.Supernet(space, (4, 4, 1), 2, channels=2, layers=2, nodes=1)  # two cells of two edges
        >>> kp.analysis.hessian_eigenvalues(supernet, (np.ones((2, 4, 4, 1), "float32"), np.array([0, 1])), k=9)
        Traceback (most recent call last):
        ValueError: k must be an integer from 1 to 8, the number of eigenvalues. Received: k=9
    """
    return AlphaHessian(supernet).eigenvalues(batch, k)


def largest_eigenvalues(product, size: int, k: int = 1, tolerance: float = 1e-3, seed: int = 0) -> np.ndarray:
    """The k algebraically largest eigenvalues of a symmetric matrix that is known by its products with vectors.

    Lanczos's method with full orthogonalization, in float64, until the residual of each of the k is below the tolerance
    times the largest eigenvalue in magnitude. Equal eigenvalues may be found once alone where products are exact.

    Args:
        product: (size,) -> (size,).
        size: of the matrix.
        k: how many.
        tolerance: of the residuals.
        seed: of the first vector.

    Returns:
        (k,), the largest first.

    Raises:
        ValueError: k below 1 or above the size.
    """
    if not isinstance(k, int) or not 1 <= k <= size:
        raise ValueError(f"k must be an integer from 1 to {size}, the number of eigenvalues. Received: k={k!r}")
    generator, basis, diagonal, beside = np.random.default_rng(seed), [], [], []
    vector = _orthogonal(generator.normal(size=size), basis)
    for _ in range(size):
        image = np.asarray(product(vector), "float64")
        basis.append(vector)
        diagonal.append(float(vector @ image))
        values, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1))
        rest = image - np.array(basis).T @ (np.array(basis) @ image)
        length, scale = float(np.linalg.norm(rest)), np.abs(values).max()
        residuals = length * np.abs(vectors[-1, -k:])
        if len(basis) >= k and residuals.max() <= tolerance * scale:
            break
        isolated = length <= 1e-6 * scale  # what has been seen is a space of its own: on from another vector
        beside.append(0.0 if isolated else length)
        vector = _orthogonal(generator.normal(size=size) if isolated else rest, basis)
    return values[::-1][:k]


def _orthogonal(vector, basis):
    """The vector without its parts along the basis, of length 1."""
    for _ in range(2 if basis else 0):
        vector = vector - np.array(basis).T @ (np.array(basis) @ vector)
    return vector / max(np.linalg.norm(vector), 1e-300)
