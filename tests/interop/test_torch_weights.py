"""Published PyTorch weights, read from arrays as the published code names them."""

from pathlib import Path

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.methods import EdgeNormalized, Softmax

GOLDEN = Path(__file__).parent.parent / "golden"


def state(file):
    arrays = np.load(GOLDEN / file)
    return {key.removeprefix("sd/"): arrays[key] for key in arrays.files if key.startswith("sd/")}


@pytest.fixture(scope="module")
def weights():
    return state("net_darts_v2_C4_L3.npz")


@pytest.fixture(scope="module")
def model():
    return kp.build_network("DARTS_V2", channels=4, layers=3)


@pytest.fixture
def blank(model):
    for variable in model.weights:
        variable.assign(np.full(variable.shape, 7.0))
    return model


def all_blank(model):
    return all((variable.numpy() == 7.0).all() for variable in model.weights)


def check_loaded(model, weights):
    """One array of every kind of layer, by hand: OIHW kernels, (C, 1, h, w) depthwise, (out, in) matrices."""
    stem = model.get_layer("stem")
    np.testing.assert_array_equal(stem.kernel, weights["stem.0.weight"].transpose(2, 3, 1, 0))
    np.testing.assert_array_equal(stem.norm.gamma, weights["stem.1.weight"])
    np.testing.assert_array_equal(stem.norm.moving_variance, weights["stem.1.running_var"])
    op = model.get_layer("cell_0_op_0_sep_conv_3x3")
    np.testing.assert_array_equal(op.depthwise_1, weights["cells.0._ops.0.op.1.weight"].transpose(2, 3, 0, 1))
    np.testing.assert_array_equal(op.batch_norm_2.beta, weights["cells.0._ops.0.op.7.bias"])
    np.testing.assert_array_equal(model.get_layer("logits").kernel, weights["classifier.weight"].T)
    assert not any((variable.numpy() == 7.0).any() for variable in model.weights)


def test_state_dict(blank, weights):
    kp.interop.load_torch_weights(blank, weights)
    check_loaded(blank, weights)


def test_module_prefix_under_state_dict(blank, weights):
    counted = weights | {"stem.1.num_batches_tracked": np.array(3)}
    kp.interop.load_torch_weights(blank, {"state_dict": {f"module.{key}": value for key, value in counted.items()}})
    check_loaded(blank, weights)


def test_file(blank, weights, tmp_path):
    np.savez(tmp_path / "weights.npz", **weights)
    kp.interop.load_torch_weights(blank, tmp_path / "weights.npz")
    check_loaded(blank, weights)


@pytest.mark.parametrize("suffix", (".pt", ".pth"))
def test_torch_file(blank, weights, tmp_path, suffix):
    torch = pytest.importorskip("torch")
    path = tmp_path / f"weights{suffix}"
    torch.save({"state_dict": {key: torch.from_numpy(value) for key, value in weights.items()}}, path)
    kp.interop.load_torch_weights(blank, str(path))
    check_loaded(blank, weights)


def test_other_files(blank):
    with pytest.raises(ValueError, match=r"\.npz, \.pt or \.pth.*weights\.h5"):
        kp.interop.load_torch_weights(blank, "weights.h5")


def test_missing_arrays(blank, weights):
    fewer = {key: value for key, value in weights.items() if key != "classifier.bias"}
    with pytest.raises(ValueError, match="lack 1 of .*classifier.bias"):
        kp.interop.load_torch_weights(blank, fewer)
    assert all_blank(blank)


def test_arrays_without_a_place(blank, weights):
    with pytest.raises(ValueError, match="no place for 1 of .*cells.9.extra"):
        kp.interop.load_torch_weights(blank, weights | {"cells.9.extra": np.zeros(3)})
    assert all_blank(blank)


def test_misshaped_array(blank, weights):
    with pytest.raises(ValueError, match=r"classifier.weight has the wrong shape.*Expected \(64, 10\).*\(64, 9\)"):
        kp.interop.load_torch_weights(blank, weights | {"classifier.weight": np.zeros((9, 64), "float32")})
    assert all_blank(blank)


def test_an_auxiliary_head_is_left_aside_where_the_model_has_none(blank, weights):
    kp.interop.load_torch_weights(blank, weights | {"auxiliary_head.features.2.weight": np.zeros((128, 64, 1, 1))})
    check_loaded(blank, weights)


