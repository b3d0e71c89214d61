"""Equations (1) and (2) of the paper, by hand and beside counted layers."""

import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import block_weights, compare_blocks, convnext_weights, pibconv_weights


def test_by_hand():
    assert convnext_weights(16, 7) == 2 * 4 * 256 + 49 * 16 == 2832
    assert pibconv_weights(16, 3) == 3 * 256 + 2 * 9 * 16 == 1056
    assert pibconv_weights(10, 3, 1.5) == 2.5 * 100 + 180


@pytest.mark.parametrize("kernel_size", (3, 5))
@pytest.mark.parametrize("expansion", (1.5, 2, 4))
def test_equation_1_is_exact(kernel_size, expansion):
    weights, parameters = block_weights("ConvNeXt", 8, kernel_size, expansion)
    assert weights == convnext_weights(8, kernel_size, expansion)
    assert parameters == weights + 2 * 8  # gamma and beta


@pytest.mark.parametrize("expansion", (1, 2, 3))
def test_equation_2_leaves_out_what_the_grouped_convolution_reads(expansion):
    weights, parameters = block_weights("PIBConv", 8, 5, expansion)
    assert weights == pibconv_weights(8, 5, expansion) + (expansion - 1) * 25 * 8
    assert parameters == weights + 2 * 8


def test_a_group_of_a_fractional_expansion_is_wider():
    # F C = 12 and C = 8 share 4 groups of 3 inputs and 2 outputs: K^2 * 3 * C weights.
    assert block_weights("PIBConv", 8, 3, 1.5)[0] == 9 * 8 + 8 * 12 + 9 * 3 * 8 + 64


def test_the_papers_ratio():
    """0.63 is (4 + 1) / (2 * 4); the counted share tends to it as C grows."""
    small, large = compare_blocks((16, 1024), (3,), ((4, 4),))
    assert small["share in C^2"] == large["share in C^2"] == 0.625
    assert small["share, counted"] == round((5 * 256 + 5 * 9 * 16) / (8 * 256 + 9 * 16), 3)
    assert large["share, counted"] == pytest.approx(0.625, abs=0.01)


def test_rows():
    rows = compare_blocks((4,), (3, 5), ((4, 2), (4, 1.5)))
    assert [(row["K"], row["F (1)"], row["F (2)"]) for row in rows] == [(3, 4, 2), (5, 4, 2), (3, 4, 1.5), (5, 4, 1.5)]
    assert rows[0]["equation (1)"] == rows[0]["ConvNeXt, counted"] == 8 * 16 + 9 * 4
    assert (rows[0]["equation (2)"], rows[0]["PIBConv, counted"]) == (3 * 16 + 2 * 9 * 4, 3 * 16 + 3 * 9 * 4)
    assert rows[0]["share in C^2"] == 0.375  # of the blocks as Fig. 2 draws them


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: convnext_weights(0, 3), "`channels` is a number above 0. Received: channels=0"),
        (lambda: pibconv_weights(4, 3, -1), "expansion=-1"),
        (lambda: block_weights("ResNet", 4, 3, 2), "Known: ConvNeXt, PIBConv. Received: block='ResNet'"),
        (lambda: block_weights("PIBConv", 4, 2, 2), "kernel_size of PIBConv must be odd"),
        (lambda: block_weights("ConvNeXt", 3, 3, 1.5), "expansion=1.5, channels=3"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_the_equations_are_public():
    assert kp.analysis.convnext_weights is convnext_weights
