import json
from collections import Counter
from pathlib import Path

import pytest

from keras_pibnas import genotypes
from keras_pibnas.genotypes import Genotype

FOLDER = Path(__file__).parent / "golden"
GOLDEN = json.loads((FOLDER / "genotypes.json").read_text(encoding="utf-8"))
PUBLISHED = json.loads((FOLDER / "genotypes_published.json").read_text(encoding="utf-8"))

# As they stand in the README of DARTS with involution.
PRINTED = {
    "INVOLUTION_L4": """
        python3 train.py --gpu 0 --batch_size 32 --learning_rate 0.05 --cutout --auxiliary --layer 4 --arch                 "Genotype(normal=[('sep_invo_3x3', 1), ('sep_invo_3x3', 0), ('sep_invo_3x3', 2), ('dil_invo_3x3', 1),
        ('skip_connect', 0), ('skip_connect', 2), ('skip_connect', 2), ('skip_connect', 3)], 
        normal_concat=range(2,6), reduce=[('avg_pool_3x3', 0), ('sep_invo_5x5', 1), ('sep_invo_5x5', 2),                   ('skip_connect', 0),('avg_pool_3x3', 0), ('dil_invo_5x5', 3), ('skip_connect', 4), ('sep_invo_5x5', 0)],            reduce_concat=range(2,6))"
""",  # noqa: E501, W291
    "INVOLUTION_L8": """
        'Genotype(normal=[('dil_conv_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 2), 
        ('sep_conv_3x3', 2), ('dil_conv_5x5', 0), ('skip_connect', 0), ('skip_connect', 2)], normal_concat=range(2, 
        6),  reduce=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('avg_pool_3x3', 1), ('skip_connect', 2), 
        ('skip_connect', 2), ('skip_connect', 3), ('dil_conv_3x3', 3), ('skip_connect', 1)], reduce_concat=range(2, 
        6))'
""",  # noqa: E501, W291
    "INVOLUTION_L10": """
        Genotype(normal=[(‘invo2d_3x3’, 1), (‘invo2d_3x3’, 0), (‘invo2d_3x3’, 2),
        (‘dil_invo2d_3x3’, 1), (‘skip_conn’, 0), (‘skip_conn’, 2), (‘skip_conn’, 2),
        (‘skip_conn’, 3)], normal_concat=range(2, 6),
        reduce=[(‘avg_pool_3x3’, 0), (‘invo2d_5x5’, 1), (‘invo2d_5x5’, 2),
        (‘skip_conn’, 0), (‘avg_pool_3x3’, 0), (‘dil_invo2d_5x5’, 3),
        (‘skip_conn’, 4), (‘invo2d_5x5’, 0)], reduce_concat=range(2, 6))
""",
    "INVOLUTION_L20": """
        "Genotype(normal=[(‘invo2d_3x3’, 0), (‘invo2d_3x3’, 1),
        (‘skip_conn’, 0), (‘skip_conn’, 1), (‘skip_conn’, 0),
        (‘skip_conn’, 2), (‘skip_conn’, 0), (‘invo2d_3x3’, 1)],
        normal_concat=range(2, 6),
        reduce=[(‘avg_pool_3x3’, 0), (‘invo2d_3x3’, 1),
        (‘skip_conn’, 2), (‘avg_pool_3x3’, 0), (‘skip_conn’, 2),
        (‘avg_pool_3x3’, 0), (‘avg_pool_3x3’, 0), (‘skip_conn’, 2)],
        reduce_concat=range(2, 6))"
""",
}

ONE_NODE = Genotype([("a", 0), ("b", 1)], [("c", 1), ("d", 0)], [2], [2])
ONE_NODE_TEXT = "Genotype(normal=[('a', 0), ('b', 1)], reduce=[('c', 1), ('d', 0)])"


@pytest.fixture
def vocabulary(monkeypatch):
    """The names that a space would register, so that nothing depends on whether spaces was imported."""
    monkeypatch.setattr(genotypes, "OPS", {"none", "a", "b", "c", "d", "skip_connect"})


@pytest.fixture
def any_name(monkeypatch):
    monkeypatch.setattr(genotypes, "OPS", set())


def as_lists(genotype):
    return json.loads(genotype.to_json())


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_published_genotype_equals_the_reference(name):
    expected = {key: value for key, value in GOLDEN[name].items() if key != "source"}
    found = as_lists(genotypes.get(name))
    found.pop("meanings", None)
    assert found == expected