def test_auxiliary_head(weights):
    model = kp.build_network("DARTS_V2", channels=4, layers=3, auxiliary=True)
    generator = np.random.default_rng(0)
    shapes = {
        "features.2.weight": (128, 64, 1, 1),
        "features.5.weight": (768, 128, 2, 2),
        "classifier.weight": (10, 768),
        "classifier.bias": (10,),
    }
    for norm, channels in (("features.3", 128), ("features.6", 768)):
        shapes |= {f"{norm}.{part}": (channels,) for part in ("weight", "bias", "running_mean", "running_var")}
    head = {f"auxiliary_head.{name}": generator.normal(size=shape) for name, shape in shapes.items()}
    kp.interop.load_torch_weights(model, weights | head)
    layer = model.get_layer("auxiliary")
    wide = head["auxiliary_head.features.5.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_allclose(layer.wide, wide, rtol=1e-6)
    np.testing.assert_allclose(
        layer.batch_norm_2.moving_mean, head["auxiliary_head.features.6.running_mean"], rtol=1e-6
    )
    with pytest.raises(ValueError, match="lack 12 of "):
        kp.interop.load_torch_weights(model, weights)


def test_supernet():
    """Edges are blocks of channels: rows 1, 3, 6, 10 of alpha leave state 1, row 13 the last one."""
    weights = state("supernet_darts_C4_L3.npz")
    supernet = kp.Supernet("darts", channels=4, layers=3)
    kp.interop.load_torch_weights(supernet, weights)
    cell = supernet.network.cells[0]
    sep_conv = cell.bundles[1].ops[3]  # column 4: none is left out
    edges = [weights[f"cells.0._ops.{row}._ops.4.op.1.weight"] for row in (1, 3, 6, 10)]
    np.testing.assert_array_equal(sep_conv.depthwise_1, np.concatenate(edges).transpose(2, 3, 0, 1))
    edges = [weights[f"cells.0._ops.{row}._ops.4.op.7.running_var"] for row in (1, 3, 6, 10)]
    np.testing.assert_array_equal(sep_conv.batch_norm_2.moving_variance, np.concatenate(edges))
    last = cell.bundles[4].ops[3]
    want = weights["cells.0._ops.13._ops.4.op.2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(last.pointwise_1, want)
    with pytest.raises(ValueError, match="lack"):
        kp.interop.load_torch_weights(supernet, {"stem.0.weight": weights["stem.0.weight"]})


def test_alphas_of_a_supernet():
    """PIBConv's own checkpoints hold alphas, PC-DARTS's edge weights, too; without any, a supernet keeps its own."""
    weights, generator = state("supernet_darts_C4_L3.npz"), np.random.default_rng(0)
    names = {name: shape for kind in ("normal", "reduce") for name, shape in (
        (f"alphas_{kind}", (14, 8)), (f"betas_{kind}", (14,)))}  # fmt: skip
    arrays = {name: generator.normal(size=shape).astype("float32") for name, shape in names.items()}
    alphas = {name: array for name, array in arrays.items() if name.startswith("alphas")}
    supernet = kp.Supernet("darts", channels=4, layers=3)
    before = [alpha.numpy() for alpha in supernet.alphas]
    kp.interop.load_torch_weights(supernet, weights)
    for alpha, value in zip(supernet.alphas, before, strict=True):
        np.testing.assert_array_equal(alpha, value)
    kp.interop.load_torch_weights(supernet, {"state_dict": {f"module.{n}": a for n, a in (weights | alphas).items()}})
    np.testing.assert_array_equal(supernet.alphas[0], arrays["alphas_normal"])
    np.testing.assert_array_equal(supernet.alphas[1], arrays["alphas_reduce"])
    for wrong, message in (
        (arrays, "no place for 2 .*betas_normal"),
        ({"alphas_normal": arrays["alphas_normal"]}, "lack 1 of .*alphas_reduce"),
        (alphas | {"alphas_normal": np.zeros((14, 7))}, r"alphas_normal has the wrong shape.*\(14, 8\).*\(14, 7\)"),
    ):
        with pytest.raises(ValueError, match=message):
            kp.interop.load_torch_weights(supernet, weights | wrong)
    edges = EdgeNormalized(Softmax())
    supernet = kp.Supernet("darts", channels=4, layers=3, method=kp.methods.Method(relaxation=edges))
    kp.interop.load_torch_weights(supernet, weights | arrays)
    for variable in supernet.architecture:
        kind, _, cell = variable.name.rpartition("_")
        np.testing.assert_array_equal(variable, arrays[f"{kind}s_{cell}"])
