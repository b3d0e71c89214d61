import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import alphas, crossings, favoured, genotype_weights, op_weights, read_alphas

PRIMITIVES = ["none", "skip_connect", "conv", "pool"]


def history(conv, skip, pool=-9.0, none=9.0):
    """Alphas (epochs, 1, 4) of one edge; `none` is large, which must not matter."""
    columns = np.broadcast_arrays(none, skip, conv, pool)
    return np.stack(columns, axis=-1)[:, None].astype("float64")


def test_op_weights():
    # softmax of log 1, log 2, log 5 is 1/8, 2/8, 5/8; a large alpha does not overflow.
    assert op_weights(np.log([1.0, 2.0, 5.0])) == pytest.approx([0.125, 0.25, 0.625])
    assert op_weights(np.array([[1000.0, 1000.0]])) == pytest.approx(np.array([[0.5, 0.5]]))


def test_rows_of_alpha():
    ends = [(source, node) for node in range(8) for source in range(node + 2)]
    assert [alphas.edge_ends(row) for row in range(44)] == ends
    assert [alphas.edge_row(*end) for end in ends] == list(range(44))
    assert [alphas.edge_name(row) for row in (0, 1, 4, 13)] == [
        "$c_{k-2}$ → 0", "$c_{k-1}$ → 0", "0 → 1", "2 → 3",
    ]  # fmt: skip


def test_genotype_weights():
    genotype = kp.Genotype((("conv", 1), ("pool", 0)), (("conv", 0), ("skip_connect", 1)), (2,), (2,))
    normal = np.log([[1.0, 1.0, 1.0, 5.0], [1.0, 1.0, 2.0, 4.0]])
    reduce = np.zeros((2, 4))
    found = genotype_weights(genotype, {"normal": normal, "reduce": reduce}, PRIMITIVES)
    assert found == {"normal": pytest.approx([2 / 8, 5 / 8]), "reduce": [0.25, 0.25]}


def test_genotype_weights_are_those_the_search_derived_from():
    supernet = kp.Supernet("pibconv", (8, 8, 1), 2, channels=2, layers=2, nodes=3)
    rng = np.random.default_rng(0)
    for alpha in supernet.alphas:
        alpha.assign(rng.normal(size=alpha.shape))
    values = dict(zip(("normal", "reduce"), map(np.asarray, supernet.alphas), strict=True))
    primitives = supernet.space.primitives
    found = genotype_weights(supernet.genotype(), values, primitives)
    for which, alpha in values.items():
        weights = op_weights(alpha)[:, [i for i, op in enumerate(primitives) if op != "none"]].max(axis=1)
        # Node by node the two strongest edges: rows 0-1, 2-4, 5-8.
        best = [sorted(weights[a:b])[-2:] for a, b in ((0, 2), (2, 5), (5, 9))]
        assert sorted(found[which]) == pytest.approx(sorted(np.ravel(best)))


@pytest.mark.parametrize("pair", [("other", 0), ("conv", 2)])
def test_genotype_of_another_search(pair):
    pairs = (("conv", 0), ("conv", 1), pair, ("conv", 1))
    genotype = kp.Genotype(pairs, pairs, (2, 3), (2, 3))
    with pytest.raises(ValueError, match="2 edges and the ops none, .* Received: 'c?o.*' on edge"):
        genotype_weights(genotype, {"normal": np.zeros((2, 4))}, PRIMITIVES)


def test_favoured_is_the_largest_at_the_end_of_what_computes():
    assert favoured(history([0, 1], [9, 9]), PRIMITIVES, 0) == "conv"
    assert favoured(history([0, 1], [9, 9], pool=2), PRIMITIVES, 0) == "pool"


