"""Formulas of relaxations, by numbers that are worked out here."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import keras_pibnas as kp
from keras_pibnas import methods

from .conftest import arch_of, cell_of

# One node: two edges, three ops each.
ALPHA = np.log([[1.0, 2.0, 1.0], [6.0, 1.0, 1.0]])
P = np.array([[0.25, 0.5, 0.25], [0.75, 0.125, 0.125]])


def one_node(kind="normal", mask=None):
    return cell_of(kind, nodes=1, mask=mask)


def mix_of(relaxation, alpha=ALPHA, noise=(), progress=0.0, cell=None, **arch):
    arch = {"alpha": tf.constant(alpha)} | {name: tf.constant(value) for name, value in arch.items()}
    return relaxation.mix(arch, noise, progress, cell or one_node()).numpy()


def scores_of(relaxation, alpha=ALPHA, cell=None, **arch):
    arch = {"alpha": tf.constant(alpha)} | {name: tf.constant(value) for name, value in arch.items()}
    return relaxation.scores(arch, cell or one_node()).numpy()


def test_cells():
    cell = cell_of("reduce", nodes=3)
    assert cell.edges == 2 + 3 + 4 and cell.shape == (9, 3)
    assert cell.sources == (0, 1, 0, 1, 2, 0, 1, 2, 3) and cell.targets == (0, 0, 1, 1, 1, 2, 2, 2, 2)
    assert cell.strides == (2, 2, 2, 2, 1, 2, 2, 1, 1) and set(cell_of(nodes=3).strides) == {1}
    assert methods.CellSpec("normal", 3, ("none",), inputs=1).edges == 1 + 2 + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "other"}, "one of normal, reduce. Received: kind='other'"),
        ({"nodes": 0}, "Received: nodes=0"),
        ({"mask": [[1, 1]]}, r"the shape \(2, 3\) of \(edges, ops\). Received: shape \(1, 2\)"),
    ],
)
def test_wrong_cells_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        cell_of(**{"nodes": 1} | arguments)


def test_softmax():
    np.testing.assert_allclose(mix_of(methods.Softmax()), P)
    mask = [[True, True, False], [False, False, False]]
    np.testing.assert_allclose(mix_of(methods.Softmax(), cell=one_node(mask=mask)), [[1 / 3, 2 / 3, 0], [0, 0, 0]])


def test_sigmoid():
    np.testing.assert_allclose(mix_of(methods.Sigmoid()), [[1 / 2, 2 / 3, 1 / 2], [6 / 7, 1 / 2, 1 / 2]])


def test_gumbel_soft():
    """exp(log p + g) at temperature 1; its square, divided by its sum, at 1/2."""
    noise = tf.constant(np.log([[1.0, 3.0, 1.0], [1.0, 2.0, 4.0]]))
    z = np.array([[1 / 8, 6 / 8, 1 / 8], [6 / 12, 2 / 12, 4 / 12]])
    np.testing.assert_allclose(mix_of(methods.Gumbel(1.0), noise=noise), z)
    sharper = np.array([[1, 36, 1], [36, 4, 16]]) / np.array([[38], [56]])
    np.testing.assert_allclose(mix_of(methods.Gumbel(methods.Linear(1.5, 0.5)), noise=noise, progress=1.0), sharper)
    np.testing.assert_allclose(scores_of(methods.Gumbel(1.0)), P)


def test_gumbel_hard():
    noise = tf.constant(np.log([[1.0, 3.0, 1.0], [1.0, 2.0, 10.0]]))
    np.testing.assert_allclose(mix_of(methods.Gumbel(0.1, hard=True), noise=noise), [[0, 1, 0], [0, 0, 1]], atol=1e-15)


def test_gumbel_noise_is_gumbel():
    cell = cell_of(nodes=40)
    noise = methods.Gumbel().noise(cell, (0, 0, 0)).numpy().ravel()
    assert noise.size == 860 * 3 and stats.kstest(noise, "gumbel_r").pvalue > 0.01


def test_gumbel_picks_an_op_as_often_as_its_probability():
    relaxation, cell = methods.Gumbel(1.0, hard=True), cell_of(nodes=40)
    alpha = np.tile(ALPHA[:1], (cell.edges, 1))
    noise = relaxation.noise(cell, (1, 2, 0))
    found = mix_of(relaxation, alpha, noise, cell=cell).mean(axis=0)
    np.testing.assert_allclose(found, P[0], atol=4 * np.sqrt(0.25 / cell.edges))


def test_a_temperature_must_be_positive():
    with pytest.raises(ValueError, match="above 0"):
        methods.Gumbel(methods.Linear(1.0, 0.0))


def test_dirichlet_is_the_quantile_of_gamma_variables():
    """SciPy's inverse of the regularized incomplete gamma function, from concentrations of 0.02 to 7."""
    alpha = np.array([[-4.0, 0.0, 2.0], [-1.0, 6.0, -0.5]])
    concentrations = np.where(alpha > 0, alpha + 1, np.exp(alpha))
    uniform = np.array([[0.9, 0.5, 0.1], [0.3, 0.7, 0.999]])
    gammas = stats.gamma.ppf(uniform, concentrations)
    want = gammas / gammas.sum(axis=1, keepdims=True)
    found = mix_of(methods.Dirichlet(), alpha, tf.constant(uniform))
    np.testing.assert_allclose(found, want, rtol=1e-9)
    mean = concentrations / concentrations.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(scores_of(methods.Dirichlet(), alpha), mean)


