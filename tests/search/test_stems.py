"""Supernets with the ImageNet stem, and with learned gamma and beta."""

import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

SPACE = kp.spaces.SearchSpace("few", ("skip_connect", "avg_pool_3x3", "dil_conv_3x3"), pool_norm=True)


@pytest.fixture(name="eagerly")
def run_eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def weights_of(model):
    return sum(int(np.prod(variable.shape)) for variable in model.network.trainable_variables)


@pytest.mark.parametrize("shape", [(64, 64, 3), (70, 65, 1)])
def test_the_imagenet_stem(shape, eagerly):
    """Cell 0 reads both stems, the first at twice the side of the second; three cells of 4, 8, 16 channels.

    Stems: 3x3 to 2, 3x3 to 4, 3x3 to 4, each with BN. Preprocessing of cell 0: both from 4 channels.
    """
    model = kp.Supernet(SPACE, shape, 3, channels=4, layers=3, nodes=1, order=1, seed=0, stem="imagenet")
    stems = 9 * shape[2] * 2 + 4 + 9 * 2 * 4 + 8 + 9 * 4 * 4 + 8
    own = [v for stem in (model.network.stem, *model.network.further_stems) for v in stem.trainable_variables]
    assert sum(int(np.prod(v.shape)) for v in own) == stems
    first = model.network.cells[0]
    assert type(first.preprocess_0).__name__ == "FactorizedReduce" and first.plan.in_channels_prev == 4
    # Each cell of one node has two edges with a dilated convolution, 9 C + C^2; reductions also with two skips, C^2.
    cells = sum(2 * (9 * c + c * c) + (c > 4) * 2 * c * c for c in (4, 8, 16))
    preprocessing = 2 * 4 * 4 + 2 * 4 * 8 + (4 + 8) * 16
    assert weights_of(model) == stems + cells + preprocessing + 16 * 3 + 3
    sides = kp.costs.sides([cell.plan for cell in model.network.cells], shape, "imagenet")
    quarter, eighth = (tuple(-(-side // n) for side in shape[:2]) for n in (4, 8))
    assert sides[0] == (quarter, eighth, eighth)
    batch = np.random.default_rng(0).normal(size=(2, *shape)).astype("float32"), np.arange(2)
    model.compile(engine="plain")
    gradient = model._alpha_gradients(batch, batch)
    assert all(np.abs(part).max() > 0 for part in gradient)


def test_the_expected_cost_of_its_network():
    cells = kp.methods.cells_of(SPACE, 2)
    rows = [np.random.default_rng(i).integers(0, 3, 5) for i in range(2)]
    arch = [{"alpha": tf.constant(1e3 * np.eye(3)[row], "float32")} for row in rows]
    shape = {"input_shape": (64, 72, 3), "num_classes": 3, "stem": "imagenet"}
    scores = [kp.methods.Softmax().scores(a, cell).numpy() for a, cell in zip(arch, cells, strict=True)]
    genotype = kp.methods.TopEdges()(scores, SPACE, 2)
    count = kp.analysis.complexity(kp.build_network(genotype, channels=4, layers=4, **shape))
    for unit in ("params", "macs"):
        penalty = kp.methods.ExpectedCost(unit, channels=4, layers=4).bind(cells=cells, **shape)
        assert float(penalty.expected(kp.methods.Softmax(), arch, ((), ()), 0.0, cells)) == getattr(count, unit)


def test_learned_gamma_and_beta(eagerly):
    """2 C a dilated convolution and a skip of stride 2; pools and preprocessing stay without, as in PIBConv's code."""
    settings = {"input_shape": (8, 8, 3), "num_classes": 3, "channels": 4, "layers": 4, "nodes": 1, "order": 1}
    plain, learned = (kp.Supernet(SPACE, seed=0, learnable_bn=on, **settings) for on in (False, True))
    # Cells of 4 (normal), 8, 16 (reductions, 4 // 3 and 8 // 3) and 16 (normal) channels, two edges each.
    assert weights_of(learned) - weights_of(plain) == 2 * 2 * (4 + 8 + 16 + 16) + 2 * 2 * (8 + 16)
    names = [v.name for cell in learned.network.cells for bundle in cell.bundles for v in bundle.trainable_variables]
    assert names.count("gamma") == names.count("beta") == 12  # two bundles a cell: 2 ops of each in a reduction, else 1
    batch = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32"), np.arange(2)
    np.testing.assert_allclose(learned(batch[0]), learned(batch[0]))
    learned.compile(kp.optimizers.SGD(0.1), engine="plain")
    gradient = learned.weight_gradient(batch).value
    norms = [g for g, v in zip(gradient, learned.network.trainable_variables, strict=True) if v.name == "gamma"]
    assert norms and all(np.abs(g).max() > 0 for g in norms)


def test_small_images():
    with pytest.raises(ValueError, match="at least 64 pixels"):
        kp.Supernet(SPACE, (32, 32, 3), 3, channels=4, layers=3, nodes=1, stem="imagenet")
