"""Search spaces whose edges have ops of their own: from Python, from files, and RobustDARTS's S1 to S4."""

import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_pibnas as kp

SMALL = {"input_shape": (8, 8, 3), "num_classes": 3, "channels": 4, "layers": 3}
# Edges of two nodes: 0>0, 1>0, 0>1, 1>1, 2>1. Not there: 1>0 of the reduction cell, which leaves one for its node 0.
EDGES = {
    "normal": [["skip_connect"], ["none", "dil_conv_3x3"], ["avg_pool_3x3", "skip_connect"], [], None],
    "reduce": [["avg_pool_3x3"], [], ["none"], ["skip_connect"], ["dil_conv_3x3", "skip_connect"]],
}
OPS = ("none", "skip_connect", "avg_pool_3x3", "dil_conv_3x3")


@pytest.fixture(name="eagerly")
def run_eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def mine():
    return kp.spaces.SearchSpace("mine", OPS, True, EDGES)


def batch(seed):
    return np.random.default_rng(seed).normal(size=(2, 8, 8, 3)).astype("float32"), np.arange(2) % 3


def supernet(space, **kwargs):
    model = kp.Supernet(space, **SMALL | {"order": 1, "seed": 0} | kwargs)
    model.compile(kp.optimizers.SGD(0.1), engine="plain")
    return model


def mix_of(model, genotype):
    return model.relaxed.genotype_mix(genotype, 0.0, "float32")


def allowed(space, cell, node, pair):
    return pair[0] in space.ops_on(cell, pair[1], node)


def test_ops_on():
    space = mine()
    assert space.ops_on("normal", 0, 0) == ("skip_connect",)
    assert space.ops_on("normal", 0, 1) == ("skip_connect", "avg_pool_3x3")  # in the order of the columns
    assert space.ops_on("normal", 2, 1) == OPS and space.ops_on("reduce", 1, 0) == ()
    assert kp.spaces.get("darts").ops_on("reduce", 8, 7) == kp.spaces.get("darts").primitives
    assert space.mask("normal", 1) == ((False, True, False, False), (True, False, False, True))
    assert space.topology.nodes == 2 and kp.spaces.get("darts").mask("normal", 4) is None
    with pytest.raises(ValueError, match="edges from states 0 to 1 in the cells normal, reduce. .*source=2"):
        space.ops_on("normal", 2, 0)


def test_s1_to_s4():
    """RobustDARTS (arXiv:1909.09656), section 4: two ops on every edge of S1."""
    s1 = kp.spaces.get("s1")
    assert [len(row) for rows in s1.edges for row in rows] == [2] * 28
    assert s1.ops_on("normal", 0, 0) == ("skip_connect", "dil_conv_3x3")
    assert s1.ops_on("normal", 4, 3) == ("dil_conv_3x3", "dil_conv_5x5")
    assert s1.ops_on("reduce", 1, 2) == ("max_pool_3x3", "sep_conv_3x3")
    others = {"s2": ("skip_connect", "sep_conv_3x3"), "s3": ("none", "skip_connect", "sep_conv_3x3"),
              "s4": ("noise", "sep_conv_3x3")}  # fmt: skip
    assert {name: kp.spaces.get(name).primitives for name in others} == others


@pytest.mark.parametrize("space", ["s1", "s2", "s3", "s4"])
@pytest.mark.filterwarnings("ignore:Node")
def test_a_search_in_each(space, eagerly):
    """A step: alphas that an edge has not got never count, the others move; what is derived is allowed."""
    model = supernet(space, nodes=2 if space == "s1" else 1, layers=3)
    before = model.op_weights()
    model._move_architecture(model._alpha_gradients(batch(0), batch(1)))
    after = model.op_weights()
    for cell, old, new in zip(model.relaxed.cells, before, after, strict=True):
        assert not new[~cell.allowed].any() and (new[cell.allowed] != old[cell.allowed]).all()
        np.testing.assert_allclose(new.sum(axis=1), 1.0, rtol=1e-5)
    genotype, space = model.genotype(), kp.spaces.get(space)
    for kind in genotype.cells:
        for node, pairs in enumerate(genotype.cell(kind).nodes):
            assert len(pairs) == 2 and all(allowed(space, kind, node, pair) for pair in pairs)


