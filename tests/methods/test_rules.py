"""The rules that hold for every method (those that can be seen without a supernet)."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

from .conftest import PRIMITIVES, arch_of, cell_of, central_differences, gradients

KINDS = ("normal", "reduce")


def relaxation_of(name):
    return kp.methods.get(name).relaxation


def mixed(name, arch, cell, progress=0.5, seed=(3, 11, kp.methods.ALPHA_STEP)):
    relaxation = relaxation_of(name)
    return relaxation.mix(arch, relaxation.noise(cell, seed), progress, cell)


@pytest.fixture(params=kp.methods.names(), name="name")
def every_method(request):
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_mix_is_a_function_of_arch_noise_and_progress(name, kind):
    """Rule 1: the same noise gives the same mix, in a graph with a progress that is a tensor too."""
    relaxation, cell = relaxation_of(name), cell_of(kind)
    arch, noise = arch_of(relaxation, cell), relaxation.noise(cell, (3, 11, 0))
    first = relaxation.mix(arch, noise, 0.25, cell).numpy()
    traces = []

    @tf.function
    def graph(arch, noise, progress):
        traces.append(1)
        return relaxation.mix(arch, noise, progress, cell)

    np.testing.assert_allclose(graph(arch, noise, tf.constant(0.25)), first, rtol=1e-6)
    later = relaxation.mix(arch, noise, 0.75, cell)
    np.testing.assert_allclose(graph(arch, noise, tf.constant(0.75)), later, rtol=1e-6)
    assert len(traces) == 1 and first.dtype == "float64"


def test_noise_comes_from_seed_step_and_use(name):
    """Rule 2: the same three numbers, as integers or tensors, give the same noise; another one gives another."""
    relaxation, cell = relaxation_of(name), cell_of()
    draw = lambda *seed, cell=cell: [n.numpy() for n in tf.nest.flatten(relaxation.noise(cell, seed))]  # noqa: E731
    once = draw(3, 11, 0)
    for twin in (draw(3, 11, 0), draw(tf.constant(3), tf.constant(11, "int64"), 0)):
        assert all(np.array_equal(a, b) for a, b in zip(once, twin, strict=True))
    others = [draw(4, 11, 0), draw(3, 12, 0), draw(3, 11, 1), draw(3, 11, 0, cell=cell_of("reduce"))]
    assert all(not np.array_equal(a, b) for other in others for a, b in zip(once, other, strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_by_arch_against_differences_with_noise_held(name, kind):
    relaxation, cell = relaxation_of(name), cell_of(kind)
    arch = arch_of(relaxation, cell, seed=1)
    noise = relaxation.noise(cell, (5, 2, 0))
    weights = np.random.default_rng(2).normal(size=cell.shape)
    function = lambda arch: tf.reduce_sum(relaxation.mix(arch, noise, 0.5, cell) * weights)  # noqa: E731
    found, want = gradients(function, arch), central_differences(function, arch)
    if name == "gdas":  # straight through: the gradient is that of z, the mix without `hard`
        soft = kp.methods.Gumbel(relaxation.temperature)
        smooth = lambda arch: tf.reduce_sum(soft.mix(arch, noise, 0.5, cell) * weights)  # noqa: E731
        want = central_differences(smooth, arch)
    for key in arch:
        np.testing.assert_allclose(found[key], want[key], rtol=1e-6, atol=1e-8)
    assert name == "random_sharing" or any(np.abs(value).max() > 1e-3 for value in found.values())


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_masked_is_nothing_in_mix_and_is_never_derived(name, kind):
    """Rule 5. The mask leaves row 0 nothing, row 1 no convolution, and row 3 no skip connection."""
    mask = np.ones((5, 3), bool)
    mask[0], mask[1, 2], mask[3, 1] = False, False, False
    method, cells = kp.methods.get(name), [cell_of(kind, mask=mask) for kind in KINDS]
    relaxation = method.relaxation
    tables = []
    for step in range(5):
        for cell in cells:
            arch = arch_of(relaxation, cell, seed=step)
            for noise in (relaxation.noise(cell, (0, step, 0)), ()):
                mix = relaxation.mix(arch, noise, 0.9, cell).numpy()
                assert not mix[~mask].any() and np.isfinite(mix).all()
            scores = relaxation.scores(arch, cell).numpy()
            assert not scores[~mask].any()
            tables.append(scores)
        derived = method.discretization(tables[-2:], kp.spaces.SearchSpace("three", PRIMITIVES), 2)
        for pairs in (derived.normal, derived.reduce):
            for index, (op, source) in enumerate(pairs):
                row = source + (2 if index > 1 else 0)
                assert op == "none" or mask[row, PRIMITIVES.index(op)]
    slopes = gradients(lambda arch: tf.reduce_sum(relaxation.mix(arch, (), 0.5, cells[0]) ** 2), arch)
    assert all(np.isfinite(slope).all() for slope in slopes.values())


@pytest.mark.parametrize("kind", KINDS)
def test_mix_and_scores_rank_alike_without_noise(name, kind):
    """Rule 7, at the end of the search: until then DARTS- favours its own skip connection."""
    relaxation, cell = relaxation_of(name), cell_of(kind)
    arch = arch_of(relaxation, cell, seed=4)
    mix = relaxation.mix(arch, (), 1.0, cell).numpy()
    scores = relaxation.scores(arch, cell).numpy()
    for row_mix, row_scores in zip(mix, scores, strict=True):
        order = np.argsort(-row_scores, kind="stable")
        assert (np.diff(row_mix[order]) <= 1e-12).all()
    assert name == "random_sharing" or mix.std() > 0.01


def test_penalties_do_not_see_noise_or_network(name):
    """Rule 4: they are functions of arch; where they use a mix, of the noise they are given."""
    method, cells = kp.methods.get(name), [cell_of(kind) for kind in KINDS]
    method = method.bind(cells=cells, input_shape=(8, 8, 3), num_classes=10, stem="conv3x3")
    arch = [arch_of(method.relaxation, cell, seed=index) for index, cell in enumerate(cells)]
    for penalty in method.penalties:
        value = penalty(method.relaxation, arch, ((), ()), 0.5, cells)
        assert value.shape == () and value.dtype == "float64" and np.isfinite(value)
        for index, cell in enumerate(cells):
            alone = lambda own, i=index, penalty=penalty: penalty(  # noqa: E731
                method.relaxation, [own if j == i else arch[j] for j in range(2)], ((), ()), 0.5, cells
            )
            found, want = gradients(alone, arch[index]), central_differences(alone, arch[index], 1e-5)
            for key in found:
                np.testing.assert_allclose(found[key], want[key], rtol=1e-5, atol=1e-7, err_msg=cell.kind)
    assert bool(method.penalties) == (name in ("snas", "drnas", "fair_darts", "beta_darts"))


def test_methods_are_saved_as_json(name):
    method = kp.methods.get(name)
    text = json.dumps(keras.saving.serialize_keras_object(method))
    assert keras.saving.deserialize_keras_object(json.loads(text)) == method


def test_float32_gives_what_float64_gives(name):
    """Nothing is cast to float32, and the noise is the same."""
    relaxation, cell = relaxation_of(name), cell_of()
    arch = arch_of(relaxation, cell)
    single = {key: tf.cast(value, "float32") for key, value in arch.items()}
    wide, narrow = mixed(name, arch, cell), mixed(name, single, cell)
    assert (wide.dtype, narrow.dtype) == ("float64", "float32")
    np.testing.assert_allclose(wide, narrow, atol=2e-6)


def test_variables_have_shapes_and_initializers(name):
    relaxation, cell = relaxation_of(name), cell_of(nodes=4)
    variables = relaxation.variables(cell)
    assert variables["alpha"][0] == (14, 3)
    assert variables.get("beta", ((14,),))[0] == (14,)
    for shape, initializer in variables.values():
        first, second = (kp.methods.seeded(initializer, 5)(shape) for _ in range(2))
        np.testing.assert_array_equal(first, second)


def test_the_seed_is_folded_injectively():
    seeds = {
        tuple(kp.methods.fold_seed((seed, step, use), kind).numpy())
        for seed in range(3) for step in range(9) for use in range(8) for kind in KINDS
    }  # fmt: skip
    assert len(seeds) == 3 * 9 * 8 * 2
    assert list(kp.methods.fold_seed((2**31 + 5, 10, 1), "reduce").numpy()) == [5, (10 * 8 + 1) * 2 + 1]
