"""Drop path, auxiliary head, stems, layer normalization, pooling: numbers worked out in NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_pibnas.engine.kernels import average_pool, max_pool
from keras_pibnas.layers import (
    AuxiliaryHead,
    ConvStem,
    DropPath,
    LayerNorm,
    PatchifyStem,
    ReLUConvBN,
    preprocess,
)


def images(*shape, seed=0, dtype="float32"):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def saved_and_loaded(layer, shape, tmp_path):
    """Outputs of a model of one layer, before and after a file."""
    inputs = keras.Input(shape[1:])
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "model.keras")
    x = images(*shape)
    return model(x), keras.saving.load_model(tmp_path / "model.keras")(x)


def test_drop_path_drops_whole_samples_and_rescales():
    layer = DropPath(0.75, seed=0)
    x = images(400, 2, 2, 3) + 10.0
    y = np.array(layer(x, training=True))
    kept = y.any((1, 2, 3))
    np.testing.assert_allclose(y, np.where(kept[:, None, None, None], x / 0.25, 0.0), rtol=1e-6)
    assert 60 <= kept.sum() <= 140  # 100 expected; sqrt(400 * 0.25 * 0.75) = 8.7
    np.testing.assert_array_equal(layer(x), x)
    assert (np.array(layer(x, training=True)).any((1, 2, 3)) != kept).any()


def test_drop_path_rate_is_a_variable():
    layer = DropPath(0.0, seed=0)
    x = np.ones((50, 1, 1, 1), "float32")
    step = tf.function(lambda: layer(x, training=True), autograph=False)
    np.testing.assert_array_equal(step(), x)
    layer.rate.assign(0.5)
    assert set(np.unique(step())) == {0.0, 2.0}
    assert layer.trainable_variables == []


def test_drop_path_save_and_seed(tmp_path):
    assert DropPath.from_config(DropPath(0.25, seed=3).get_config()).get_config()["rate"] == 0.25
    x = np.ones((30, 1, 1, 1), "float32")
    np.testing.assert_array_equal(*(DropPath(0.5, seed=7)(x, training=True) for _ in range(2)))
    np.testing.assert_array_equal(*saved_and_loaded(DropPath(0.5), (2, 2, 2, 3), tmp_path))


@pytest.mark.parametrize("rate", (1.0, -0.1, 1.5))
def test_drop_path_wrong_rate(rate):
    with pytest.raises(ValueError, match=f"Received: {rate}"):
        DropPath(rate)


def test_auxiliary_head(tmp_path):
    """8x8: average pool 5 stride 3 leaves 2x2, the 2x2 convolution one pixel."""
    head = AuxiliaryHead(3)
    x = images(2, 8, 8, 4)
    head.build(x.shape)
    relu = lambda a: np.maximum(a, 0.0)  # noqa: E731
    pooled = np.stack([[relu(x)[:, i : i + 5, j : j + 5].mean((1, 2)) for j in (0, 3)] for i in (0, 3)])
    norm = 1.0 / np.sqrt(1.0 + 1e-5)  # moving statistics are 0 and 1
    narrow = relu(np.einsum("hwbi,io->bhwo", pooled, head.narrow.numpy()[0, 0]) * norm)
    wide = relu(np.einsum("bhwi,hwio->bo", narrow, head.wide.numpy()) * norm)
    want = wide @ head.classifier.kernel.numpy() + head.classifier.bias.numpy()
    np.testing.assert_allclose(head(x), want, atol=1e-5)
    np.testing.assert_array_equal(*saved_and_loaded(AuxiliaryHead(3), (2, 9, 8, 4), tmp_path))


def test_auxiliary_head_parameters():
    """At 36 channels: 576 * 128 + 2 * 128 + 4 * 128 * 768 + 2 * 768 + 768 * 10 + 10, as published."""
    head = AuxiliaryHead(10)
    head.build((None, 8, 8, 576))
    assert sum(int(np.prod(v.shape)) for v in head.trainable_variables) == 476426
    with pytest.raises(ValueError, match=r"\(None, 7, 8, 4\)"):
        AuxiliaryHead(10).build((None, 7, 8, 4))


def test_relu_conv_bn(tmp_path):
    layer = ReLUConvBN(3)
    x = images(2, 5, 4, 2)
    layer.build(x.shape)
    y = np.einsum("bhwi,io->bhwo", np.maximum(x, 0.0), layer.kernel.numpy()[0, 0])
    np.testing.assert_allclose(layer(x), y / np.sqrt(1.0 + 1e-5), atol=1e-6)
    want = (y - y.mean((0, 1, 2))) / np.sqrt(y.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(layer(x, training=True), want, atol=1e-4)
    np.testing.assert_array_equal(*saved_and_loaded(ReLUConvBN(3, affine=False), (2, 5, 4, 2), tmp_path))


def test_preprocess_halves_the_side_after_a_reduction():
    x = images(2, 7, 6, 4)
    assert preprocess(8, 4, reduction=True)(x).shape == (2, 4, 3, 8)
    assert preprocess(8, 4, reduction=False)(x).shape == (2, 7, 6, 8)


@pytest.mark.parametrize("sides", ((8, 8), (7, 9), (6, 5)))
def test_patchify_stem(sides, tmp_path):
    """4x4 convolution of stride 4 on the image with one pixel of zeros around, then LayerNorm."""
    x = images(2, *sides, 3)
    stem = PatchifyStem(5)
    y = stem(x)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    rows, columns = ((side - 2) // 4 + 1 for side in sides)
    want = np.empty((2, rows, columns, 5))
    for i in range(rows):
        for j in range(columns):
            patch = padded[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4]
            want[:, i, j] = np.einsum("bhwi,hwio->bo", patch, stem.kernel.numpy())
    want = (want - want.mean(-1, keepdims=True)) / np.sqrt(want.var(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(y, want, atol=1e-3)
    assert stem.compute_output_shape((None, *sides, 3)) == (None, rows, columns, 5)
    np.testing.assert_array_equal(*saved_and_loaded(PatchifyStem(5), x.shape, tmp_path))


def test_conv_stem(tmp_path):
    x = images(2, 5, 4, 3)
    stem = ConvStem(6)
    y = stem(x)
    patch = x[:, 1:4, 0:3]  # around pixel (2, 1)
    want = np.einsum("bhwi,hwio->bo", patch, stem.kernel.numpy()) / np.sqrt(1.0 + 1e-5)
    np.testing.assert_allclose(y[:, 2, 1], want, atol=1e-5)
    corner = np.einsum("bhwi,hwio->bo", x[:, :2, :2], stem.kernel.numpy()[1:, 1:]) / np.sqrt(1.0 + 1e-5)
    np.testing.assert_allclose(y[:, 0, 0], corner, atol=1e-5)
    assert stem.compute_output_shape((None, 5, 4, 3)) == (None, 5, 4, 6) and y.shape == (2, 5, 4, 6)
    np.testing.assert_array_equal(*saved_and_loaded(ConvStem(6), x.shape, tmp_path))


@pytest.mark.parametrize("affine", (True, False))
def test_layer_norm(affine, tmp_path):
    x, mix = images(2, 3, 3, 8), np.array((0.5, 2.0), "float32")
    norm = LayerNorm(affine, branches=2)
    norm.build(x.shape)
    for seed, weight in enumerate(norm.weights):
        weight.assign(images(8, seed=seed))
    blocks = x.reshape(2, 3, 3, 2, 4)
    blocks = (blocks - blocks.mean(-1, keepdims=True)) / np.sqrt(blocks.var(-1, keepdims=True) + 1e-6)
    want = blocks.reshape(2, 3, 3, 8)
    if affine:
        want = want * norm.gamma.numpy() + norm.beta.numpy()
    np.testing.assert_allclose(norm(x), want, atol=1e-4)
    np.testing.assert_allclose(norm(x, weights=mix), want * np.repeat(mix, 4), atol=1e-4)
    np.testing.assert_array_equal(*saved_and_loaded(LayerNorm(affine), x.shape, tmp_path))


def directional(function, x, direction):
    """The second derivative of a scalar function times a direction, exact and by central differences."""

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)

    with tf.GradientTape() as outer:
        outer.watch(x)
        product = tf.reduce_sum(gradient(x) * direction)
    exact = outer.gradient(product, x)
    return exact, (gradient(x + 1e-6 * direction) - gradient(x - 1e-6 * direction)) / 2e-6


def test_layer_norm_second_derivative():
    x, weighting, direction = (tf.constant(images(2, 2, 2, 4, seed=seed, dtype="float64")) for seed in range(3))
    norm = LayerNorm(dtype="float64")
    exact, difference = directional(lambda x: tf.reduce_sum(tf.nn.softplus(norm(x) * weighting)), x, direction)
    assert float(tf.norm(exact - difference) / tf.norm(difference)) < 1e-6


@pytest.mark.parametrize("strides", (1, 2))
def test_pools(strides):
    """Windows around every pixel (every second one) that end where the image ends."""
    x = images(2, 5, 6, 3)
    for pool, reduce in ((max_pool, np.max), (average_pool, np.mean)):
        want = np.stack(
            [
                np.stack([reduce(x[:, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2], (1, 2)) for j in range(6)], 1)
                for i in range(5)
            ],
            1,
        )[:, ::strides, ::strides]
        for training in (False, True):
            np.testing.assert_allclose(pool(tf.constant(x), strides, training), want, atol=1e-6)


def test_second_derivative_of_max_pooling_reads_the_pixels_of_the_first():
    """A pooled image, pooled again, has ties. y = x[index] is linear in x: with loss sum(exp(y)) the Hessian
    is J' exp(y) J for the same 0-1 matrix J that the first derivative has."""
    x = tf.constant(images(1, 5, 5, 1, dtype="float64"))
    once = tf.reshape(max_pool(x), x.shape)
    assert len(np.unique(once)) < 25  # so there are ties
    pool = lambda x: tf.reshape(max_pool(tf.reshape(x, (1, 5, 5, 1)), training=True), (-1,))  # noqa: E731
    flat = tf.reshape(once, (-1,))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(flat)
        y = pool(flat)
    jacobian = tape.jacobian(y, flat, experimental_use_pfor=False).numpy()
    np.testing.assert_array_equal(jacobian.sum(1), 1.0)
    np.testing.assert_array_equal(jacobian @ flat.numpy(), y)
    direction = tf.constant(images(25, seed=1, dtype="float64"))
    with tf.GradientTape() as outer:
        outer.watch(flat)
        with tf.GradientTape() as inner:
            inner.watch(flat)
            loss = tf.reduce_sum(tf.exp(pool(flat)))
        product = tf.reduce_sum(inner.gradient(loss, flat) * direction)
    want = jacobian.T @ (np.exp(y) * (jacobian @ direction.numpy()))
    np.testing.assert_allclose(outer.gradient(product, flat), want, rtol=1e-12)
