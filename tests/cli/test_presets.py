"""`search --preset paper`: the published settings of every method, and the optimizers that they make."""

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import flags, search

# What differs from DARTS's settings at first order, method by method; sources: docs/methods.md.
FIRST = {"epochs": 50, "batch_size": 64, "channels": 16, "layers": 8, "order": 1}
FIRST |= {"learning_rate": 0.025, "learning_rate_min": 0.001, "momentum": 0.9, "l2": 3e-4, "clipnorm": 5.0}
FIRST |= {"alpha_learning_rate": 3e-4, "alpha_beta_1": 0.5, "alpha_beta_2": 0.999, "alpha_l2": 1e-3}
FIRST |= {"alpha_clipnorm": None}
PC = {"batch_size": 256, "learning_rate": 0.1, "learning_rate_min": 0.0, "alpha_learning_rate": 6e-4}
PUBLISHED = {
    "beta_darts": FIRST,
    "darts_minus": FIRST,
    "drnas": FIRST | PC | {"epochs": 25, "batch_size": 64, "channels": 36, "layers": 20, "alpha_l2": 0.0},
    "fair_darts": FIRST | {"batch_size": 128, "learning_rate": 0.005, "alpha_learning_rate": 3e-3, "alpha_beta_1": 0.9},
    "gaea": FIRST | {"alpha_learning_rate": 0.1, "alpha_beta_1": None, "alpha_beta_2": None, "alpha_l2": None},
    "gdas": FIRST | {"epochs": 250, "batch_size": 256, "l2": 5e-4},
    "gumbel": FIRST | {"alpha_clipnorm": 5.0},
    "p_darts": FIRST
    | {"epochs": 25, "batch_size": 96, "layers": 5, "learning_rate_min": 0.0}
    | {"alpha_learning_rate": 6e-4, "alpha_clipnorm": 5.0},
    "pc_darts": FIRST | PC,
    "random_sharing": FIRST,
    "sdarts_adv": FIRST,
    "sdarts_rs": FIRST,
    "single_level": FIRST,
    "snas": FIRST | {"epochs": 150},
}


def preset(*words):
    return flags.parse(search.build_parser(), ["--preset", "paper", *words], {"paper": search.published})


def optimizer_of(args):
    """Of the weights, for epochs of 10 steps."""
    return search.weight_optimizer(args.learning_rate, 10 * args.epochs, args)


def test_every_method_is_here():
    assert {*PUBLISHED, "darts"} == set(kp.methods.names())


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_each_method_sets(name):
    args = preset("--method", name)
    assert {key: getattr(args, key) for key in FIRST} == PUBLISHED[name]
    assert (args.dataset, args.side, args.space) == ("cifar10", 32, "pibconv")
    assert preset("--epochs=3", "--method", name, "--momentum=0.5").momentum == 0.5


def test_darts_has_the_learning_rate_of_the_pibconv_paper():
    args = preset()
    assert (args.method, args.learning_rate, args.batch_size, args.epochs, args.order) == ("darts", 0.0025, 64, 50, 2)
    assert preset("--method=darts").learning_rate == 0.0025


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_optimizers_are_the_published_ones(name):
    """SGD from the first learning rate to the last; Adam with its betas, or GAEA's own."""
    args, want = preset("--method", name), PUBLISHED[name]
    sgd, own = optimizer_of(args), search.alpha_optimizer(args)
    schedule, steps = sgd._learning_rate, 10 * want["epochs"]
    assert float(schedule(0)) == pytest.approx(want["learning_rate"])
    assert float(schedule(steps)) == pytest.approx(want["learning_rate_min"], abs=1e-9)
    assert (sgd.momentum, sgd.l2, sgd.global_clipnorm) == (0.9, want["l2"], 5.0)
    assert float(own.learning_rate) == pytest.approx(want["alpha_learning_rate"])
    if name == "gaea":
        assert isinstance(own, kp.methods.ExponentiatedGradient)
    else:
        assert (own.beta_1, own.beta_2, own.l2) == (want["alpha_beta_1"], 0.999, want["alpha_l2"])
        assert own.global_clipnorm == want["alpha_clipnorm"]


def test_without_a_preset_the_optimizers_are_darts_own():
    args = search.build_parser().parse_args([])
    sgd, adam = optimizer_of(args), search.alpha_optimizer(args)
    assert (sgd.momentum, sgd.l2, sgd.global_clipnorm) == (0.9, 3e-4, 5.0)
    assert float(sgd._learning_rate(100)) == pytest.approx(0.001)
    assert (adam.beta_1, adam.beta_2, adam.l2, adam.global_clipnorm) == (0.5, 0.999, 1e-3, None)
    assert optimizer_of(search.build_parser().parse_args(["--clipnorm=0"])).global_clipnorm is None


def test_an_optimizer_of_its_own_takes_no_moments():
    args = search.build_parser().parse_args(["--method=gaea", "--alpha-beta-1=0.9", "--alpha-l2=0.1"])
    with pytest.raises(ValueError, match="learning rate alone. Received: --alpha-beta-1, --alpha-l2"):
        search.alpha_optimizer(args)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--preset=paper", "--method=dart"], "Unknown method 'dart'. Known: beta_darts, "),
        (["--momentum=1"], "--momentum: invalid number (0 or more, below 1) value: '1'"),
        (["--alpha-l2=-1"], "--alpha-l2: invalid number (0 or more) value: '-1'"),
        (["--alpha-l2=nan"], "--alpha-l2: invalid number (0 or more) value: 'nan'"),
    ],
)
def test_wrong_values(argv, words, fails):
    assert words in fails(search.main, argv)
