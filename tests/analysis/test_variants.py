import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import with_kernel_size


def test_every_convolution_gets_the_size_pools_and_identities_stay():
    larger = with_kernel_size(kp.genotypes.get("PIBCONV"), 5)
    assert larger.normal == tuple(("pib_conv_5x5", source) for source in (0, 1, 0, 2, 2, 1, 1, 3))
    assert [op for op, _ in larger.reduce] == [
        "avg_pool_3x3", "pib_conv_5x5", "avg_pool_3x3", "dil_conv_5x5",
        "avg_pool_3x3", "skip_connect", "pib_conv_5x5", "pib_conv_5x5",
    ]  # fmt: skip


def test_an_op_without_that_size_stays():
    larger = with_kernel_size(kp.genotypes.get("PIBCONV"), 7)
    assert {op for op, _ in larger.normal} == {"pib_conv_7x7"}
    assert larger.reduce[3] == ("dil_conv_5x5", 2)  # there is no dil_conv_7x7


def test_printed_names_are_resolved_first():
    larger = with_kernel_size(kp.genotypes.get("DARTS_V2"), 5)
    assert larger.meanings == () and larger.normal[0] == ("sep_conv_5x5", 0)


def test_an_expansion_in_the_name_is_kept():
    pairs = [("pib_conv_3x3_f3.5", 0), ("conv_7x1_1x7", 1)]
    assert with_kernel_size(kp.Genotype(pairs, pairs, (2,), (2,)), 5).normal == (
        ("pib_conv_5x5_f3.5", 0),
        ("conv_7x1_1x7", 1),
    )


def test_a_size_that_no_op_has():
    with pytest.raises(ValueError, match="dil_conv_5x5, pib_conv_3x3.*Received: 9"):
        with_kernel_size(kp.genotypes.get("PIBCONV"), 9)
    pools = kp.Genotype(
        [("max_pool_3x3", 0), ("skip_connect", 1)], [("max_pool_3x3", 0), ("skip_connect", 1)], (2,), (2,)
    )
    with pytest.raises(ValueError, match="None of the ops max_pool_3x3, skip_connect"):
        with_kernel_size(pools, 3)