@pytest.mark.parametrize(
    "conv, skip, expected",
    [
        ([0.0, 0.0, 1.0], [-1.0, -1.0, -1.0], []),  # always above
        ([0.0, 2.0], [1.0, 1.0], [0.5]),  # from 1 below to 1 above, almost symmetric
        ([0.0, 1.0, 2.0], [1.0, 1.0, 1.0], [1.0]),  # through a tie: once
        ([2.0, 1.0, 2.0], [1.0, 1.0, 1.0], []),  # touches
        ([1.0, 1.0, 2.0], [1.0, 1.0, 1.0], []),  # starts from a tie
        ([0.0, 2.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0], [0.5, 1.5, 2.5]),
    ],
)
def test_crossings(conv, skip, expected):
    # none = 9 holds nearly all of the softmax, so that weights are e^alpha times a constant.
    found = crossings(history(conv, skip, none=20.0), PRIMITIVES, 0)
    exact = [cross(conv, skip, epoch) for epoch in expected]
    assert found == pytest.approx(exact, abs=1e-6)


def cross(conv, skip, epoch):
    """Where the straight lines between e^conv and e^skip at the two rows around `epoch` meet."""
    if epoch == int(epoch):
        return epoch
    a = int(epoch)
    before, after = (np.exp(conv[i]) - np.exp(skip[i]) for i in (a, a + 1))
    return a + before / (before - after)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda h: crossings(h, PRIMITIVES[:3], 0), r"\(epochs, edges, 3\). Received: shape \(2, 1, 4\)"),
        (lambda h: crossings(h, PRIMITIVES, 1), "Edges are 0 to 0. Received: edge=1"),
        (lambda h: crossings(h, PRIMITIVES, -1), "Received: edge=-1"),
        (lambda h: crossings(h[0], PRIMITIVES, 0), r"Received: shape \(1, 4\)"),
        (lambda h: crossings(h[:0], PRIMITIVES, 0), r"Received: shape \(0, 1, 4\)"),
        (lambda h: crossings(h, ["a", "b", "c", "d"], 0), "no skip_connect"),
        (lambda h: favoured(h[..., :2], PRIMITIVES[:2], 0), "no op besides none and skip_connect"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call(history([0, 1], [1, 0]))


def test_read_alphas_reads_what_a_search_records(tmp_path):
    supernet = kp.Supernet("darts", (8, 8, 1), 2, channels=2, layers=2, nodes=1)
    kp.runs.record_alphas(tmp_path, 0, supernet)
    kp.runs.record_alphas(tmp_path, 1, supernet)
    found, primitives = read_alphas(tmp_path / "alphas.npz")
    assert primitives == list(kp.spaces.get("darts").primitives)
    assert found["reduce"].shape == (2, 2, 8)
    np.testing.assert_array_equal(found["normal"][1], np.asarray(supernet.alphas[0]))


@pytest.mark.parametrize("content", [b"", b"no archive", None])
def test_read_alphas_names_a_file_that_is_none(content, tmp_path):
    path = tmp_path / "alphas.npz"
    if content is None:
        np.savez(path, normal=np.zeros((1, 2, 3)))
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="alphas.npz does not hold normal, reduce and primitives"):
        read_alphas(path)


def test_edges_of_a_chain(tmp_path):
    """NAS-Bench-201: rows 0; 1, 2; 3, 4, 5 enter nodes 0, 1, 2, the first from the input."""
    names = [alphas.edge_name(row, inputs=1).replace("$c_{k-1}$", "in") for row in range(6)]
    assert names == ["in → 0", "in → 1", "0 → 1", "in → 2", "0 → 2", "1 → 2"]
    assert [alphas.edge_row(*alphas.edge_ends(row, 1), 1) for row in range(6)] == list(range(6))
    path = tmp_path / "alphas.npz"
    np.savez(path, normal=np.zeros((1, 6, 2)), primitives=["none", "skip_connect"])
    assert list(read_alphas(path)[0]) == ["normal"]
    genotype = kp.Genotype.parse("|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|")
    rows = np.log([[1, 1], [3, 1], [1, 3], [1, 1], [1, 1], [1, 9]])
    weights = kp.analysis.genotype_weights(genotype, {"normal": rows}, ("none", "skip_connect"))
    np.testing.assert_allclose(weights["normal"], [0.5, 0.75, 0.75, 0.5, 0.5, 0.9])
