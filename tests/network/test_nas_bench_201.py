"""NAS-Bench-201's networks, against closed forms (arXiv:2001.00326, section 2)."""

import keras
import numpy as np
import pytest

import keras_pibnas as kp

CELLS = {
    # The benchmark's best cells, all of one kind, and one with everything.
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|": (5, 0, 0),
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|": (0, 2, 1),
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|": (6, 0, 0),
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|": (0, 0, 0),
    "|skip_connect~0|+|avg_pool_3x3~0|none~1|+|nor_conv_1x1~0|nor_conv_3x3~1|avg_pool_3x3~2|": (1, 1, 2),
}
FIRST = next(iter(CELLS))


@pytest.mark.parametrize(("text", "classes"), [*((text, 10) for text in CELLS), (FIRST, 100), (FIRST, 120)])
def test_parameters_and_macs(text, classes, shapes_alone):
    """15 cells: 5 of 16 channels at 32 x 32, 5 of 32 at 16 x 16, 5 of 64 at 8 x 8."""
    k3, k1, pools = CELLS[text]
    model = kp.build_network(kp.Genotype.parse(text), num_classes=classes, channels=16, layers=17)
    counted = kp.analysis.complexity(model)
    linear = 64 * (classes - 10)
    assert counted.params == 73306 + 243040 * k3 + 28000 * k1 + linear + (classes - 10)
    assert counted.macs == 7783050 - 10 + 35389440 * k3 + 3932160 * k1 + linear
    assert counted.ptflops_macs - counted.macs == 159744 + 10 + 430080 * (k3 + k1) + 143360 * pools + classes - 10


@pytest.mark.parametrize("text", CELLS)
def test_the_text_comes_back(text):
    genotype = kp.Genotype.parse(f"arch: {text} (best)")
    assert genotype.to_string() == text
    assert kp.Genotype.from_json(genotype.to_json()) == genotype
    assert genotype.cell("normal").concat == (3,) and genotype.nodes == 3 and genotype.reduce == ()
    assert genotype.topology == kp.topology.Topology(inputs=1, nodes=3, keep=None, output="last")


def test_blocks_stand_at_five_and_eleven(tmp_path):
    model = kp.build_network(kp.Genotype.parse(FIRST), channels=4, layers=17, input_shape=(16, 16, 3))
    blocks = [layer.name for layer in model.layers if isinstance(layer, kp.layers.ResidualBlock)]
    assert blocks == ["cell_5", "cell_11"]
    shapes = [model.get_layer(f"cell_{i}").output.shape[1:] for i in (4, 5, 10, 11, 16)]
    assert shapes == [(16, 16, 4), (8, 8, 8), (8, 8, 8), (4, 4, 16), (4, 4, 16)]
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 16, 16, 3)).astype("float32")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(x), model(x))


def test_a_cell_computes_what_its_text_says():
    """Node 1 is a skip of the input, node 2 an average plus a skip of node 1, node 3 the sum of nodes 1 and 2."""
    text = "|skip_connect~0|+|avg_pool_3x3~0|skip_connect~1|+|none~0|skip_connect~1|skip_connect~2|"
    model = kp.build_network(kp.Genotype.parse(text), (8, 8, 3), channels=4, layers=3)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    given, got = keras.Model(model.input, [model.get_layer(name).output for name in ("stem", "cell_0")])(x)
    mean = keras.ops.average_pool(given, 3, 1, "same", data_format="channels_last")
    np.testing.assert_allclose(got, 2 * np.asarray(given) + np.asarray(mean), rtol=1e-5, atol=1e-5)


def test_a_residual_block():
    block = kp.layers.ResidualBlock(6)
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype("float32")
    y = block(x)
    assert y.shape == block.compute_output_shape(x.shape) == (2, 4, 4, 6)
    block.conv_2.batch_norm.gamma.assign(np.zeros(6))  # leaves the shortcut
    pooled = x[:, :6].reshape(2, 3, 2, 4, 2, 3).mean((2, 4))
    np.testing.assert_allclose(np.asarray(block(x))[:, :3], pooled @ block.shortcut.numpy()[0, 0], rtol=1e-4, atol=1e-5)


