"""The peer is the published model: its weights count, compute and differentiate as the published ones do."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_pibnas import genotypes

torch = pytest.importorskip("torch")
from benchmarks import peer  # noqa: E402
from benchmarks.peer_steps import Searcher, Trainer  # noqa: E402

pytestmark = pytest.mark.slow

GOLDEN = Path(__file__).parents[1] / "golden"
NAMES = ("normal", "reduce")


@pytest.fixture(autouse=True)
def one_thread():
    """Two would wait for each other at every op of these tiny networks, for minutes on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def genotype(name):
    return json.loads(genotypes.get(name).to_json())


def count(net):
    return sum(p.numel() for p in net.parameters())


def load(net, arrays):
    """Every array of the file that is a state, and no other."""
    state = {name[3:]: torch.from_numpy(arrays[name]) for name in arrays.files if name.startswith("sd/")}
    missing, unexpected = net.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    return net


def relative(gradient, expected):
    """Norm of the difference over the norm of what is expected."""
    return np.linalg.norm(gradient.numpy() - expected) / np.linalg.norm(expected)


def batch(arrays, x, y):
    return torch.from_numpy(arrays[x]), torch.from_numpy(arrays[y]).long()


@pytest.fixture(scope="module")
def arrays():
    return np.load(GOLDEN / "supernet_darts_C4_L3.npz")


@pytest.fixture
def net(arrays):
    net = load(peer.Supernet("darts", channels=4, layers=3), arrays)
    with torch.no_grad():
        for alpha, name in zip(net.alphas, NAMES, strict=True):
            alpha.copy_(torch.from_numpy(arrays[f"alphas_{name}"]))
    return net


# DESIGN.md section 5: supernets at channels 16, layers 8, without alphas.
@pytest.mark.parametrize(
    ("space", "stem", "weights"),
    [
        ("darts", "conv3x3", 1_930_618),
        ("pibconv", "conv3x3", 6_963_450),
        ("pibconv", "patchify", 6_964_458),
        ("pibconv_published", "conv3x3", 2_527_354),
        ("pibconv_published", "patchify", 2_528_362),
    ],
)
def test_supernet_has_as_many_weights_as_the_published_one(space, stem, weights):
    assert count(peer.Supernet(space, channels=16, layers=8, stem=stem)) == weights


# DESIGN.md section 5: discrete networks at channels 36.
@pytest.mark.parametrize(
    ("name", "layers", "weights"),
    [
        ("DARTS_V2", 20, 3_349_342),
        ("DARTS_V2", 10, 1_596_034),
        ("DARTS_V2", 2, 82_342),
        ("PIBCONV", 20, 6_006_790),
        ("PIBCONV", 10, 2_993_014),
        ("PIBCONV", 2, 376_534),
    ],
)
def test_network_has_as_many_weights_as_the_published_one(name, layers, weights):
    assert count(peer.Network(genotype(name), channels=36, layers=layers)) == weights


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_supernet_logits_equal_the_published_ones(net, arrays, layout):
    net = net.to(memory_format=layout)
    for part, x, y in (("train", "x_train_nchw", "y_train"), ("val", "x_val_nchw", "y_val")):
        images, _ = batch(arrays, x, y)
        logits = net(images.contiguous(memory_format=layout)).detach().numpy()
        np.testing.assert_allclose(logits, arrays[f"{part}_logits"], atol=1e-5)


# First order: d L_valid / d alpha at w. Second order, published finite difference: in float64, since the
# difference of two nearly equal gradients leaves float32 few digits.
@pytest.mark.parametrize(
    ("order", "key", "dtype", "tolerance"),
    [(1, "val_galpha_{}", torch.float32, 1e-3), (2, "so_fd_{}_f64", torch.float64, 1e-6)],
)
def test_alpha_gradients_equal_the_published_ones(net, arrays, order, key, dtype, tolerance):
    eta, l2, _ = arrays["hyper_eta_wd_r"].tolist()
    net = net.to(dtype)
    net.alphas = [alpha.detach().to(dtype).requires_grad_() for alpha in net.alphas]
    train, valid = ((x.to(dtype), y) for x, y in (batch(arrays, f"x_{p}_nchw", f"y_{p}") for p in ("train", "val")))
    before = [w.detach().clone() for w in net.parameters()]

    gradients = Searcher(net, order, lr=eta, l2=l2).alpha_gradients(train, valid)

    for gradient, name in zip(gradients, NAMES, strict=True):
        assert relative(gradient, arrays[key.format(name)]) < tolerance
    for w, old in zip(net.parameters(), before, strict=True):
        torch.testing.assert_close(w.detach(), old, rtol=0, atol=0)


def test_network_equals_the_published_one():
    arrays = np.load(GOLDEN / "net_darts_v2_C4_L3.npz")
    net = load(peer.Network(genotype("DARTS_V2"), channels=4, layers=3), arrays)
    images, labels = batch(arrays, "x_nchw", "y")
    with torch.no_grad():
        np.testing.assert_allclose(net.eval()(images).numpy(), arrays["eval_logits"], atol=1e-5)

    loss = Trainer(net.train()).loss((images, labels))
    loss.backward()
    np.testing.assert_allclose(loss.item(), arrays["train_loss"], rtol=1e-5)
    for name, weight in net.named_parameters():
        assert relative(weight.grad, arrays[f"train_grad/{name}"]) < 1e-3, name


def test_weight_step_is_the_published_rule():
    """Two steps on L = sum(g w) by hand: v = m v + clip(g) + l2 w; w -= lr v."""
    net = torch.nn.Linear(1, 2, bias=False)
    trainer = Trainer(net, lr=0.1, momentum=0.9, l2=0.01)
    w, v = net.weight.detach().clone(), torch.zeros(2, 1)
    slope = torch.tensor([[30.0], [40.0]])  # norm 50, clipped to 5: (3, 4)
    trainer.loss = lambda batch: (slope * net.weight).sum()
    for _ in range(2):
        trainer.weight_step(None)
        v = 0.9 * v + slope / 10 + 0.01 * w
        w = w - 0.1 * v
    torch.testing.assert_close(net.weight.detach(), w)


def test_search_step_moves_alphas_before_weights(net, arrays):
    train, valid = batch(arrays, "x_train_nchw", "y_train"), batch(arrays, "x_val_nchw", "y_val")
    searcher = Searcher(net)
    alphas = [a.detach().clone() for a in net.alphas]
    seen = []
    searcher.weight_step = lambda batch: seen.append([a.detach().clone() for a in net.alphas])
    searcher.step(train, valid)
    # Adam's first step is the learning rate, in the direction against the gradient and its L2 term.
    for old, new, name in zip(alphas, seen[0], NAMES, strict=True):
        direction = torch.from_numpy(arrays[f"val_galpha_{name}"]) + 1e-3 * old
        large = direction.abs() > 1e-5
        torch.testing.assert_close((old - new)[large], 3e-4 * direction.sign()[large], rtol=2e-2, atol=0)
