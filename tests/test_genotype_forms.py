"""The forms in which other projects print genotypes."""

import json

import pytest

from keras_pibnas import genotypes
from keras_pibnas.genotypes import Genotype

TWO_NODES = Genotype([("a", 0), ("b", 1), ("c", 2), ("d", 0)], [("b", 1), ("a", 0), ("d", 1), ("c", 2)], (2, 3), (2, 3))
# One cell of four nodes with ops of NAS-Bench-301, which puts the two pairs of a node in the order of their sources.
NORMAL = (
    ("sep_conv_3x3", 0), ("dil_conv_5x5", 1), ("skip_connect", 0), ("max_pool_3x3", 2),
    ("avg_pool_3x3", 1), ("sep_conv_5x5", 3), ("dil_conv_3x3", 2), ("skip_connect", 4),
)  # fmt: skip
REDUCE = NORMAL[:6] + (("sep_conv_3x3", 0), ("sep_conv_3x3", 1))
CONFIG = {
    # Rows of alpha: node 2 has 0 and 1, node 3 has 2 to 4, node 4 has 5 to 8, node 5 has 9 to 13.
    "NetworkSelectorDatasetInfo:darts:edge_normal_0": "sep_conv_3x3",
    "NetworkSelectorDatasetInfo:darts:edge_normal_1": "dil_conv_5x5",
    "NetworkSelectorDatasetInfo:darts:edge_normal_2": "skip_connect",
    "NetworkSelectorDatasetInfo:darts:edge_normal_4": "max_pool_3x3",
    "NetworkSelectorDatasetInfo:darts:inputs_node_normal_3": "0_2",
    "NetworkSelectorDatasetInfo:darts:edge_normal_6": "avg_pool_3x3",
    "NetworkSelectorDatasetInfo:darts:edge_normal_8": "sep_conv_5x5",
    "NetworkSelectorDatasetInfo:darts:inputs_node_normal_4": "1_3",
    "NetworkSelectorDatasetInfo:darts:edge_normal_11": "dil_conv_3x3",
    "NetworkSelectorDatasetInfo:darts:edge_normal_13": "skip_connect",
    "NetworkSelectorDatasetInfo:darts:inputs_node_normal_5": "2_4",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_0": "sep_conv_3x3",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_1": "dil_conv_5x5",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_2": "skip_connect",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_4": "max_pool_3x3",
    "NetworkSelectorDatasetInfo:darts:inputs_node_reduce_3": "0_2",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_6": "avg_pool_3x3",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_8": "sep_conv_5x5",
    "NetworkSelectorDatasetInfo:darts:inputs_node_reduce_4": "1_3",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_9": "sep_conv_3x3",
    "NetworkSelectorDatasetInfo:darts:edge_reduce_10": "sep_conv_3x3",
    "NetworkSelectorDatasetInfo:darts:inputs_node_reduce_5": "0_1",
}


@pytest.fixture(autouse=True)
def any_name(monkeypatch):
    monkeypatch.setattr(genotypes, "OPS", set())


@pytest.mark.parametrize(
    "text",
    [
        # Nested by node, as AutoDL-Projects prints; its comments may hold parentheses and quotes.
        "Genotype(normal=[(('a', 0), ('b', 1)), # step 1)\n (('c', 2), ('d', 0))], normal_concat=[2, 3], "
        "reduce=[(('b', 1), ('a', 0)), # don't (\n (('d', 1), ('c', 2))], connectN=None, connects=None)",
        "Genotype(normal=[[('a', 0), ('b', 1)], [('c', 2), ('d', 0)]], "
        "reduce=[[('b', 1), ('a', 0)], [('d', 1), ('c', 2)]])",
        # With weights, as its searches do; they log a dictionary.
        "The 7-th epoch : {'normal': [(('a', 0, 0.21), ('b', 1, 0.2)), (('c', 2, 0.1), ('d', 0, 1.0))], "
        "'normal_concat': [2, 3], 'reduce': [(('b', 1, 0.3), ('a', 0, 0.2)), "
        "(('d', 1, 0.5), ('c', 2, 0.4))], 'reduce_concat': [2, 3]}\n",
        "Genotype(normal=[('a', 0, .2), ('b', 1, .1), ('c', 2, .3), ('d', 0, .2)], "
        "reduce=[('b', 1), ('a', 0), ('d', 1), ('c', 2)])",
        # (op, node, source), as FairDARTS prints; nodes in any order.
        "Genotype(normal=[('c', 3, 2), ('d', 3, 0), ('a', 2, 0), ('b', 2, 1)], normal_concat=range(2, 4), "
        "reduce=[('b', 2, 1), ('a', 2, 0), ('d', 3, 1), ('c', 3, 2)], reduce_concat=range(2, 4))",
        # NumPy 2's integers, by any name of NumPy.
        "Genotype(normal=[('a', np.int64(0)), ('b', np.int64(1)), (np.str_('c'), numpy.int32(2)), ('d', int64(0))], "
        "reduce=[('b', 1), ('a', 0), ('d', 1), ('c', 2)], reduce_concat=range(np.int64(2), np.int64(4)))",
        "\ufeffGenotype(normal=[('a', 0), ('b', 1), ('c', 2), ('d', 0)], "
        "reduce=[('b', 1), ('a', 0), ('d', 1), ('c', 2)])",
        "## Genotype(normal=[('a', 0), ('b', 1), ('c', 2), ('d', 0)], reduce=[('b', 1), ('a', 0), ('d', 1), ('c', 2)])",
        '\ufeff{"normal": [[["a", 0], ["b", 1]], [["c", 2], ["d", 0]]], '
        '"reduce": [["b", 1], ["a", 0], ["d", 1], ["c", 2]]}',
        '```json\n{"normal": [["a", 2, 0], ["b", 2, 1], ["c", 3, 2], ["d", 3, 0]], '
        '"reduce": [["b", 1], ["a", 0], ["d", 1], ["c", 2]], "connects": null}\n```',
        # All five edges of a cell of two nodes.
        "Genotype(normal=[('a', 0), ('b', 1), ('d', 0), ('none', 1), ('c', 2)], reduce=[('b', 1), ('a', 0), ('d', 1), "
        "('c', 2)])",
    ],
)
def test_the_pairs_in_order(text):
    found = Genotype.parse(text)
    if "('none', 1)" in text:  # such a list has the order of the rows of alpha
        assert found.normal == (("a", 0), ("b", 1), ("d", 0), ("c", 2)) and found.normal_edges is None
    else:
        assert found == TWO_NODES