def test_an_op_is_built_only_for_the_edges_that_allow_it():
    """S1, one node: the normal cell has skip and dil3 on edge 0, skip and dil5 on edge 1; reduce max avg, max dil3.

    With C channels a dilated convolution has k^2 C + C^2 weights in a supernet; both cells are reductions (layers // 3
    = 0, 2 * layers // 3 = 1): C = 8, then 16.
    """
    model = supernet("s1", nodes=1, layers=2)
    ops = [[type(op).__name__ for bundle in cell.bundles for op in bundle.ops] for cell in model.network.cells]
    assert ops == [["MaxPool", "AveragePool", "MaxPool", "DilConv"]] * 2
    weights = [[int(np.prod(v.shape)) for b in cell.bundles for v in b.trainable_variables]
               for cell in model.network.cells]  # fmt: skip
    assert list(map(sum, weights)) == [9 * 8 + 64, 9 * 16 + 256]
    normal = supernet("s1", nodes=1, layers=4).network.cells[0]
    assert [[type(op).__name__ for op in bundle.ops] for bundle in normal.bundles] == [["Identity", "DilConv"]] * 2
    assert [bundle.ops[1].kernel_size for bundle in normal.bundles] == [3, 5]


@pytest.mark.filterwarnings("ignore:Node")
@pytest.mark.parametrize("method", ["pc_darts", "darts_minus", "gdas", "random_sharing"])
def test_edges_that_are_not_there(method, eagerly):
    """A step of methods that add to edges: bypasses, skip connections of their own, draws."""
    model = supernet(mine(), nodes=2, layers=2, method=method, channels=8)
    assert all(np.isfinite(gradient).all() for gradient in model._alpha_gradients(batch(0), batch(1)))
    genotype = model.genotype()
    assert genotype.reduce[:2] == (("avg_pool_3x3", 0), ("none", 1))
    assert {source for _, source in genotype.normal[2:]} <= {0, 2}
    assert sum(int(rows.numpy()[:, :4].sum()) for rows in mix_of(model, genotype)) == 7  # none is nothing
    wrong = kp.Genotype((("dil_conv_3x3", 0), *genotype.normal[1:]), genotype.reduce, (2, 3), (2, 3))
    with pytest.raises(ValueError, match="not allow 'dil_conv_3x3' on the edge from state 0 to node 0 of the normal"):
        mix_of(model, wrong)


def test_a_cell_computes_the_weighted_sum_of_what_its_edges_allow():
    """Against a walk over the edges, each op's layer of its bundle called for its block of channels alone."""
    with pytest.warns(UserWarning, match="Node 0 of the reduce cell has 1 edges that allow an op, of the 2"):
        model = supernet(mine(), nodes=2, layers=4)
    cell = model.network.cells[0]  # normal; all edges of one state that differ stand in bundles of their own
    assert [(edges.source, edges.nodes, edges.columns) for edges in cell.edges] == [
        (0, (0,), (1,)), (0, (1,), (1, 2)), (1, (0,), (3,)), (2, (1,), (1, 2, 3)),
    ]  # fmt: skip
    mix = model.op_weights()[0]
    x = [tf.random.stateless_normal((2, 8, 8, 12), (0, i)) for i in range(2)]
    from keras_pibnas.search.cell import bundle_weights

    found = cell(tuple(x), mix=bundle_weights(tf.constant(mix), cell.edges))
    states = [cell.preprocess_0(x[0]), cell.preprocess_1(x[1])]
    for node in range(2):
        total = 0.0
        for bundle, edges in zip(cell.bundles, cell.edges, strict=True):
            if node in edges.nodes:
                row = edges.rows[edges.nodes.index(node)]
                for op, column in zip(bundle.ops, bundle.columns, strict=True):
                    total += mix[row, column] * op(states[edges.source])
        states.append(total)
    np.testing.assert_allclose(found, tf.concat(states[2:], -1), rtol=1e-5, atol=1e-6)


def test_expected_cost_is_exact_in_them():
    """One-hot op weights: the count of the derived network, in S1."""
    space, rng = kp.spaces.get("s1"), np.random.default_rng(0)
    cells = kp.methods.cells_of(space)
    draw = [np.where(cell.allowed, rng.normal(size=cell.shape), -np.inf).argmax(axis=1) for cell in cells]
    arch = [{"alpha": tf.constant(1e3 * np.eye(6)[op], "float32")} for op in draw]
    shape = {"input_shape": (8, 8, 3), "num_classes": 3, "stem": "conv3x3"}
    scores = [kp.methods.Softmax().scores(a, cell).numpy() for a, cell in zip(arch, cells, strict=True)]
    genotype = kp.methods.TopEdges()(scores, space, 4)
    count = kp.analysis.complexity(kp.build_network(genotype, channels=4, layers=3, **shape))
    for unit in ("params", "macs"):
        penalty = kp.methods.ExpectedCost(unit, channels=4, layers=3).bind(cells=cells, **shape)
        found = float(penalty.expected(kp.methods.Softmax(), arch, ((), ()), 0.0, cells))
        assert found == getattr(count, unit) and penalty.prices.least <= found <= penalty.prices.most


