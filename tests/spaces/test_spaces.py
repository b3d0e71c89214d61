"""Named search spaces and the registry of ops."""

import keras
import pytest

import keras_pibnas as kp

OPS = (
    "avg_pool_3x3",
    "conv_7x1_1x7",
    "dil_conv_3x3",
    "dil_conv_5x5",
    "max_pool_3x3",
    "none",
    "pib_conv_3x3",
    "pib_conv_5x5",
    "pib_conv_7x7",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "sep_conv_7x7",
    "skip_connect",
)


def test_names():
    assert set(kp.spaces.names()) >= {"darts", "pibconv", "pibconv_published"}
    assert list(kp.spaces.names()) == sorted(kp.spaces.names())
    assert set(kp.spaces.op_names()) >= set(OPS)
    assert list(kp.spaces.op_names()) == sorted(kp.spaces.op_names())


def test_darts():
    assert kp.spaces.get("darts").primitives == (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "sep_conv_3x3",
        "sep_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )


def test_pibconv_has_the_ten_ops_of_the_paper():
    assert set(kp.spaces.get("pibconv").primitives) == {
        "none",
        "skip_connect",
        "pib_conv_3x3",
        "pib_conv_5x5",
        "pib_conv_7x7",
        "dil_conv_3x3",
        "dil_conv_5x5",
        "conv_7x1_1x7",
        "max_pool_3x3",
        "avg_pool_3x3",
    }
    assert len(kp.spaces.get("pibconv").primitives) == 10


def test_pibconv_published():
    assert kp.spaces.get("pibconv_published").primitives == (
        "none",
        "max_pool_3x3",
        "avg_pool_3x3",
        "skip_connect",
        "pib_conv_3x3",
        "pib_conv_5x5",
        "dil_conv_3x3",
        "dil_conv_5x5",
    )


def test_only_the_pools_of_darts_are_normalized():
    for name in ("darts", "pibconv", "pibconv_published"):
        pool = kp.spaces.get(name).build_op("max_pool_3x3", 4)
        assert pool.norm == (name == "darts")
    assert kp.spaces.build_op("max_pool_3x3", 4).norm is False


def test_supernet_ops_have_no_gamma_and_beta():
    op = kp.spaces.get("darts").build_op("sep_conv_3x3", 4)
    op.build((None, 6, 6, 4))
    assert [v.name for v in op.trainable_variables] == [
        "depthwise_1",
        "pointwise_1",
        "depthwise_2",
        "pointwise_2",
    ]


def test_aliases():
    assert kp.spaces.canonical("skip_conn") == "skip_connect"
    assert kp.spaces.canonical("dialated_conv_5x5") == "dil_conv_5x5"
    assert type(kp.spaces.build_op("dialated_conv_3x3", 4)) is kp.layers.DilConv


def test_a_space_is_its_own_name():
    space = kp.spaces.get("darts")
    assert kp.spaces.get(space) is space


def test_unknown_names():
    with pytest.raises(ValueError, match="Unknown op 'sep_conv_9x9'. Known: avg_pool_3x3, "):
        kp.spaces.build_op("sep_conv_9x9", 4)
    with pytest.raises(ValueError, match="Unknown search space 'dart'. Known: darts, "):
        kp.spaces.get("dart")


def test_register(registry):
    kp.spaces.register_op(
        "narrow", lambda channels, **kwargs: kp.layers.SepConv(channels, kernel_size=1, **kwargs)
    )
    space = kp.spaces.register("mine", ("none", "narrow"))
    assert kp.spaces.get("mine") is space and space == kp.spaces.SearchSpace(
        "mine", ("none", "narrow"), False
    )
    assert "mine" in kp.spaces.names() and "narrow" in kp.spaces.op_names()
    assert kp.spaces.build_op("narrow", 4).kernel_size == 1
    assert kp.Genotype.parse(
        "Genotype(normal=[('narrow', 0), ('narrow', 1)], reduce=[('narrow', 0), ('narrow', 1)])"
    )


def test_register_twice(registry):
    for name in ("sep_conv_3x3", "skip_conn"):
        with pytest.raises(ValueError, match=f"'{name}' is registered already"):
            kp.spaces.register_op(name, kp.layers.SepConv)
    with pytest.raises(ValueError, match="'darts' is registered already. Known: darts"):
        kp.spaces.register("darts", ("skip_connect",))


@pytest.mark.parametrize(
    ("primitives", "message"),
    (
        (("none",), "none"),
        ((), "different ops"),
        (("skip_connect", "skip_connect"), "different ops"),
        (("skip_connect", "skip_conn"), "different ops"),
        (("skip_connect", "sep_conv_9x9"), "Unknown op 'sep_conv_9x9'"),
    ),
)
def test_register_a_wrong_space(primitives, message, registry):
    with pytest.raises(ValueError, match=message):
        kp.spaces.register("wrong", primitives)
    assert "wrong" not in kp.spaces.names()


def test_register_what_is_no_factory(registry):
    with pytest.raises(ValueError, match="must be callable. Received: 3"):
        kp.spaces.register_op("three", 3)


def test_a_keras_layer_may_be_an_op(registry):
    """A factory that takes strides and affine among anything else gets a layer of its own an edge."""
    kp.spaces.register_op(
        "blur",
        lambda channels, strides, affine, **kwargs: keras.layers.AveragePooling2D(
            3, strides, "same", **kwargs
        ),
    )
    op = kp.spaces.build_op("blur", 4, strides=2, branches=2)
    assert op(keras.ops.ones((1, 6, 6, 4))).shape == (1, 3, 3, 8)
    assert type(kp.spaces.build_op("blur", 4)) is keras.layers.AveragePooling2D