def test_names_are_those_of_the_references():
    assert set(genotypes.names()) == {*GOLDEN, *PUBLISHED}
    assert genotypes.names()[:3] == ("PIBCONV", "DARTS_V1", "DARTS_V2")


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_genotypes_of_other_projects_equal_the_reference(name, any_name):
    printed = {key: PUBLISHED[name][key] for key in ("normal", "normal_concat", "reduce", "reduce_concat")}
    found = genotypes.published(name)
    assert found.genotype == Genotype.parse(json.dumps(printed))
    assert PUBLISHED[name]["repo"] in found.source


def test_printed_figures_have_a_source():
    found = [genotypes.published(name) for name in genotypes.names()]
    assert sum(one.params is not None for one in found) >= 30
    for one in found:
        assert one.source and bool(one.where) == bool(one.dataset) == bool(one.params or one.macs or one.error)
        assert all(float(text) > 0 for text in (one.params, one.macs, one.error) if text is not None)
    fair = genotypes.published("FairDARTS_b")
    assert (fair.params, fair.macs, fair.error, fair.auxiliary) == ("3.88", "536", "2.51", True)
    assert genotypes.published("NASNet") is genotypes.published("NASNET")


def test_the_eight_layer_involution_network_is_built_from_involutions():
    printed = genotypes.get("INVOLUTION_L8")
    resolved = printed.resolved()
    assert printed.normal[0] == ("dil_conv_3x3", 0)
    assert resolved.normal[0] == ("dil_invo_3x3", 0)
    assert resolved.reduce[:2] == (("sep_invo_3x3", 0), ("sep_invo_5x5", 1))
    assert resolved.normal[1] == printed.normal[1] == ("skip_connect", 1)
    assert resolved.meanings == ()
    assert not any("conv" in op for op, _ in resolved.normal + resolved.reduce)


def test_resolved_changes_nothing_without_meanings():
    assert genotypes.get("PIBCONV").resolved() == genotypes.get("PIBCONV")


@pytest.mark.parametrize("name", sorted(PRINTED))
def test_parse_reads_what_the_readme_prints(name, vocabulary):
    assert Genotype.parse(PRINTED[name]) == genotypes.get(name)


@pytest.mark.parametrize(
    "text",
    [
        ONE_NODE_TEXT,
        f"`{ONE_NODE_TEXT}`",
        f'"{ONE_NODE_TEXT}"',
        f"FOUND = {ONE_NODE_TEXT}  # at epoch 49",
        "(see below) genotypes.Genotype(normal=(('a', 0), ('b', 1)), reduce=(('c', 1), ('d', 0)))",
        ONE_NODE_TEXT.replace("'", '"'),
        ONE_NODE_TEXT.replace("'", "`"),
        ONE_NODE_TEXT.replace("('", "(“").replace("',", "”,"),
        ONE_NODE_TEXT.replace("'", r"\'"),
        ONE_NODE_TEXT.replace(", reduce", r",\n reduce"),
        ONE_NODE_TEXT.replace(" ", "\n\t"),
        ONE_NODE_TEXT.replace(" ", "\u00a0"),
        ONE_NODE_TEXT[:-1] + ", normal_concat=[2], reduce_concat=range(2, 3))",
        ONE_NODE_TEXT[:-1] + ", normal_concat=(2,), reduce_concat=range(2, 3, 1),)",
        '{"normal": [["a", 0], ["b", 1]], "reduce": [["c", 1], ["d", 0]]}',
        '"{"normal": [["a", 0], ["b", 1]], "reduce": [["c", 1], ["d", 0]], "reduce_concat": [2], "source": 1}"',
    ],
)
def test_parse_reads_one_genotype_in_many_forms(text, vocabulary):
    assert Genotype.parse(text) == ONE_NODE


def test_parse_takes_escaped_underscores(vocabulary):
    text = ONE_NODE_TEXT.replace("'a'", r"'skip\_connect'")
    assert Genotype.parse(text).normal[0] == ("skip_connect", 0)