def test_sizes():
    """S1: C(2,2) C(3,2) C(4,2) C(5,2) = 180 choices of edges, 2 ops on each of 8; S4 as S2: noise is an op.

    Two nodes of EDGES: the normal cell has 1 * 1 ops on node 0's two edges, and 2 * 3 on node 1's two; the reduction
    cell 1 on the one edge of node 0, and 1 * 2 on node 1's.
    """
    sizes = {name: list(kp.analysis.space_size(name).values()) for name in ("s1", "s2", "s3", "s4")}
    assert sizes["s1"] == [180 * 2**8, 180 * 2**8, (180 * 2**8) ** 2, 3**14, 3**14, 3**28]
    assert sizes["s2"] == sizes["s3"] == sizes["s4"] == [180 * 2**8, (180 * 2**8) ** 2, 3**14, 3**28]
    assert kp.analysis.space_size(mine()) == {
        "normal cells, two edges a node": 6, "reduction cells, two edges a node": 2,
        "normal and reduction cells, two edges a node": 12,
        "normal cells, edges unconstrained": 2 * 2 * 3 * 4, "reduction cells, edges unconstrained": 2 * 2 * 3,
        "normal and reduction cells, edges unconstrained": 48 * 12,
    }  # fmt: skip
    assert kp.analysis.space_size("s1", 1)["normal cells, two edges a node"] == math.comb(2, 2) * 4
    with pytest.raises(ValueError, match="edges of 4 nodes allow. Received: nodes=5"):
        kp.analysis.space_size("s1", 5)
    with pytest.raises(ValueError, match="has its own ops and edges. Received: operations"):
        kp.analysis.space_size("s1", operations=3)


def test_register_and_files(registry, tmp_path):
    space = kp.spaces.register("own", pool_norm=True, edges=EDGES | {"normal": [row or [] for row in EDGES["normal"]]})
    assert space.primitives == ("skip_connect", "none", "dil_conv_3x3", "avg_pool_3x3")
    path = tmp_path / "mine.json"
    kp.spaces.save(mine(), path)
    assert kp.spaces.load(path) == kp.spaces.get(str(path)) == mine()
    path.write_text(json.dumps({"edges": [["skip_connect"], ["sep_conv_3x3"]]}))
    found = kp.spaces.get(str(path))
    assert (found.name, found.primitives) == ("mine", ("skip_connect", "sep_conv_3x3"))
    assert found.edges == ((("skip_connect",), ("sep_conv_3x3",)),) * 2


@pytest.mark.filterwarnings("ignore:Node")
def test_a_saved_supernet_needs_no_file(tmp_path):
    model = supernet(mine(), nodes=2, layers=2)
    model.save(tmp_path / "supernet.keras")
    again = keras.saving.load_model(tmp_path / "supernet.keras")
    assert again.space == mine()
    np.testing.assert_array_equal(again(batch(0)[0]), model(batch(0)[0]))


WRONG = {
    "{": "Expecting property name",
    "[1]": "an object with the keys name, primitives, pool_norm, edges, topology. Received: list",
    '{"ops": []}': "its keys may be name, .*Received: ops",
    '{"primitives": ["sep_conv_9x9"]}': "Unknown op 'sep_conv_9x9'",
    '{"primitives": ["none"]}': "one at least besides none",
    '{"primitives": 3}': "not iterable",
    '{"primitives": ["skip_connect"], "pool_norm": 1}': "pool_norm true or false",
    '{"edges": {"normal": [["skip_connect"]]}}': "edges are of the cells normal and reduce. Received: normal",
    '{"edges": [["skip_connect"], "skip_connect"]}': r"normal\[1\] is a list of op names, or None",
    '{"edges": [["skip_connect"]]}': "Cells of 1 to 8 nodes have 2, 5, 9, .* edges.*Received: 1 and 1 rows",
    '{"edges": [["none"], ["none"]], "primitives": ["none", "skip_connect"]}': "No edge into node 0 of the normal",
    '{"edges": [["skip_connect", "skip_conn"], []]}': r"normal\[0\]: op 'skip_connect' stands twice",
    '{"edges": [["noise"], []], "primitives": ["skip_connect"]}': "op 'noise' is none of the space's: skip_connect",
    '{"primitives": ["skip_connect"], "topology": {"inputs": 0}}': "Received: inputs=0",
    '{"primitives": ["skip_connect"], "topology": 3}': "topology must be a Topology",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_files(text, tmp_path):
    path = tmp_path / "wrong.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=f"wrong.json holds no search space: .*{WRONG[text]}") as error:
        kp.spaces.load(path)
    assert "\n" not in str(error.value)


def test_a_node_that_a_method_leaves_no_op():
    method = kp.methods.Method(kp.methods.Masked(kp.methods.Softmax(), ("skip_connect", "sep_conv_3x3")))
    with pytest.raises(ValueError, match="No edge into node 0 of the normal cell allows an op other than none"):
        supernet("s2", nodes=1, layers=2, method=method)
