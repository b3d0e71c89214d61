"""Formulas against the lecture notes' examples by hand, against counts of built ops, and against Keras's layers."""

import keras
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import closed_form
from keras_pibnas.analysis.closed_form import Cost

pytestmark = pytest.mark.usefixtures("shapes_alone")


def test_primitive_operations_of_the_lecture_notes():
    """8 channels in, 16 out, 3x3 kernels, 4 groups, on 5x4 pixels."""
    size = {"kernel_size": 3, "sides": (5, 4)}
    assert closed_form.linear(8, 16) == Cost(8 * 16 + 16, 8 * 16)
    assert closed_form.convolution(8, 16, **size) == Cost(16 * 8 * 9, 20 * 16 * 8 * 9)
    assert closed_form.depthwise_convolution(8, **size) == Cost(8 * 9, 20 * 8 * 9)
    assert closed_form.grouped_convolution(8, 16, 4, **size) == Cost(16 * 2 * 9, 20 * 16 * 2 * 9)
    assert closed_form.pointwise_convolution(8, 16, (5, 4)) == Cost(16 * 8, 20 * 16 * 8)
    assert closed_form.grouped_convolution(8, 8, 8, **size) == closed_form.depthwise_convolution(8, **size)


@pytest.mark.parametrize("groups", (1, 2, 4))
def test_keras_convolutions_have_as_many_weights(groups):
    layer = keras.layers.Conv2D(16, 5, groups=groups, use_bias=True)
    layer.build((None, 9, 9, 8))
    assert layer.count_params() == closed_form.convolution(8, 16, 5, groups=groups, bias=True).params


def test_blocks_of_the_papers():
    """ResNet-50's 256-wide bottleneck and ResNeXt-50 (32x4d)'s block have about 70 thousand weights each, "roughly the
    same" (arXiv:1611.05431, section 3.2: 256 * 64 + 3 * 3 * 64 * 64 + 64 * 256 and C (256 d + 3 * 3 d d + d 256))."""
    norms = 4 * 64 + 2 * 256
    resnet = closed_form.bottleneck(256, (1, 1))
    assert resnet == Cost(256 * 64 + 9 * 64 * 64 + 64 * 256 + norms, 256 * 64 + 9 * 64 * 64 + 64 * 256)
    resnext = closed_form.bottleneck(256, (1, 1), reduction=2, groups=32)
    assert resnext.macs == 32 * (256 * 4 + 9 * 4 * 4 + 4 * 256)
    assert (resnet.macs, resnext.macs) == (69632, 70144)


def test_a_separable_block_is_one_ninth_and_one_nth():
    """MobileNet, section 3.1: 1 / N + 1 / D_K^2 of a convolution with N outputs."""
    separable, plain = closed_form.separable_block(36), closed_form.convolution(36, 36)
    assert separable.macs * 36 * 9 == plain.macs * (36 + 9)


# Op: its formula and the arguments that differ from the formula's own.
OPS = {
    "linear": None,
    "conv_1x1": (closed_form.conv, {"kernel_size": 1}),
    "conv_3x3": (closed_form.conv, {}),
    "grouped_conv_3x3": (closed_form.conv, {"groups": 2}),
    "depthwise_conv_3x3": (closed_form.conv, {"groups": 12}),
    "resnet_bottleneck": (closed_form.bottleneck, {}),
    "resnext_block": (closed_form.bottleneck, {"reduction": 2, "groups": 4}),
    "mobilenet_block": (closed_form.separable_block, {}),
    "inverted_residual": (closed_form.inverted_residual, {}),
    "shuffle_unit": (closed_form.shuffle_unit, {}),
    "invo_3x3": (closed_form.involution, {}),
    "invo_7x7": (closed_form.involution, {"kernel_size": 7}),
    "dil_invo_5x5": (closed_form.involution, {"kernel_size": 5}),
}


def expected(name, strides):
    if name == "linear":
        sides = closed_form.halved((7, 6), strides)
        return closed_form.pointwise_convolution(12, 12, sides, bias=True)
    formula, sizes = OPS[name]
    return formula(12, (7, 6), strides, **sizes)


def model_of(name, strides, **kwargs):
    inputs = keras.Input((7, 6, 12))
    return keras.Model(inputs, kp.spaces.build_op(name, 12, strides, **kwargs)(inputs))


@pytest.mark.parametrize("strides", (1, 2))
@pytest.mark.parametrize("name", OPS)
def test_formulas_equal_exact_counts(name, strides):
    model = model_of(name, strides)
    count, cost = kp.analysis.complexity(model), expected(name, strides)
    assert (count.params, count.macs) == (cost.params, cost.macs)
    assert cost.params == sum(v.shape.num_elements() for v in model.trainable_variables)


def test_every_op_of_both_spaces_has_a_formula():
    for space in ("classical", "involution"):
        own = set(kp.spaces.get(space).primitives) - {"none", "skip_connect", "max_pool_3x3", "avg_pool_3x3"}
        assert own <= {*OPS, "invo_5x5", "dil_invo_3x3"}


def test_involution_with_groups_and_reduction():
    cost = closed_form.involution(12, (7, 6), 2, 5, groups=3, reduction=4)
    assert cost == Cost(12 * 3 + 3 * 75 + 2 * 3, 4 * 3 * (12 * 3 + 3 * 75 + 25 * 12))
    count = kp.analysis.complexity(model_of("invo_5x5", 2, groups=3, reduction=4))
    assert (count.params, count.macs) == (cost.params, cost.macs)


# On 7x6 pixels, 12 channels; stride 2 leaves 4x3. BN 2 and ReLU 1 an element, pooling 1 an element read, biases.
@pytest.mark.parametrize(
    ("name", "strides", "extra"),
    (
        ("linear", 2, 12 * 12),
        ("conv_3x3", 1, 42 * 12 + 2 * 42 * 12),
        ("resnet_bottleneck", 2, 3 * 42 * 3 + 3 * 12 * 3 + 2 * 12 * 12 + 2 * 12 * 12 + 12 * 12),
        ("mobilenet_block", 1, 2 * 3 * 42 * 12),
        ("inverted_residual", 2, 3 * 42 * 72 + 3 * 12 * 72 + 2 * 12 * 12),
        ("shuffle_unit", 2, 42 * 12 + 3 * 42 * 4 + 2 * 12 * 4 + 3 * 12 * 12),
        ("invo_3x3", 2, 42 * 12 + 3 * 12 * 12),
    ),
)
def test_what_the_table_counts_besides(name, strides, extra):
    assert kp.analysis.complexity(model_of(name, strides)).extra == extra


@pytest.mark.parametrize(
    ("call", "words"),
    (
        (lambda: closed_form.convolution(8, 16, groups=3), "divide inputs=8 and outputs=16. Received: groups=3"),
        (lambda: closed_form.linear(0, 16), "Received: inputs=0"),
        (lambda: closed_form.conv(8, (0, 4)), "Received: height=0"),
        (lambda: closed_form.bottleneck(8, reduction=1.5), "Received: reduction=1.5"),
    ),
)
def test_wrong_sizes(call, words):
    with pytest.raises(ValueError, match=words):
        call()