def test_dirichlet_at_tiny_concentrations():
    """Gamma variables of concentration e**-7 are below all floats; the row is finite, and so is its gradient."""
    relaxation, cell = methods.Dirichlet(), one_node()
    alpha = tf.constant([[-7.0, -7.0, -6.9], [-12.0, 0.0, 3.0]], "float64")
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        mix = relaxation.mix({"alpha": alpha}, tf.constant([[0.2, 0.3, 0.1], [0.5, 0.5, 0.5]]), 0.0, cell)
        first = mix[0, 0] + mix[1, 1]
    assert np.isfinite(tape.gradient(first, alpha)).all()
    np.testing.assert_allclose(tf.reduce_sum(mix, -1), 1.0)


def test_dirichlet_has_the_moments_of_its_distribution():
    relaxation, cell = methods.Dirichlet(), cell_of(nodes=120)
    alpha = np.tile([[1.0, 0.0, -1.0]], (cell.edges, 1))
    rows = mix_of(relaxation, alpha, relaxation.noise(cell, (0, 4, 1)), cell=cell)
    c = np.array([2.0, 1.0, np.exp(-1)])
    np.testing.assert_allclose(rows.mean(axis=0), c / c.sum(), atol=0.02)
    variance = c * (c.sum() - c) / (c.sum() ** 2 * (c.sum() + 1))
    np.testing.assert_allclose(rows.var(axis=0), variance, rtol=0.06)


def test_uniform_draws_a_genotype():
    relaxation, cell = methods.Uniform(), cell_of(nodes=4)
    arch = {"alpha": tf.zeros(cell.shape)}
    draws = [relaxation.mix(arch, relaxation.noise(cell, (0, step, 0)), 0.0, cell).numpy() for step in range(400)]
    for mix in draws:
        edges = mix.sum(axis=1)
        assert set(edges) <= {0.0, 1.0} and not mix[:, 0].any()  # one op an edge, never none
        assert [edges[np.array(cell.targets) == node].sum() for node in range(4)] == [2, 2, 2, 2]
    mean = relaxation.scores(arch, cell).numpy()
    expected = [2 / (node + 2) / 2 for node in cell.targets]  # two of a node's edges, one of two ops
    np.testing.assert_allclose(mean[:, 1], expected, rtol=1e-6)
    np.testing.assert_allclose(np.mean(draws, axis=0), mean, atol=4 * np.sqrt(0.25 / 400))


def test_edges_are_normalized_node_by_node():
    """Two nodes: the softmax of beta over two edges, then over three."""
    relaxation, cell = methods.EdgeNormalized(methods.Softmax()), cell_of()
    alpha, beta = np.zeros((5, 3)), np.log([1.0, 3.0, 1.0, 2.0, 5.0])
    q = np.array([0.25, 0.75, 0.125, 0.25, 0.625])
    found = mix_of(relaxation, alpha, cell=cell, beta=beta)
    np.testing.assert_allclose(found, np.tile(q[:, None] / 3, 3))
    arch = {"alpha": tf.constant(alpha), "beta": tf.constant(beta)}
    np.testing.assert_allclose(relaxation.edge_weights(arch, cell), q)
    np.testing.assert_allclose(relaxation.scores(arch, cell), found)
    closed = np.ones((5, 3), bool)
    closed[4] = False  # an edge without ops takes no weight from the others
    weights = relaxation.edge_weights(arch, cell_of(mask=closed))
    np.testing.assert_allclose(weights, [0.25, 0.75, 1 / 3, 2 / 3, 0.0])
    outside = methods.EdgeNormalized(methods.Masked(methods.Softmax(), closed))
    np.testing.assert_allclose(outside.edge_weights(arch, cell), weights)


def test_masked():
    by_name = methods.Masked(methods.Softmax(), ("none", "unknown_to_this_space")[:1])
    np.testing.assert_allclose(mix_of(by_name), [[0, 2 / 3, 1 / 3], [0, 0.5, 0.5]])
    rows = [[True, False, True], [False, True, False]]
    want = [[0.5, 0, 0.5], [0, 1, 0]]
    np.testing.assert_allclose(mix_of(methods.Masked(methods.Softmax(), rows)), want)
    by_kind = methods.Masked(methods.Softmax(), {"reduce": rows})
    np.testing.assert_allclose(mix_of(by_kind), P)
    np.testing.assert_allclose(mix_of(by_kind, cell=one_node("reduce")), want)
    twice = methods.Masked(methods.Masked(methods.Softmax(), rows), ("none",))
    np.testing.assert_allclose(mix_of(twice), [[0, 0, 1], [0, 1, 0]])