def test_parse_never_evaluates(tmp_path, any_name):
    victim = tmp_path / "victim"
    for text in (
        f"Genotype(normal=open({str(victim)!r}, 'w'), reduce=[])",
        f"Genotype(normal=[open({str(victim)!r}, 'w')], reduce=[])",
        f"Genotype(normal=[(open({str(victim)!r}, 'w'), 0)], reduce=[])",
        f"Genotype(normal=[], reduce=[], normal_concat=range(open({str(victim)!r}, 'w')))",
    ):
        with pytest.raises(ValueError, match="not readable"):
            Genotype.parse(text)
    assert not victim.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds 0"),
        ("DARTS_V3", "holds 0.*DARTS_V3"),
        (ONE_NODE_TEXT + ONE_NODE_TEXT, "holds 2"),
        (ONE_NODE_TEXT[:-1], "ends before"),
        ("Genotype(normal=[('a', 0), ('b', 1])", "ends before"),
        (ONE_NODE_TEXT.replace("1),", "1]),"), "not readable.*near"),
        (ONE_NODE_TEXT.replace("('b', 1)", "('b', )"), r"normal\[1\].*pair.*\('b',\)"),
        (ONE_NODE_TEXT.replace("('b', 1)", "(b, 1)"), r"normal\[1\].*\(b, 1\)"),
        (ONE_NODE_TEXT.replace("0), ('b'", "0) ('b'"), r"normal\[0\].*comma"),
        (ONE_NODE_TEXT.replace("('b', 1)", "('b', 2)"), r"normal\[1\] = \('b', 2\).*states 0 to 1"),
        (ONE_NODE_TEXT.replace("('b', 1)", "('b', -1)"), r"normal\[1\].*Received: -1"),
        (ONE_NODE_TEXT.replace("('b', 1)", "('b', 1.0)"), r"normal\[1\].*Received: 1.0"),
        (ONE_NODE_TEXT.replace("('b', 1)", "('b', True)"), r"normal\[1\].*Received: True"),
        (
            ONE_NODE_TEXT.replace("('b', 1)", "('sep_conv_9x9', 1)"),
            r"normal\[1\] = \('sep_conv_9x9', 1\): unknown op 'sep_conv_9x9'. Known: a, avg_pool_3x3, b, ",
        ),
        (ONE_NODE_TEXT.replace("('d', 0)", "(7, 0)"), r"reduce\[1\] = \(7, 0\).*name.*Received: 7"),
        (ONE_NODE_TEXT.replace(", ('b', 1)", ""), r"normal has an odd number of pairs, 1.*\[0\] = \('a', 0\)"),
        ("Genotype(normal=[('a', 0), ('b', 1)])", "missing: reduce"),
        ("Genotype()", "missing: normal, reduce"),
        ("Genotype([('a', 0), ('b', 1)], reduce=[])", "should be named"),
        ("Genotype(**cells)", "should be named"),
        (ONE_NODE_TEXT[:-1] + ", middle=[2])", "no middle.*Known: normal"),
        (ONE_NODE_TEXT[:-1] + ", normal_concat=range(2, 6))", r"normal_concat.*2, 3, 4, 5.*0 to 2. Received: 3"),
        (ONE_NODE_TEXT[:-1] + ", normal_concat=range(10**12))", "normal_concat is not readable"),
        (ONE_NODE_TEXT[:-1] + ", normal_concat=range(2, 1000000000000))", "should be a range of states"),
        (ONE_NODE_TEXT[:-1] + ", normal_concat=range())", "should be a range of states"),
        (ONE_NODE_TEXT[:-1] + ", normal_concat=2)", "at least one state. Received: 2"),
        ("Genotype(normal=" + "(" * 3000 + ")" * 3000 + ")", "not readable"),
        ("Genotype(normal='abcd', reduce='abcd')", "normal should be a list.*Received: 'abcd'"),
        ("Genotype(normal=[\0])", "not readable"),
    ],
)
def test_parse_says_what_is_wrong(text, message, vocabulary):
    with pytest.raises(ValueError, match=message):
        Genotype.parse(text)


@pytest.mark.parametrize("text", [None, 7, b"Genotype()"])
def test_parse_wants_text(text):
    with pytest.raises(ValueError, match="text. Received"):
        Genotype.parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not readable"),
        ("{", "not readable"),
        ("[1, 2]", "object with normal and reduce"),
        ("{}", "missing: normal, reduce"),
        ('{"alphas": 1, "normal": []}', "missing: reduce"),
        ('{"normal": [["a", 0], ["b", 2]], "reduce": [["a", 0], ["b", 1]]}', r"normal\[1\] = \('b', 2\)"),
        ('{"normal": [["a", 0], ["zz", 1]], "reduce": [["a", 0], ["b", 1]]}', r"normal\[1\].*unknown op 'zz'"),
        ('{"normal": [["a", 0], ["b", 1]], "reduce": [["a", 0], ["b", 1]], "concat": [2]}', "no concat"),
        ('{"normal": 3, "reduce": 4}', "normal should be a list"),
        (None, "not readable"),
    ],
)
def test_from_json_says_what_is_wrong(text, message, vocabulary):
    with pytest.raises(ValueError, match=message):
        Genotype.from_json(text)


