"""The Hessian by the alphas: products against differences of gradients, eigenvalues against the full matrix."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas.search.curvature import AlphaHessian, largest_eigenvalues

BATCH = np.random.default_rng(0).normal(size=(3, 4, 4, 3)), np.arange(3)


@pytest.fixture(name="small")
def small_supernet():
    """8 alphas: two edges of two ops in each of both cells; eagerly, in float64."""
    tf.config.run_functions_eagerly(True)
    keras.config.set_floatx("float64")
    space = kp.spaces.SearchSpace("two", ("skip_connect", "dil_conv_3x3"))
    model = kp.Supernet(space, (4, 4, 3), 3, channels=2, layers=3, nodes=1, seed=0, order=1, dtype="float64")
    for alpha in model.alphas:
        alpha.assign(np.random.default_rng(1).normal(size=alpha.shape))
    model.compile(engine="plain")
    yield model
    keras.config.set_floatx("float32")
    tf.config.run_functions_eagerly(False)


def test_products_and_eigenvalues_against_the_full_matrix(small):
    hessian = AlphaHessian(small)
    matrix = np.stack([hessian.product(BATCH, unit) for unit in np.eye(8)])
    np.testing.assert_allclose(matrix, matrix.T, atol=1e-14)
    # The softmax does not change where all alphas of an edge grow alike: four zeros among eight eigenvalues.
    want = np.linalg.eigvalsh(matrix)
    assert np.sort(np.abs(want))[3] < 1e-12 < np.abs(want).max()
    np.testing.assert_allclose(kp.analysis.hessian_eigenvalues(small, BATCH, 2), want[::-1][:2], rtol=1e-3)
    vector = np.random.default_rng(2).normal(size=8)
    before = [keras.ops.convert_to_numpy(alpha) for alpha in small.alphas]

    def gradient(step):
        for alpha, value, part in zip(small.alphas, before, np.split(vector, 2), strict=True):
            alpha.assign(value + step * part.reshape(value.shape))
        return np.concatenate([np.ravel(g) for g in small.alpha_gradients(BATCH, BATCH)])

    np.testing.assert_allclose(matrix @ vector, (gradient(1e-5) - gradient(-1e-5)) / 2e-5, atol=1e-8)
    assert np.abs(matrix @ vector).max() > 1e-3


def test_cells_of_other_numbers_of_channels_share_a_function():
    """Traced, the products of a supernet whose cells have 2, 4 and 8 channels are those of the plain engine."""
    products = {}
    for name in ("plain", "tensorflow"):
        keras.utils.set_random_seed(0)
        model = kp.Supernet(
            kp.spaces.SearchSpace("two", ("skip_connect", "dil_conv_3x3")),
            (8, 8, 3),
            3,
            channels=2,
            layers=3,
            nodes=1,
            order=1,
        )
        for alpha in model.alphas:
            alpha.assign(np.random.default_rng(1).normal(size=alpha.shape))
        model.compile(engine=name)
        batch = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32"), np.arange(4) % 3
        products[name] = AlphaHessian(model).product(batch, np.linspace(-1.0, 1.0, 8))
    assert np.abs(products["plain"]).max() > 1e-3
    np.testing.assert_allclose(products["tensorflow"], products["plain"], atol=1e-4 * np.abs(products["plain"]).max())


def test_a_space_of_one_kind_of_cell():
    """NAS-Bench-201: 6 edges of 5 ops; its gradient and the products are by these 30 alphas alone."""
    tf.config.run_functions_eagerly(True)
    try:
        model = kp.Supernet("nas_bench_201", (4, 4, 3), 3, channels=2, layers=5, seed=0, order=1)
        model.compile(engine="plain")
        hessian = AlphaHessian(model)
        images = BATCH[0].astype("float32"), BATCH[1]
        columns = [hessian.product(images, np.eye(30)[place]) for place in (3, 8)]
    finally:
        tf.config.run_functions_eagerly(False)
    assert hessian.size == 30 and np.abs(columns).max() > 0
    assert columns[0][8] == pytest.approx(columns[1][3], rel=1e-2, abs=1e-7)  # float32


def test_k_eigenvalues_of_a_matrix():
    """Eigenvalues 9, 4, 1, 0, -16 in a random basis: the largest ones, not those of the largest magnitude."""
    basis = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 5)))[0]
    matrix = basis * [9.0, 4.0, 1.0, 0.0, -16.0] @ basis.T
    for k in (1, 3, 5):
        found = largest_eigenvalues(lambda v: matrix @ v, 5, k, tolerance=1e-9)
        np.testing.assert_allclose(found, [9.0, 4.0, 1.0, 0.0, -16.0][:k], atol=1e-9)
    assert largest_eigenvalues(lambda v: 0.0 * v, 4, 2).tolist() == [0.0, 0.0]


def test_few_products_are_enough_for_a_large_matrix():
    """Eigenvalues 0, ..., 0.999 and 2: a gap, so that the largest is found long before 1001 products."""
    diagonal, products = np.append(np.arange(1000) / 1000, 2.0), []
    found = largest_eigenvalues(lambda v: products.append(1) or diagonal * v, 1001)
    assert found == pytest.approx([2.0], rel=1e-5) and len(products) < 30


@pytest.mark.parametrize("k", (0, 6, 1.0))
def test_wrong_k(k):
    with pytest.raises(ValueError, match=f"an integer from 1 to 5.*Received: k={k}"):
        largest_eigenvalues(lambda v: v, 5, k)