def test_projected():
    relaxation = methods.Projected(methods.Softmax(), (("normal", 0, "sep_conv_3x3"), ("reduce", 1, None)))
    np.testing.assert_allclose(mix_of(relaxation), [[0, 0, 1], P[1]])
    np.testing.assert_allclose(mix_of(relaxation, cell=one_node("reduce")), [P[0], [0, 0, 0]])
    np.testing.assert_allclose(scores_of(relaxation), [[0, 0, 1], P[1]])
    with pytest.raises(ValueError, match="edges 0 to 1. Received: row 7"):
        mix_of(methods.Projected(methods.Softmax(), (("normal", 7, None),)))
    with pytest.raises(ValueError, match="no op 'max_pool_3x3'. Its ops: none, skip_connect, sep_conv_3x3"):
        mix_of(methods.Projected(methods.Softmax(), (("normal", 0, "max_pool_3x3"),)))


def test_skip_assisted():
    """At stride 1 the weight is the skip connection's; at stride 2, and where there is none, an op's of its own."""
    relaxation = methods.SkipAssisted(methods.Softmax(), methods.Linear(1.0, 0.0))
    np.testing.assert_allclose(mix_of(relaxation, progress=0.25), P + [0, 0.75, 0])
    assert relaxation.extra_ops(one_node()) == ()
    cell = cell_of("reduce")  # edges 0 to 3 have stride 2, edge 4 leaves node 0
    found = mix_of(relaxation, np.zeros((5, 3)), progress=0.25, cell=cell)
    want = np.full((5, 3), 1 / 3)
    want[4, 1] += 0.75
    np.testing.assert_allclose(found, want)
    assert relaxation.extra_ops(cell) == ("skip_connect",)
    np.testing.assert_allclose(relaxation.extra_mix(0.25, cell, "float64"), [[0.75]] * 4 + [[0.0]])
    without = cell_of(primitives=("none", "sep_conv_3x3"), nodes=1)
    np.testing.assert_allclose(relaxation.extra_mix(0.25, without, "float64"), [[0.75], [0.75]])
    np.testing.assert_allclose(scores_of(relaxation), P)


def test_exponentiated_gradient_by_hand():
    """theta = (1/4, 3/4), gradient (log 2, log 4), eta 1: (1/8, 3/16) / (5/16) = (2/5, 3/5)."""
    import keras

    relaxation = methods.Simplex(1.0)
    theta = keras.Variable([[0.25, 0.75], [0.5, 0.5]], dtype="float64")
    relaxation.optimizer().apply([tf.constant([[np.log(2), np.log(4)], [0.0, 50.0]], "float64")], [theta])
    np.testing.assert_allclose(theta.numpy(), [[0.4, 0.6], [1.0, 1e-5]], rtol=1e-12)
    np.testing.assert_allclose(
        mix_of(relaxation, theta.numpy(), cell=cell_of(primitives=("none", "skip_connect"), nodes=1)), theta
    )
    shape, initializer = relaxation.variables(one_node())["alpha"]
    np.testing.assert_allclose(initializer(shape), np.full((2, 3), 1 / 3), rtol=1e-6)


def test_a_genotype_as_op_weights():
    genotype = kp.Genotype(
        (("sep_conv_3x3", 1), ("skip_connect", 0), ("none", 0), ("sep_conv_3x3", 2)),
        (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 0), ("sep_conv_3x3", 0)),
        (2, 3), (2, 3),
    )  # fmt: skip
    normal, reduce = methods.genotype_mix(genotype, [cell_of(), cell_of("reduce")])
    assert normal.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0], [0, 0, 1]]
    assert reduce.tolist() == [[0, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]]
    with pytest.raises(ValueError, match="2 nodes a cell, and 2 inputs. Received: cells of 1 nodes"):
        methods.genotype_mix(genotype, [one_node(), one_node("reduce")])


def test_wrappers_pass_on_what_is_inside():
    cell = cell_of("reduce")
    relaxation = methods.Masked(methods.SkipAssisted(methods.EdgeNormalized(methods.Gumbel()), 0.5), ("none",))
    arch = arch_of(relaxation, cell)
    assert set(arch) == {"alpha", "beta"} and relaxation.extra_ops(cell) == ("skip_connect",)
    assert relaxation.noise(cell, (0, 0, 0)).shape == (5, 3)
    np.testing.assert_allclose(tf.reduce_sum(relaxation.scores(arch, cell)), 2.0)  # q sums to 1 on each of two nodes
    with pytest.raises(ValueError, match=r"inner must be a Relaxation, such as Softmax\(\). Received: inner='softmax'"):
        methods.EdgeNormalized("softmax")
