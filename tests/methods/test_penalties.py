"""Penalties by numbers that are worked out here."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import integrate, stats

from keras_pibnas import methods

from .conftest import arch_of, cell_of, central_differences, gradients

ALPHA = np.log([[1.0, 2.0, 1.0], [6.0, 1.0, 1.0]])
CELLS = [cell_of(kind, nodes=1) for kind in ("normal", "reduce")]


def value_of(penalty, relaxation=None, alphas=(ALPHA, ALPHA), cells=CELLS, progress=0.0):
    arch = [{"alpha": tf.constant(alpha)} for alpha in alphas]
    return float(penalty(relaxation or methods.Softmax(), arch, ((), ()), progress, cells))


def test_zero_one():
    """Sigmoids of ALPHA less 1/2: 0, 1/6, 0; 5/14, 0, 0."""
    assert value_of(methods.ZeroOne(10.0), methods.Sigmoid()) == pytest.approx(-10 * (1 / 36 + 25 / 196) / 6)
    assert value_of(methods.ZeroOne(3.0, power=1), methods.Sigmoid()) == pytest.approx(-3 * (1 / 6 + 5 / 14) / 6)
    without = methods.Masked(methods.Sigmoid(), ("none",))  # the mean is over what is left, four entries a cell
    assert value_of(methods.ZeroOne(1.0), without) == pytest.approx(-(1 / 36) / 4)


def test_beta_decay():
    """Rows of exp(ALPHA) sum to 4 and 8; those of the reduction cell, with 0 everywhere, to 3."""
    zeros = np.zeros((2, 3))
    want = (np.log(4) + np.log(8) + 2 * np.log(3)) / 4
    assert value_of(methods.BetaDecay(2.0), alphas=(ALPHA, zeros)) == pytest.approx(2 * want)
    assert value_of(methods.get("beta_darts").penalties[0], alphas=(ALPHA, zeros), progress=0.5) == pytest.approx(
        25 * want
    )
    without = methods.Masked(methods.Softmax(), ("none",))  # sums 3 and 2
    assert value_of(methods.BetaDecay(1.0), without) == pytest.approx((np.log(3) + np.log(2)) / 2)


def test_entropy():
    """Of (1/4, 1/2, 1/4): 3/2 log 2; of (3/4, 1/8, 1/8): 3/4 log(4/3) + 1/4 log 8. A decided row has none."""
    want = (1.5 * np.log(2) + 0.75 * np.log(4 / 3) + 0.25 * np.log(8)) / 2
    assert value_of(methods.Entropy(1.0)) == pytest.approx(want)
    decided = 1000.0 * np.eye(3)[:2]
    assert value_of(methods.Entropy(1.0), alphas=(decided, decided)) == 0
    slope = gradients(
        lambda a: methods.Entropy(1.0)(methods.Softmax(), [a, a], ((), ()), 0.0, CELLS), {"alpha": tf.constant(decided)}
    )
    assert np.isfinite(slope["alpha"]).all()


def test_dirichlet_divergence_of_two_ops_is_that_of_beta_distributions():
    """KL(Beta(a, b) || U(0, 1)), integrated numerically: Dirichlet(1, 1) is uniform."""
    cells = [cell_of(kind, ("skip_connect", "sep_conv_3x3"), 1) for kind in ("normal", "reduce")]
    alphas = np.array([[1.0, 0.5], [0.25, 2.0]]), np.zeros((2, 2))  # at 0, the concentrations are 1: no divergence
    want = 0.0
    for row in alphas[0]:
        density = stats.beta(*(row + 1)).pdf
        want += integrate.quad(lambda x, f=density: f(x) * np.log(f(x)), 1e-12, 1 - 1e-12)[0]
    assert value_of(methods.DirichletKL(1e-3), methods.Dirichlet(), alphas, cells) == pytest.approx(
        1e-3 * want, rel=1e-6
    )
    # A third op that is masked changes nothing.
    mask = [[False, True, True]] * 2
    masked = [cell_of(kind, nodes=1, mask=mask) for kind in ("normal", "reduce")]
    wider = [np.hstack([[[9.0], [-3.0]], alpha]) for alpha in alphas]
    assert value_of(methods.DirichletKL(1e-3), methods.Dirichlet(), wider, masked) == pytest.approx(
        1e-3 * want, rel=1e-6
    )


@pytest.mark.parametrize(
    ("penalty", "relaxation"),
    [
        (methods.ZeroOne(2.0, power=1.5), methods.Sigmoid()),
        (methods.BetaDecay(2.0), methods.Softmax()),
        (methods.Entropy(2.0), methods.EdgeNormalized(methods.Softmax())),
        (methods.Entropy(2.0), methods.Sigmoid()),
        (methods.DirichletKL(2.0), methods.Dirichlet()),
    ],
)
def test_gradients_with_a_mask_against_differences(penalty, relaxation):
    mask = np.ones((5, 3), bool)
    mask[0], mask[3, 1] = False, False
    cells = [cell_of(kind, mask=mask) for kind in ("normal", "reduce")]
    other = arch_of(relaxation, cells[1], seed=7)
    function = lambda arch: penalty(relaxation, [arch, other], ((), ()), 0.5, cells)  # noqa: E731
    arch = arch_of(relaxation, cells[0])
    found, want = gradients(function, arch), central_differences(function, arch)
    for name in arch:
        np.testing.assert_allclose(found[name], want[name], rtol=1e-6, atol=1e-8)
    assert np.abs(found["alpha"]).max() > 1e-3 and not found["alpha"][~mask].any()


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="at least 1 is needed.*Received: power=0.5"):
        methods.ZeroOne(1.0, power=0.5)


def test_they_are_saved():
    for penalty in (methods.ZeroOne(methods.Cosine(0.0, 1.0), 1), methods.Entropy(-0.5)):
        assert keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(penalty)) == penalty
