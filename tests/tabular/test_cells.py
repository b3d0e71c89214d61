"""The cells of a table: how many, and which genotypes are one."""

import itertools

import pytest

import keras_pibnas as kp
from keras_pibnas.tabular import CellSpace

SPACE = CellSpace()
OPS = SPACE.primitives


def genotype(*pairs, reduce=SPACE.reduce, concat=(2, 3)):
    return kp.Genotype(pairs, reduce, concat, concat)


@pytest.mark.parametrize("ops", [1, 2, 4])
def test_isomorphic_cells_are_counted_once(ops):
    # Node 0 has n^2 forms. Node 1 reads states 0 and 2, or 1 and 2: n^2 each. Or it reads 0 and 1 as node 0 does: then
    # the two nodes are an unordered pair of n^2 things.
    squared = ops**2
    assert len(CellSpace(OPS[:ops])) == 2 * squared**2 + squared * (squared + 1) // 2


def test_every_genotype_has_a_cell_and_every_cell_its_genotypes():
    sources = (((0, 1), (1, 0)), ((0, 1), (0, 2), (1, 2), (2, 1)))
    found = dict.fromkeys(range(len(SPACE)), 0)
    for ops, first, second in itertools.product(itertools.product(OPS, repeat=4), *sources):
        found[SPACE.index(genotype(*zip(ops, (*first, *second), strict=True)))] += 1
    # 2 orders in node 0; of sources 1 and 2 both orders are here: 2 genotypes or 4. Where both nodes read the inputs, a
    # cell has the 2 genotypes twice, unless changing the nodes' places changes nothing.
    expected = {
        index: 4 if cell[2][1] == 1 else 2 if cell[3][1] == 2 or [o for o, _ in cell[:2]] == [o for o, _ in cell[2:]]
        else 4
        for index, cell in enumerate(SPACE.cells)
    }  # fmt: skip
    assert found == expected


def test_number_and_genotype_are_inverse():
    assert [SPACE.index(SPACE.genotype(index)) for index in range(len(SPACE))] == list(range(648))


def test_nodes_that_read_the_inputs_change_places():
    pairs = [("sep_conv_3x3", 0), ("skip_connect", 1), ("pib_conv_3x3", 1), ("max_pool_3x3", 0)]
    assert SPACE.index(genotype(*pairs)) == SPACE.index(genotype(*pairs[2:], *pairs[:2]))


def test_what_noise_reads_makes_no_other_cell():
    """Cells counted by what they compute: node 1 as a set of what it adds up, noise without a source."""
    space = CellSpace((*OPS, "noise"))
    read = lambda pairs: frozenset({(op, None if op == "noise" else source) for op, source in pairs})  # noqa: E731
    seen = {}
    for sources, ops in itertools.product(((0, 1), (0, 2), (1, 2)), itertools.product(space.primitives, repeat=4)):
        pairs = tuple(zip(ops, (0, 1, *sources), strict=True))
        first, second = read(pairs[:2]), read(pairs[2:])
        apart = any(source == 2 for _, source in second)
        computed = (first, second) if apart else frozenset([(first, 1 + (first == second)), (second, 1)])
        number = space.index(genotype(*pairs))
        assert seen.setdefault(number, computed) == computed
    assert sorted(seen) == list(range(1225)) and len(set(seen.values())) == len(space) == 1225


@pytest.mark.parametrize(
    "wrong, message",
    [
        (genotype(("none", 0), ("skip_connect", 1), ("skip_connect", 0), ("skip_connect", 1)), "ops are skip_connect"),
        (genotype(*SPACE.cells[0], reduce=SPACE.cells[-1]), "reduction cell is"),
        (genotype(("skip_connect", 0), ("skip_connect", 0), *SPACE.cells[0][:2]), "two different states"),
        (genotype(*SPACE.cells[0], concat=(3,)), "concatenate states 2 and 3"),
        ("PIBCONV", "two nodes"),
    ],
)
def test_genotypes_of_other_spaces_are_refused(wrong, message):
    wrong = kp.genotypes.get(wrong) if isinstance(wrong, str) else wrong
    with pytest.raises(ValueError, match=message):
        SPACE.index(wrong)


@pytest.mark.parametrize("ops", [(), ("none", "skip_connect"), ("skip_connect", "skip_connect")])
def test_ops_of_a_space_are_different_and_not_none(ops):
    with pytest.raises(ValueError, match="different ops other than none"):
        CellSpace(ops)
