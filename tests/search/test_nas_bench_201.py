"""Supernets whose cells are NAS-Bench-201's, and cells that leave in other ways (arXiv:2001.00326)."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

SPACE = kp.spaces.get("nas_bench_201")
CELL = kp.methods.cells_of(SPACE)[0]
NAMES = [name for name in kp.methods.names() if not kp.methods.get(name).stages]


def batch(seed):
    return np.random.default_rng(seed).normal(size=(2, 8, 8, 3)).astype("float32"), np.arange(2) % 3


@pytest.fixture(name="eagerly")
def run_eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def supernet(space="nas_bench_201", engine="plain", **kwargs):
    settings = {"input_shape": (8, 8, 3), "num_classes": 3, "channels": 4, "layers": 3, "order": 1, "seed": 0}
    model = kp.Supernet(space, **settings | kwargs)
    model.compile(kp.optimizers.SGD(0.1), engine=engine)
    return model


def weights_of(model):
    return sum(int(np.prod(variable.shape)) for variable in model.network.trainable_variables)


def cell_weights(channels):
    """6 edges with a 3x3 and a 1x1 convolution, each with a bias, and BN without gamma and beta."""
    return 6 * (9 * channels**2 + channels + channels**2 + channels)


def block_weights(inputs, outputs):
    """Two 3x3 convolutions with BN, and a 1x1 without."""
    return 9 * inputs * outputs + 2 * outputs + 9 * outputs**2 + 2 * outputs + inputs * outputs


def test_weights():
    """Layers 5: a cell, a block to 8, a cell, a block to 16, a cell; stem and last BN have gamma and beta."""
    model = supernet(layers=5)
    ends = 27 * 4 + 8 + 2 * 16 + 16 * 3 + 3
    cells = cell_weights(4) + cell_weights(8) + cell_weights(16)
    assert weights_of(model) == ends + cells + block_weights(4, 8) + block_weights(8, 16)
    assert [type(cell).__name__ for cell in model.network.cells] == ["RelaxedCell", "ResidualBlock"] * 2 + [
        "RelaxedCell"
    ]
    learnable = supernet(layers=5, learnable_bn=True)  # gamma and beta for the biases
    assert weights_of(learnable) == weights_of(model) + 6 * 2 * (4 + 8 + 16)
    assert [alpha.shape for alpha in model.alphas] == [(6, 5)]


@pytest.mark.slow
def test_the_published_size():
    """17 layers, 16 channels: 5 cells each of 16, 32 and 64 channels."""
    model = kp.Supernet("nas_bench_201")
    cells = 5 * (cell_weights(16) + cell_weights(32) + cell_weights(64))
    blocks = block_weights(16, 32) + block_weights(32, 64)
    assert weights_of(model) == 27 * 16 + 32 + cells + blocks + 128 + 650 == 1692826
    assert model.settings["layers"] == 17 and model.settings["nodes"] == 3


@pytest.mark.parametrize("name", NAMES)
def test_every_method(name, eagerly):
    """A step moves the alphas (none are learned in random_sharing), and what is derived is one of the 15,625 cells."""
    model = supernet(method=name, channels=2 * kp.methods.get(name).partial if name in ("pc_darts", "drnas") else 4)
    model.progress.assign(0.5)
    before = [np.asarray(variable) for variable in (*model.architecture, *model.network.trainable_variables)]
    model.train_step((batch(0), batch(1)))
    after = [np.asarray(variable) for variable in (*model.architecture, *model.network.trainable_variables)]
    moved = [np.abs(new - old).max() > 0 for new, old in zip(after, before, strict=True)]
    assert all(np.isfinite(value).all() for value in after) and all(moved[len(model.architecture) :])
    assert name == "random_sharing" or all(moved[: len(model.architecture)])
    genotype = model.genotype()
    assert genotype == kp.Genotype.parse(genotype.to_string()) and genotype.topology == SPACE.topology
    mix = model.relaxed.genotype_mix(genotype, 0.0, "float32")[0].numpy()[:, : len(SPACE.primitives)]
    ops = [op for node in genotype.cell("normal").nodes for op, _ in node]
    assert [SPACE.primitives[row.argmax()] if row.any() else "none" for row in mix] == ops


def test_the_genotype_is_the_best_op_of_every_edge(eagerly):
    """`none` too. A supernet under its one-hot op weights computes what its cell's text says, as the network does."""
    model = supernet()
    text = "|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    ops = [1, 4, 1, 0, 1, 1]
    model.alphas[0].assign(np.eye(5)[ops])
    assert model.genotype().to_string() == text
    cell = model.network.cells[0]
    from keras_pibnas.search.cell import bundle_weights

    x = tf.random.stateless_normal((2, 8, 8, 4), (0, 0))
    found = cell((x,), mix=bundle_weights(tf.constant(np.eye(5, dtype="float32")[ops]), cell.edges))
    mean = keras.ops.average_pool(x, 3, 1, "same", data_format="channels_last")
    np.testing.assert_allclose(found, 2 * np.asarray(x) + np.asarray(mean), rtol=1e-5, atol=1e-5)
    kp.build_network(model.genotype(), (8, 8, 3), 3, channels=4, layers=3)


