"""Counts against the published code's, to the last digit (channels 36, 32x32 input, 10 classes)."""

import keras
import pytest

import keras_pibnas as kp

pytestmark = pytest.mark.usefixtures("shapes_alone")

# layers, genotype: parameters, MACs of convolutions and linear layers, MACs in the convention of the paper's Table 1
EXACT = {
    (20, "DARTS_V2"): (3349342, 528359040, 547473034),
    (15, "DARTS_V2"): (2281258, 393160320, 408127114),
    (10, "DARTS_V2"): (1596034, 255224448, 264799882),
    (8, "DARTS_V2"): (1154926, 200232576, 207734410),
    (7, "DARTS_V2"): (1047430, 173192832, 179865226),
    (6, "DARTS_V2"): (635446, 147065472, 153323146),
    (5, "DARTS_V2"): (605026, 116873856, 121472650),
    (4, "DARTS_V2"): (487162, 87179904, 90949258),
    (3, "DARTS_V2"): (116650, 63706752, 67024522),
    (2, "DARTS_V2"): (82342, 33515136, 35174026),
    (20, "PIBCONV"): (6006790, 933568128, 949309066),
    (15, "PIBCONV"): (4173526, 696901248, 709324426),
    (10, "PIBCONV"): (2993014, 452935296, 461045386),
    (8, "PIBCONV"): (2236870, 355835520, 362286730),
    (7, "PIBCONV"): (2050534, 308502144, 314289802),
    (6, "PIBCONV"): (1346086, 263601792, 269057674),
    (5, "PIBCONV"): (1293094, 210075264, 214204042),
    (4, "PIBCONV"): (1096390, 160087680, 163552906),
    (3, "PIBCONV"): (433414, 117841536, 120938122),
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


def test_keras_layers_by_hand():
    """8x8x3: 3x3 convolution to 6 (stride 2), BN, ReLU, depthwise 3x3, separable to 5, pool, dense with a bias."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(6, 3, 2, "same", groups=3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, depth_multiplier=2),
            layers.SeparableConv2D(5, 1, activation="gelu"),
            layers.Conv2DTranspose(2, 2, 2),
            layers.AveragePooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(7, activation="softmax"),
        ]
    )
    count = kp.analysis.complexity(model)
    # grouped: 9 weights for each of 6 outputs; depthwise to 2x2x12; separable: 12 depthwise, 12 * 5 pointwise
    macs = 16 * 9 * 6 + 4 * 9 * 12 + 4 * (12 + 12 * 5) + 4 * (2 * 2 * 5 * 2) + 8 * 7
    # BN, ReLU; bias of depthwise; bias and GELU; bias; what the pool reads; bias and softmax
    extra = (2 + 1) * 16 * 6 + 4 * 12 + 2 * 4 * 5 + 4 * 4 * 2 + 4 * 4 * 2 + 2 * 7
    assert (count.macs, count.extra) == (macs, extra)
    assert count.params == sum(int(keras.ops.size(weight)) for weight in model.trainable_variables)


def test_a_layer_called_twice_has_its_parameters_once():
    dense, inputs = keras.layers.Dense(4, name="shared"), keras.Input((4,))
    model = keras.Model(inputs, dense(keras.layers.Dense(4)(dense(inputs))))
    dense(keras.Input((4,)))  # a call outside the model
    count = kp.analysis.complexity(model)
    assert (count.params, count.macs, count.extra) == (2 * 20, 3 * 16, 3 * 4)
    assert dict(count.layers)["shared"].macs == 2 * 16


def test_models_in_models():
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4, use_bias=False)], name="inner")
    inputs = keras.Input((4,))
    count = kp.analysis.complexity(keras.Model(inputs, inner(inner(inputs))))
    assert (count.params, count.macs) == (16, 32) and dict(count.layers)["inner"].macs == 32


def test_channels_first_counts_the_same():
    # No call: convolutions of this format run on accelerators only.
    counts = []
    for form, shape in (("channels_last", (6, 5, 3)), ("channels_first", (3, 6, 5))):
        inputs = keras.Input(shape)
        outputs = keras.layers.Conv2D(4, 3, padding="same", data_format=form)(inputs)
        counts.append(kp.analysis.complexity(keras.Model(inputs, outputs)).macs)
    assert counts == [30 * 9 * 3 * 4] * 2


def test_free_standing_operations_are_named_too():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="layers Einsum of"):
        kp.analysis.complexity(keras.Model(inputs, keras.ops.einsum("bi,bi->b", inputs, inputs)))


def test_an_open_input_is_refused():
    inputs = keras.Input((None, None, 3))
    with pytest.raises(ValueError, match=r"open. Received: \(None, None, None, 3\)"):
        kp.analysis.complexity(keras.Model(inputs, keras.layers.ReLU()(inputs)))


def test_a_sequential_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="that are built. Received: Sequential"):
        kp.analysis.complexity(keras.Sequential([keras.layers.Dense(3)]))