@pytest.mark.parametrize("name", sorted(GOLDEN))
def test_json_round_trip(name, vocabulary):
    genotype = genotypes.get(name)
    again = Genotype.from_json(genotype.to_json())
    assert again == genotype
    assert again.resolved() == genotype.resolved()
    assert ("meanings" in genotype.to_json()) == (name == "INVOLUTION_L8")


def test_save_and_load(tmp_path, vocabulary):
    ONE_NODE.save(tmp_path / "genotype.json")
    assert Genotype.load(tmp_path / "genotype.json") == ONE_NODE
    assert [path.name for path in tmp_path.iterdir()] == ["genotype.json"]


def test_load_reads_printed_text_too(tmp_path, vocabulary):
    (tmp_path / "readme.txt").write_text(PRINTED["INVOLUTION_L10"], encoding="utf-8")
    assert Genotype.load(tmp_path / "readme.txt") == genotypes.get("INVOLUTION_L10")


@pytest.mark.parametrize("content", [b"", b"epoch,loss\n1,2\n", b"\x89PNG\xff\xfe", b'{"layers": 8}'])
def test_load_names_the_file_that_is_no_genotype(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="other: "):
        Genotype.load(path)


def test_load_of_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        Genotype.load(tmp_path / "nowhere")


def test_constructor_turns_lists_into_tuples_and_is_hashable():
    assert ONE_NODE.normal == (("a", 0), ("b", 1))
    assert ONE_NODE.normal_concat == (2,)
    assert len({ONE_NODE, Genotype(ONE_NODE.normal, ONE_NODE.reduce, (2,), (2,))}) == 1
    assert ONE_NODE.nodes == 1
    assert genotypes.get("NASNET").nodes == 5


def test_constructor_checks_no_names(vocabulary):
    assert Genotype((("my_op", 0), ("my_op", 1)), ONE_NODE.reduce, (2,), (2,)).normal[0][0] == "my_op"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], []), "normal needs at least one node"),
        ((ONE_NODE.normal, []), "reduce needs at least one node"),
        ((ONE_NODE.normal * 2, ONE_NODE.reduce), "normal with 2, reduce with 1"),
        ((ONE_NODE.normal, ONE_NODE.reduce), r"normal_concat = \(2, 3, 4, 5\): with nodes=1.*Received: 3"),
        ((ONE_NODE.normal, ONE_NODE.reduce, (), (2,)), "at least one state"),
        ((ONE_NODE.normal, ONE_NODE.reduce, (2, 2), (2,)), "once"),
        ((ONE_NODE.normal, ONE_NODE.reduce, (2,), (0, 2)), "reduce_concat.*states 2 to 2. Received: 0"),
        ((ONE_NODE.normal, ONE_NODE.reduce, (2,), (2.0,)), "Received: 2.0"),
        ((ONE_NODE.normal, ONE_NODE.reduce, (2,), (2,), ("ab",)), "meanings"),
        ((None, ONE_NODE.reduce), "normal should be a list.*Received: None"),
    ],
)
def test_constructor_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        Genotype(*arguments)


@pytest.mark.parametrize("name", ["darts_v2", "DARTSV2", "", None, "nonsense"])
def test_get_of_an_unknown_name(name):
    with pytest.raises(ValueError, match="Unknown genotype.*Known: PIBCONV, DARTS_V1, DARTS_V2") as error:
        genotypes.get(name)
    assert ("Did you mean DARTS_V2?" in str(error.value)) == (name in ("darts_v2", "DARTSV2"))


def test_random_genotypes():
    ops = ["none", "a", "b", "c"]
    drawn = [genotypes.random(ops, nodes=3, seed=seed) for seed in range(300)]
    assert drawn[7] == genotypes.random(ops, nodes=3, seed=7)
    assert len(set(drawn)) == 300
    pairs = [pair for genotype in drawn for cell in (genotype.normal, genotype.reduce) for pair in cell]
    counts = Counter(op for op, _ in pairs)
    # 3,600 draws of three ops: 1,200 each, standard deviation sqrt(3600 * 1/3 * 2/3) = 28.
    assert set(counts) == {"a", "b", "c"}
    assert max(abs(count - 1200) for count in counts.values()) < 5 * 28
    for genotype in drawn:
        sources = [source for _, source in genotype.normal]
        assert all(first != second for first, second in zip(sources[::2], sources[1::2], strict=True))


@pytest.mark.parametrize(("ops", "nodes"), [([], 4), (["none"], 4), (["a"], 0)])
def test_random_needs_something_to_draw(ops, nodes):
    with pytest.raises(ValueError, match="at least one node. Received"):
        genotypes.random(ops, nodes)