# As FairDARTS prints its first one; no edge enters state 3 of the normal cell.
FAIR = """FairDARTS_a = Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_5x5', 2, 1), ('max_pool_3x3', 4, 0),
    ('sep_conv_3x3', 5, 0)], normal_concat=range(2, 6), reduce=[('max_pool_3x3', 2, 0), ('avg_pool_3x3', 2, 1),
    ('avg_pool_3x3', 3, 0), ('dil_conv_5x5', 3, 1), ('avg_pool_3x3', 4, 0), ('sep_conv_5x5', 4, 1),
    ('skip_connect', 5, 0), ('skip_connect', 5, 1)], reduce_concat=range(2, 6))"""


def test_fewer_than_two_edges_on_a_node():
    fair = Genotype.parse(FAIR)
    assert fair.normal == (("sep_conv_3x3", 0), ("sep_conv_5x5", 1), ("max_pool_3x3", 0), ("sep_conv_3x3", 0))
    assert fair.normal_edges == (2, 0, 1, 1) and fair.reduce_edges is None and fair.nodes == 4
    cell = fair.cell("normal")
    assert cell.nodes == (fair.normal[:2], (), fair.normal[2:3], fair.normal[3:])
    assert cell.concat == (2, 4, 5) and fair.cell("reduce").concat == (2, 3, 4, 5)
    assert cell.edges == ((0, 2), (1, 2), (0, 4), (0, 5)) and cell.pairs == fair.normal
    assert Genotype.from_json(fair.to_json()) == fair and "reduce_edges" not in fair.to_json()
    assert fair.resolved() == fair and fair.renamed(str.upper).cell("normal").nodes[3] == (("SEP_CONV_3X3", 0),)


def test_what_reads_a_node_that_is_not_there_goes_too():
    genotype = Genotype(
        [("a", 0), ("b", 1), ("c", 3), ("d", 4), ("e", 0)], TWO_NODES.reduce * 2, normal_edges=(2, 0, 1, 2)
    )
    # State 3 has no edge, so neither has 4, which reads it alone; 5 keeps its edge from 0.
    assert genotype.cell("normal").nodes == ((("a", 0), ("b", 1)), (), (), (("e", 0),))
    assert genotype.cell("normal").concat == (2, 5)


def printed(*cells, concat="range(2, 6)"):
    normal, reduce = map(list, cells)
    return f"Genotype(normal={normal}, normal_concat={concat}, reduce={reduce}, reduce_concat={concat})"


def all_edges(nodes):
    """A cell's edges, row by row of alpha: `none` but on the two of every node with the largest sources."""
    return [
        ("sep_conv_3x3" if source >= node else "none", source) for node in range(nodes) for source in range(node + 2)
    ]


def test_lists_of_all_edges():
    found = Genotype.parse(printed(all_edges(4), NORMAL))
    assert found.normal == tuple(("sep_conv_3x3", source) for node in range(4) for source in (node, node + 1))
    assert found.reduce == NORMAL and found.normal_edges is None
    nothing = [("none", source) for _, source in all_edges(4)]
    zeros = Genotype.parse(printed(nothing[:9] + all_edges(4)[9:], NORMAL))
    assert zeros.normal_edges == (1, 1, 1, 2) and zeros.normal[0] == ("none", 0)
    assert zeros.cell("normal").concat == (2, 3, 4, 5)  # states of zeros are concatenated, too


