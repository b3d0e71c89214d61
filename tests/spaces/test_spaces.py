"""Named search spaces and the registry of ops."""

import json

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
    with pytest.raises(ValueError, match="Unknown search space 'dart'. Known: .*darts, "):
        kp.spaces.get("dart")


def test_register(registry):
    kp.spaces.register_op("narrow", lambda channels, **kwargs: kp.layers.SepConv(channels, kernel_size=1, **kwargs))
    space = kp.spaces.register("mine", ("none", "narrow"))
    assert kp.spaces.get("mine") is space and space == kp.spaces.SearchSpace("mine", ("none", "narrow"), False)
    assert "mine" in kp.spaces.names() and "narrow" in kp.spaces.op_names()
    assert kp.spaces.build_op("narrow", 4).kernel_size == 1
    assert kp.Genotype.parse("Genotype(normal=[('narrow', 0), ('narrow', 1)], reduce=[('narrow', 0), ('narrow', 1)])")


def test_register_twice(registry):
    for name in ("sep_conv_3x3", "skip_conn"):
        with pytest.raises(ValueError, match=f"'{name}' is registered already"):
            kp.spaces.register_op(name, kp.layers.SepConv)
    with pytest.raises(ValueError, match="'darts' is registered already. Known: .*darts"):
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
        lambda channels, strides, affine, **kwargs: keras.layers.AveragePooling2D(3, strides, "same", **kwargs),
    )
    op = kp.spaces.build_op("blur", 4, strides=2, branches=2)
    assert op(keras.ops.ones((1, 6, 6, 4))).shape == (1, 3, 3, 8)
    assert type(kp.spaces.build_op("blur", 4)) is keras.layers.AveragePooling2D


@pytest.mark.parametrize(
    ("name", "block"),
    [("darts_gelu", "sep_conv_gelu"), ("darts_layernorm", "sep_conv_layernorm"), ("convnext", "convnext")],
)
def test_the_roadmap_changes_the_separable_convolution_alone(name, block):
    space, darts = kp.spaces.get(name), kp.spaces.get("darts")
    assert space.primitives == tuple(op.replace("sep_conv", block) for op in darts.primitives)
    assert space.pool_norm == darts.pool_norm


@pytest.mark.parametrize("expansion", (1.5, 3, 4.5))
def test_pibconv_with_any_expansion(expansion):
    space = kp.spaces.pibconv(expansion)
    assert space == kp.spaces.get(f"pibconv_f{expansion}")
    assert space.primitives[2:5] == tuple(f"pib_conv_{k}x{k}_f{expansion}" for k in (3, 5, 7))
    assert space.primitives[:2] + space.primitives[5:] == (
        kp.spaces.get("pibconv").primitives[:2] + kp.spaces.get("pibconv").primitives[5:]
    )
    op = space.build_op("pib_conv_5x5_f" + str(expansion), 8, branches=3)
    assert (op.expansion, op.kernel_size, op.branches, op.affine) == (expansion, 5, 3, False)


def test_the_published_expansion_is_the_plain_space():
    plain = kp.spaces.get("pibconv")
    assert kp.spaces.pibconv() is plain and kp.spaces.get("pibconv_f2") is kp.spaces.get("pibconv_f2.0") is plain
    assert kp.spaces.canonical("pib_conv_3x3_f2.0") == "pib_conv_3x3"
    assert kp.spaces.canonical("pib_conv_3x3_f3.50") == "pib_conv_3x3_f3.5"


def test_genotypes_with_an_expansion_can_be_read_and_built():
    pairs = [["pib_conv_3x3_f1.5", 0], ["skip_connect", 1]]
    genotype = kp.Genotype.from_json(json.dumps({"normal": pairs, "reduce": pairs}))
    ops = [layer for layer in kp.build_network(genotype, (8, 8, 1), 2, 4, 2).layers if "pib" in layer.name]
    assert {op.expansion for op in ops} == {1.5} and len(ops) == 2


@pytest.mark.parametrize("wrong", (0, -1.5, 1000, "2"))
def test_wrong_expansions(wrong):
    with pytest.raises(ValueError, match=f"0.01 to 100. Received: expansion={wrong!r}"):
        kp.spaces.pibconv(wrong)


@pytest.mark.parametrize("name", ("pib_conv_9x9_f3", "pib_conv_3x3_f", "sep_conv_3x3_f3", "pib_conv_3x3_f1e3"))
def test_an_expansion_belongs_to_a_known_pib_conv(name):
    with pytest.raises(ValueError, match=f"Unknown op '{name}'"):
        kp.spaces.build_op(name, 4)
    with pytest.raises(ValueError, match=f"unknown op '{name}'|Unknown op '{name}'"):
        kp.build_network(kp.Genotype([(name, 0), (name, 1)], [(name, 0), (name, 1)], [2], [2]))


def test_a_supernet_keeps_its_expansion(tmp_path):
    supernet = kp.Supernet("pibconv_f1.5", (4, 4, 1), 2, channels=4, layers=2, nodes=1)
    supernet.compile()
    supernet.save(tmp_path / "supernet.keras")
    loaded = keras.saving.load_model(tmp_path / "supernet.keras")
    assert loaded.space == kp.spaces.pibconv(1.5)
    x = keras.random.normal((2, 4, 4, 1))
    assert keras.ops.all(loaded(x) == supernet(x))
