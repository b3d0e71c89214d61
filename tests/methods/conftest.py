"""Cells, architectures and derivatives that tests of methods share."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

PRIMITIVES = ("none", "skip_connect", "sep_conv_3x3")
NODES = 2


def cell_of(kind="normal", primitives=PRIMITIVES, nodes=NODES, mask=None):
    return kp.methods.CellSpec(kind, nodes, primitives, mask)


def arch_of(relaxation, cell, seed=0, dtype="float64", scale=1.0):
    """Random values for each variable of a relaxation; theta of a simplex on it."""
    generator = np.random.default_rng(seed)
    values = {name: scale * generator.normal(size=shape) for name, (shape, _) in relaxation.variables(cell).items()}
    if relaxation.optimizer() is not None:
        theta = np.exp(values["alpha"]) * cell.allowed
        values["alpha"] = theta / np.maximum(theta.sum(-1, keepdims=True), 1e-9)
    return {name: tf.constant(value, dtype) for name, value in values.items()}


def central_differences(function, arch, step=1e-6):
    """{name: d function / d value}, an entry at a time, in float64. function: arch -> scalar."""
    found = {}
    for name, tensor in arch.items():
        value, slope = tensor.numpy(), np.zeros(tensor.shape)
        for place in np.ndindex(*value.shape):
            ends = []
            for sign in (1, -1):
                moved = value.copy()
                moved[place] += sign * step
                ends.append(float(function(arch | {name: tf.constant(moved)})))
            slope[place] = (ends[0] - ends[1]) / (2 * step)
        found[name] = slope
    return found


def gradients(function, arch):
    """{name: gradient} of a scalar function of arch; 0 where it does not depend on one."""
    with tf.GradientTape() as tape:
        tape.watch(arch)
        value = function(arch)
    found = tape.gradient(value, arch, unconnected_gradients="zero")
    return {name: gradient.numpy() for name, gradient in found.items()}


@pytest.fixture(name="registered")
def copied_methods(monkeypatch):
    """Lets a test register methods that are gone after it."""
    from keras_pibnas.methods import catalog

    monkeypatch.setattr(catalog, "_METHODS", dict(catalog._METHODS))
