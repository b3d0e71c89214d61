"""Fused forms of ops and bundles against the layers' own `call`."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp
from keras_pibnas import layers
from keras_pibnas.engine.tensorflow import forms
from keras_pibnas.search import cell, mixed

# One op for every entry of the table, its name in a space.
OPS = {
    "layers.SepConv": "sep_conv_5x5",
    "layers.DilConv": "dil_conv_3x3",
    "layers.Conv7x1_1x7": "conv_7x1_1x7",
    "layers.Conv3x1_1x3": "conv_3x1_1x3",
    "layers.FactorizedReduce": "skip_connect",
    "layers.PIBConv": "pib_conv_3x3",
    "layers.PIBConvTable": "pib_conv_table_3x3",
    "layers.SepConvGELU": "sep_conv_gelu_3x3",
    "layers.Identity": "skip_connect",
    "layers.MaxPool": "max_pool_3x3",
    "layers.AveragePool": "avg_pool_3x3",
}
WITHOUT = ("nor_conv_3x3", "invo_3x3", "linear", "none")  # run plainly, beside others
BRANCHES, CHANNELS = 3, 4


def test_every_entry_is_of_a_class_and_tried_here():
    assert {*OPS, "layers.DroppedIdentity"} == set(forms.OPS)  # that one: tests/search/test_stages.py
    assert all(issubclass(getattr(layers, name.removeprefix("layers.")), layers.Op) for name in OPS)
    assert set(forms.BUNDLES) == {"search.MixedBundle", "search.Preprocessing"}
    assert forms.BUNDLES["search.MixedBundle"] is forms.MixedBundle and mixed.MixedBundle and cell.Preprocessing


def test_what_is_derived_from_an_op_runs_plainly():
    """Its `call` may be another one; also where its name is that of a class in the table."""
    mine = type("SepConv", (layers.SepConv,), {})
    assert forms.op_form(layers.SepConv(4)) and forms.op_form(mine(4)) is None
    assert forms.form_of(layers.SepConv(4)) is forms.form_of(keras.layers.Dense(3)) is None


def bundle(names, strides, sides, dtype="float32", **kwargs):
    """A bundle, every weight and moving statistic at random, and its op weights."""
    space = kp.spaces.SearchSpace("formed", tuple(names), **kwargs)
    computed = {column: name for column, name in enumerate(names) if name != "none"}
    layer = mixed.MixedBundle(space, computed, CHANNELS, strides, BRANCHES, dtype=dtype)
    layer.build((None, *sides, CHANNELS))
    generator = np.random.default_rng(2)
    for weight in layer.weights:
        low, high = (-0.5, 0.5) if len(weight.shape) == 4 else (0.5, 1.5)
        weight.assign(generator.uniform(low, high, weight.shape))
    return layer, tf.constant(generator.uniform(0.5, 1.5, (BRANCHES, len(names))), "float32")


def outcome(call, layer, x, weights):
    """In training: values; gradients by x, op weights, kernels; second derivatives by the former; moved statistics."""
    state = [variable.numpy() for variable in layer.non_trainable_variables]
    sources = [x, weights, *(variable.value for variable in layer.trainable_variables)]
    with tf.GradientTape() as outer:
        outer.watch(sources)
        with tf.GradientTape() as inner:
            inner.watch(sources)
            outputs = call(x, weights=weights, training=True)
            loss = tf.add_n([tf.reduce_sum(tf.sin(tf.cast(y, weights.dtype))) for y in outputs])
        first = inner.gradient(loss, sources, unconnected_gradients="zero")
        slope = tf.add_n([tf.reduce_sum(tf.cos(2.0 * tf.cast(g, weights.dtype))) for g in first])
    second = outer.gradient(slope, sources[:2], unconnected_gradients="zero")
    moved = [variable.numpy() for variable in layer.non_trainable_variables]
    for variable, value in zip(layer.non_trainable_variables, state, strict=True):
        variable.assign(value)
    return [np.asarray(tf.cast(value, "float32")) for value in [*outputs, *first, *second, *moved]]


def assert_alike(layer, x, weights, tolerance):
    form = forms.form_of(layer)
    inference = [[np.asarray(y) for y in call(x, weights=weights, training=False)] for call in (form, layer)]
    training = [outcome(call, layer, x, weights) for call in (form, layer)]
    for got, want in (inference, training):
        for one, other in zip(got, want, strict=True):
            assert np.linalg.norm(one - other) <= tolerance * (np.linalg.norm(other) + 1e-2)


def images(sides, dtype="float32"):
    return tf.constant(np.random.default_rng(0).normal(size=(2, *sides, CHANNELS)), dtype)


@pytest.mark.parametrize("name", sorted(set(OPS.values())))
@pytest.mark.parametrize("strides", (1, 2))
def test_bundles_of_one_op(name, strides):
    """Odd sides; float64, so that no ReLU falls on its other side."""
    layer, weights = bundle([name], strides, (7, 5), "float64", pool_norm=True)
    assert_alike(layer, images((7, 5), "float64"), tf.cast(weights, "float64"), 1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), (("float64", 1e-8), ("float32", 2e-2)))
@pytest.mark.parametrize("strides", (1, 2))
def test_bundles_of_many_ops(strides, dtype, tolerance):
    """Where ReLU, copies and what has no kernels are shared; with and without oneDNN's kernels."""
    layer, weights = bundle([*OPS.values(), *WITHOUT], strides, (6, 6), dtype, pool_norm=strides == 1)
    assert not forms.form_of(layer).dynamic
    assert_alike(layer, images((6, 6), dtype), tf.cast(weights, dtype), tolerance)


@pytest.mark.parametrize("policy", ("mixed_float16", "mixed_bfloat16"))
def test_low_precision(policy):
    """Op weights stay float32 on the way into both."""
    layer, weights = bundle(OPS.values(), 1, (6, 6), policy)
    x = tf.cast(images((6, 6)), layer.compute_dtype)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(weights)
        plain, fused = (call(x, weights=weights, training=True) for call in (layer, forms.form_of(layer)))
        losses = [tf.reduce_sum(tf.sin(tf.cast(tf.concat(y, -1), "float32"))) for y in (plain, fused)]
    assert plain[0].dtype == fused[0].dtype == x.dtype
    assert tf.norm(tf.cast(plain[0] - fused[0], "float32")) < 0.03 * tf.norm(tf.cast(plain[0], "float32"))
    for gradient in (tape.gradient(loss, weights) for loss in losses):
        assert gradient.dtype == "float32" and np.isfinite(gradient).all()


def test_forms_know_one_another_by_what_they_compute():
    """Bundles with as many arguments of the same kinds, but other ops, share no trace."""
    kinds = [
        forms.form_of(bundle(names, strides, (6, 6))[0]).kind
        for names, strides in (
            (("max_pool_3x3",), 1), (("avg_pool_3x3",), 1), (("max_pool_3x3",), 2), (("none", "max_pool_3x3"), 1),
            (("dil_conv_3x3",), 1), (("dil_conv_5x5",), 1),
        )
    ]  # fmt: skip
    assert len(set(kinds)) == len(kinds)
    assert kinds[0] == forms.form_of(bundle(("max_pool_3x3",), 1, (8, 8))[0]).kind
