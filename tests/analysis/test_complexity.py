"""Counts against the published code's, to the last digit (channels 36, 32x32 input, 10 classes)."""

import keras
import pytest

import keras_pibnas as kp

# layers, genotype: parameters, MACs of convolutions and linear layers, MACs in the convention of the paper's Table 1
EXACT = {
    (20, "DARTS_V2"): (3349342, 528359040, 547473034),
    (10, "DARTS_V2"): (1596034, 255224448, 264799882),
    (3, "DARTS_V2"): (116650, 63706752, 67024522),
    (2, "DARTS_V2"): (82342, 33515136, 35174026),
    (10, "PIBCONV"): (2993014, 452935296, 461045386),
    (4, "PIBCONV"): (1096390, 160087680, 163552906),
    (2, "PIBCONV"): (376534, 64315008, 66084490),
}


@pytest.mark.parametrize(("layers", "name"), EXACT)
def test_published_counts(layers, name):
    count = kp.analysis.complexity(kp.build_network(name, channels=36, layers=layers))
    assert (count.params, count.macs, count.ptflops_macs) == EXACT[layers, name]
    assert sum(part.macs for _, part in count.layers) == count.macs


def test_auxiliary_head_adds_its_parameters():
    plain, head = (kp.build_network("DARTS_V2", channels=36, layers=3, auxiliary=flag) for flag in (False, True))
    assert kp.analysis.complexity(head).params - kp.analysis.complexity(plain).params == (
        144 * 4 * 128 + 2 * 128 + 2 * 2 * 128 * 768 + 2 * 768 + 768 * 10 + 10  # 4 states of 144 channels in
    )


def test_layers_that_cannot_be_counted_are_named():
    model = keras.Sequential([keras.Input((4,)), keras.layers.UnitNormalization()])
    with pytest.raises(ValueError, match="UnitNormalization"):
        kp.analysis.complexity(model)


def test_a_model_without_a_graph_is_refused():
    with pytest.raises(ValueError, match="Received: Supernet"):
        kp.analysis.complexity(kp.Supernet("darts", (8, 8, 1), channels=2, layers=2, nodes=1))