def test_fourteen_pairs_of_seven_nodes_stay_two_a_node():
    """The sources alone do not tell a cell of seven nodes from all edges of four; the concatenated states do."""
    pairs = [("a", source) for _, source in all_edges(4)]
    seven = Genotype.parse(printed(pairs, pairs, concat="range(2, 9)"))
    four = Genotype.parse(printed(pairs, pairs))
    assert (seven.nodes, seven.normal_edges, len(seven.normal)) == (7, None, 14)
    assert (four.nodes, four.normal_edges, len(four.normal)) == (4, (2, 3, 4, 5), 14)
    assert Genotype(pairs, pairs, range(2, 9), range(2, 9)) == seven


def test_nas_bench_301_is_read_and_written():
    found = Genotype.parse(CONFIG)
    assert (found.normal, found.reduce) == (NORMAL, REDUCE)
    assert found.to_config() == CONFIG
    assert Genotype.parse(CONFIG | {"NetworkSelectorDatasetInfo:darts:layers": 8, "lr": 0.1}) == found


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CONFIG),
        str(CONFIG),
        "Configuration(values={\n" + "".join(f"  {key!r}: {value!r},\n" for key, value in CONFIG.items()) + "})",
        "Configuration:\n" + "".join(f"  {key}, Value: {value!r}\n" for key, value in CONFIG.items()),
        json.dumps({key.rpartition(":")[2]: value for key, value in CONFIG.items()} | {"edge_normal_3": None}),
    ],
)
def test_configurations_as_text(text):
    assert Genotype.parse(text) == Genotype(NORMAL, REDUCE)


def test_a_configuration_loses_the_order_in_a_node_alone():
    turned = Genotype([NORMAL[i ^ 1] for i in range(8)], REDUCE)
    assert turned.to_config() == CONFIG and Genotype.parse(turned.to_config()).normal == NORMAL


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("inputs_node_normal_3", "0_3", "inputs_node_normal_3 names two states from 0 to 2, as 0_1. Received: 0_3"),
        ("inputs_node_reduce_5", None, "inputs_node_reduce_5 names two states from 0 to 4"),
        ("edge_normal_4", None, "no edge_normal_4, the op from state 2 to node 3"),
    ],
)
def test_a_configuration_that_lacks_something(key, value, message):
    with pytest.raises(ValueError, match=message):
        Genotype.parse(CONFIG | {f"NetworkSelectorDatasetInfo:darts:{key}": value})


@pytest.mark.parametrize(
    ("genotype", "message"),
    [
        (TWO_NODES, "four nodes.*normal with 2 nodes"),
        (Genotype(NORMAL, NORMAL, (3, 4, 5)), r"all concatenated.*normal_concat=\(3, 4, 5\)"),
        (Genotype((("sep_conv_7x7", 0), *NORMAL[1:]), REDUCE), "no op 'sep_conv_7x7'. Known: max_pool_3x3"),
        (Genotype((("skip_connect", 1), *NORMAL[1:]), REDUCE), "reads two states. Received: normal node 2"),
        (Genotype.parse(FAIR), "NAS-Bench-301"),
    ],
)
def test_what_nas_bench_301_does_not_have(genotype, message):
    with pytest.raises(ValueError, match=message):
        genotype.to_config()


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ((2, 1), r"normal_edges should add up to the 4 pairs of normal. Received: \(2, 1\)"),
        ((5, -1), "add up"),
        ((2, 2.0), "add up"),
        ("22", "should list the number of pairs"),
        (4, "should list the number of pairs"),
    ],
)
def test_wrong_numbers_of_edges(edges, message):
    with pytest.raises(ValueError, match=message):
        Genotype(TWO_NODES.normal, TWO_NODES.reduce, (2, 3), (2, 3), normal_edges=edges)


def test_a_genotype_of_more_than_two_edges_on_a_node():
    three = Genotype(
        [("a", 0), ("b", 0), ("c", 1)], [("a", 0), ("b", 1)], (2,), (2,), normal_edges=(3,), reduce_edges=(2,)
    )
    assert three.cell("normal").nodes == ((("a", 0), ("b", 0), ("c", 1)),) and three.reduce_edges is None


def test_a_cell_without_edges():
    with pytest.raises(ValueError, match=r"No edge enters any state of normal_concat. Received: \(3,\)"):
        Genotype([("a", 0), ("b", 1)], TWO_NODES.reduce, (3,), (3,), normal_edges=(2, 0))


def test_a_cell_has_a_name():
    with pytest.raises(ValueError, match="normal and reduce. Received: 'middle'"):
        TWO_NODES.cell("middle")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le"])
def test_files_with_a_byte_order_mark(tmp_path, encoding):
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    for text in (TWO_NODES.to_json(), str(TWO_NODES)):
        (tmp_path / "found.txt").write_bytes(mark + text.encode(encoding))
        assert Genotype.load(tmp_path / "found.txt") == TWO_NODES


def test_what_python_prints_of_a_genotype_is_read():
    assert Genotype.parse(repr(Genotype.parse(FAIR))) == Genotype.parse(FAIR)