def test_expected_cost_is_the_closed_form():
    """73,306 + 243,040 k3 + 28,000 k1 parameters; 7,783,050 - 10 + 35,389,440 k3 + 3,932,160 k1 MACs."""
    shape = {"input_shape": (32, 32, 3), "num_classes": 10, "stem": "conv3x3"}
    forms = {"params": (73306, 243040, 28000), "macs": (7783040, 35389440, 3932160)}
    for unit, (fixed, k3, k1) in forms.items():
        penalty = kp.methods.ExpectedCost(unit, channels=16, layers=17).bind(cells=(CELL,), **shape)
        assert (penalty.prices.least, penalty.prices.most) == (fixed, fixed + 6 * k3)
        for seed in range(3):
            op = np.random.default_rng(seed).integers(0, 5, 6)
            arch = [{"alpha": tf.constant(1e3 * np.eye(5)[op], "float32")}]
            found = penalty.expected(kp.methods.Softmax(), arch, ((),), 0.0, (CELL,))
            assert float(found) == fixed + k3 * (op == 3).sum() + k1 * (op == 2).sum()


def test_samples_and_the_size_of_the_space():
    assert kp.analysis.space_size("nas_bench_201") == {"cells, all edges": 15625}
    assert kp.analysis.space_size("nas_bench_201", 1) == {"cells, all edges": 5}
    drawn = {genotype.to_string() for genotype in kp.methods.sample_genotypes((CELL,), 200, seed=0)}
    assert len(drawn) > 190 and any("none" in text for text in drawn)


def test_save_and_load(tmp_path, eagerly):
    model = supernet(learnable_bn=True)
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    assert again.space == SPACE and again.settings == model.settings
    np.testing.assert_array_equal(again(batch(0)[0]), model(batch(0)[0]))


@pytest.mark.slow
def test_both_engines_give_the_same_exact_second_order():
    gradients, model = [], supernet(order=2)
    for engine in ("plain", "tensorflow"):
        model.compile(kp.optimizers.SGD(0.1), engine=engine)
        gradients.append(model.alpha_gradients(batch(0), batch(1))[0].numpy())
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(("output", "width"), [("sum", 1), ("mean", 1), ("last", 1), ("concatenate", 2)])
def test_other_ways_to_leave_a_cell(output, width, eagerly):
    """Of two nodes, against the states that the cell's bundles give; a network of the genotype can be built."""
    space = kp.spaces.SearchSpace("two", ("none", "skip_connect"), topology=kp.topology.Topology(2, 2, 2, output))
    model = supernet(space, layers=4)
    cell = model.network.cells[0]
    x = [tf.random.stateless_normal((1, 8, 8, 12), (0, i)) for i in range(2)]
    from keras_pibnas.search.cell import bundle_weights

    found = cell(tuple(x), mix=bundle_weights(tf.constant([[0.0, 1.0]] * 5), cell.edges))
    a, b = np.asarray(cell.preprocess_0(x[0])), np.asarray(cell.preprocess_1(x[1]))
    nodes = [a + b, 2 * (a + b)]
    want = {"sum": sum(nodes), "mean": sum(nodes) / 2, "last": nodes[1], "concatenate": np.concatenate(nodes, -1)}
    np.testing.assert_allclose(found, want[output], rtol=1e-5, atol=1e-5)
    assert found.shape == cell.compute_output_shape([y.shape for y in x]) == (1, 8, 8, 4 * width)
    for alpha in model.alphas:
        alpha.assign([[0.0, 1e3]] * 5)
    genotype = model.genotype()
    assert genotype.output == output
    network = kp.build_network(genotype, (8, 8, 3), 3, channels=4, layers=4)
    shape = {"input_shape": (8, 8, 3), "num_classes": 3, "stem": "conv3x3"}
    penalty = kp.methods.ExpectedCost("params", channels=4, layers=4).bind(cells=model.relaxed.cells, **shape)
    arch = model.relaxed.by_cell([tf.constant(np.asarray(alpha)) for alpha in model.alphas])
    expected = penalty.expected(kp.methods.Softmax(), arch, ((), ()), 0.0, model.relaxed.cells)
    if output != "last":  # whose networks leave out what the last node does not read
        assert float(expected) == kp.analysis.complexity(network).params


def test_three_edges_a_node_and_one():
    """A topology that keeps three edges: a node of two inputs lists two of them, the next three."""
    space = kp.spaces.SearchSpace("three", ("skip_connect", "none"), topology=kp.topology.Topology(2, 2, 3))
    scores = [np.array([[0.1, 0], [0.2, 0], [0.5, 0], [0.4, 0], [0.3, 0]])] * 2
    genotype = kp.methods.TopEdges()(scores, space, 2)
    assert genotype.normal == tuple(("skip_connect", source) for source in (1, 0, 0, 1, 2))
    assert genotype.normal_edges == (2, 3)
    single = kp.spaces.SearchSpace("one", ("skip_connect",), topology=kp.topology.Topology(2, 1, 1))
    assert kp.methods.TopEdges()([[[0.1], [0.2]]] * 2, single, 1).normal == (("skip_connect", 1),)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"stem": "patchify"}, "stem conv3x3. Received: stem='patchify'"),
        ({"layers": 2}, "at least 3 layers"),
        ({"space": kp.spaces.SearchSpace("wide", ("skip_connect",), topology=kp.topology.Topology(1, 2))},
         "Received: output='concatenate'"),
        ({"space": kp.spaces.SearchSpace("deep", ("skip_connect",), topology=kp.topology.Topology(3, 2))},
         "one or two cells before them. Received: inputs=3"),
        ({"learnable_bn": 1}, "learnable_bn must be True or False"),
    ],
)  # fmt: skip
def test_wrong_supernets(arguments, message):
    with pytest.raises(ValueError, match=message):
        supernet(**arguments)