def test_auxiliary_head_and_drop_path():
    model = kp.build_network(
        kp.Genotype.parse(FIRST), num_classes=5, channels=2, layers=17, auxiliary=True, drop_path=0.1
    )
    outputs = model(np.zeros((2, 32, 32, 3), "float32"))
    assert {name: value.shape for name, value in outputs.items()} == {"logits": (2, 5), "auxiliary": (2, 5)}
    # Edges that drop: 5 convolutions in each of 15 cells, and no identity.
    assert sum(isinstance(layer, kp.layers.DropPath) for layer in model.layers) == 75


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "|nor_conv_3x3~0|+|none~0|skip_connect~2|",
            r"normal\[2\] = \('skip_connect', 2\): node 1 can read states 0 to 1",
        ),
        (FIRST + "\n" + FIRST, "holds 2"),
        ("|conv_9x9~0|", "unknown op 'conv_9x9'"),
    ],
)
def test_wrong_texts(text, message):
    with pytest.raises(ValueError, match=message):
        kp.Genotype.parse(text)


def test_what_has_no_such_text():
    with pytest.raises(ValueError, match="inputs=1 and output='last'. Received: inputs=2"):
        kp.genotypes.get("DARTS_V2").to_string()
    twice = kp.Genotype((("skip_connect", 0),) * 2, (), (1,), (), (), (2,), inputs=1, output="last")
    with pytest.raises(ValueError, match="an edge has one op"):
        twice.to_string()
    assert kp.Genotype((("none", 0), ("a", 1)), (), (2,), (), (), (1, 1), inputs=1, output="last").to_string() == (
        "|none~0|+|none~0|a~1|"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 2}, "at least 3 layers. Received: layers=2"),
        ({"stem": "patchify"}, "the stem conv3x3. Received: stem='patchify'"),
    ],
)
def test_wrong_networks(arguments, message):
    with pytest.raises(ValueError, match=message):
        kp.build_network(kp.Genotype.parse(FIRST), **{"channels": 2, "layers": 17} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inputs": 3}, "one or two input states. Received: inputs=3"),
        ({"inputs": 1}, "reduce and reduce_concat are empty"),
        ({"output": "product"}, "output must be one of concatenate, last, sum, mean"),
        ({"output": "last"}, r"normal_concat is \(2,\). Received: \(0, 2\)"),
    ],
)
def test_wrong_topologies_of_genotypes(arguments, message):
    pairs = (("skip_connect", 0), ("skip_connect", 1))
    with pytest.raises(ValueError, match=message):
        kp.Genotype(pairs, pairs, (0, 2), (2,), **arguments)


@pytest.mark.parametrize(("output", "reference"), [("sum", np.sum), ("mean", np.mean)])
def test_other_ways_to_leave_a_cell(output, reference):
    """Two nodes of skip connections: c0 + c1 and c0 + (c0 + c1), c being the preprocessed inputs."""
    pairs = (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 0), ("skip_connect", 2))
    genotype = kp.Genotype(pairs, pairs, (2, 3), (2, 3), output=output)
    model = kp.build_network(genotype, (8, 8, 3), channels=4, layers=3)
    x = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    names = ("cell_0_preprocess_0", "cell_0_preprocess_1", "cell_0")
    a, b, got = (np.asarray(y) for y in keras.Model(model.input, [model.get_layer(n).output for n in names])(x))
    assert got.shape == (1, 8, 8, 4)
    np.testing.assert_allclose(got, reference([a + b, 2 * a + b], 0), rtol=1e-5, atol=1e-5)


def test_the_space_is_registered():
    ops = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert kp.spaces.get("nas_bench_201").primitives == ops
    assert len(ops) ** kp.topology.Topology(1, 3, None, "last").edge_count == 15625
