"""Methods as objects, their catalog, and stages."""

import doctest
import importlib

import keras
import numpy as np
import pytest
from keras import ops

import keras_pibnas as kp
from keras_pibnas import methods

NAMES = (
    "beta_darts", "darts", "darts_minus", "drnas", "fair_darts", "gaea", "gdas", "gumbel", "p_darts", "pc_darts",
    "random_sharing", "sdarts_adv", "sdarts_rs", "single_level", "snas",
)  # fmt: skip


def test_names():
    assert methods.names() == NAMES
    assert methods.get("darts") is methods.get(methods.get("darts"))
    with pytest.raises(ValueError, match="Unknown method 'dart'. Known: beta_darts, darts, darts_minus, drnas"):
        methods.get("dart")


def test_what_the_table_of_methods_says():
    get = methods.get
    assert get("darts") == methods.Method(settings=get("darts").settings)
    assert get("gumbel").relaxation == methods.Gumbel(methods.Linear(10, 1))
    assert get("gdas").relaxation == methods.Gumbel(methods.Linear(10, 0.1), hard=True)
    snas = get("snas")
    assert snas.update == "single" and snas.penalties[0].form == "log"
    assert snas.relaxation == methods.Gumbel(methods.Exponential(1, 0.03), mean=1.0, stddev=0.01)
    assert (get("drnas").partial, get("drnas").rest) == (6, 0.4)
    assert (get("pc_darts").partial, get("pc_darts").rest) == (4, 0.3)
    assert get("fair_darts").discretization == methods.Threshold(0.85, 2)
    assert get("single_level").update == "single" and get("gaea").relaxation.rate == 0.1
    stages = get("p_darts").stages
    assert [(stage.layers, stage.ops) for stage in stages] == [(5, 8), (11, 5), (17, 3)]
    assert get("p_darts").discretization == methods.SkipLimited(2)


@pytest.mark.parametrize("name", NAMES)
def test_settings_make_optimizers(name):
    """Each has the same keys, and numbers that optimizers take; the channels can be divided as the method asks."""
    method = methods.get(name)
    assert set(method.settings) == set(methods.get("darts").settings)
    method.check_channels(method.settings["channels"])
    assert 0 <= method.settings["learning_rate_min"] < method.settings["learning_rate"] <= 0.1


def test_published_settings():
    """Numbers of the papers' sections on CIFAR-10, and of FairDARTS's code for its learning rate and betas."""
    settings = {name: methods.get(name).settings for name in NAMES}
    pick = lambda name, *keys: tuple(settings[name][key] for key in keys)  # noqa: E731
    assert pick("darts", "epochs", "batch_size", "order", "learning_rate", "alpha_learning_rate") == (
        50,
        64,
        2,
        0.025,
        3e-4,
    )
    assert pick("gdas", "epochs", "batch_size", "alpha_learning_rate") == (250, 256, 3e-4)
    assert pick("gumbel", "alpha_clipnorm") == (5.0,) and pick("snas", "epochs") == (150,)
    assert pick("drnas", "epochs", "alpha_learning_rate") == (25, 6e-4)
    fair = pick("fair_darts", "alpha_learning_rate", "alpha_beta_1", "alpha_beta_2", "learning_rate")
    assert fair == (3e-3, 0.9, 0.999, 0.005)
    pc = pick("pc_darts", "order", "batch_size", "learning_rate", "learning_rate_min", "alpha_learning_rate")
    assert pc == (1, 256, 0.1, 0.0, 6e-4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"relaxation": "softmax"}, r"relaxation must be a Relaxation, such as Softmax\(\). Received"),
        ({"penalties": ("entropy",)}, r"a tuple of Penalty, such as Entropy\(0.1\). Received: penalties='entropy'"),
        ({"perturbation": 0.1}, "perturbation must be a Perturbation or None. Received: perturbation=0.1"),
        ({"discretization": 2}, "discretization must be a Discretization"),
        ({"partial": 0}, "partial must be an integer of at least 1. Received: partial=0"),
        ({"update": "both"}, "one of alternating, single. Received: update='both'"),
        ({"rest": 1.0}, "rest must be from 0 and below 1. Received: rest=1.0"),
    ],
)
def test_wrong_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        methods.Method(**arguments)


def test_channels_that_do_not_divide_are_refused():
    methods.get("pc_darts").check_channels(16)
    with pytest.raises(ValueError, match="partial=6 needs channels divisible by 12, such as 12. Received: channels=16"):
        methods.get("drnas").check_channels(16)


def test_a_stage_keeps_the_best_ops():
    stage = methods.Stage(5, 2)
    scores = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4], [0.0, 0.0, 1.0]])
    assert stage.mask(scores).tolist() == [[False, True, True], [True, False, True], [False, False, True]]
    with pytest.raises(ValueError, match="Received: layers=1, ops=2"):
        methods.Stage(1, 2)


def test_a_stages_method_is_masked():
    scores = np.tile([0.2, 0.5, 0.3], (5, 1)), np.tile([0.5, 0.3, 0.2], (5, 1))
    method = methods.Stage(5, 1).method(methods.get("p_darts"), scores)
    cells = [methods.CellSpec(kind, 2, ("none", "skip_connect", "sep_conv_3x3")) for kind in ("normal", "reduce")]
    mixes = [method.relaxation.mix({"alpha": np.zeros((5, 3))}, (), 0.0, cell) for cell in cells]
    np.testing.assert_array_equal(mixes, [np.tile([0, 1, 0], (5, 1)), np.tile([1, 0, 0], (5, 1))])
    assert method.stages == () and method.rest == 0.4


@pytest.mark.usefixtures("registered")
def test_a_method_of_ones_own():
    @keras.saving.register_keras_serializable("my_package")
    class Squares(methods.Relaxation):
        def mix(self, arch, noise, progress, cell):
            return self.scores(arch, cell)

        def scores(self, arch, cell):
            squares = ops.square(ops.convert_to_tensor(arch["alpha"]))
            return squares / ops.sum(squares, axis=-1, keepdims=True)

        def get_config(self):
            return {}

    method = methods.register("squares", methods.Method(Squares()))
    assert kp.methods.get("squares") is method and "squares" in methods.names()
    cell = methods.CellSpec("normal", 1, ("skip_connect", "sep_conv_3x3"))
    mix = method.relaxation.mix({"alpha": np.array([[1.0, 2.0], [3.0, 0.0]])}, (), 0.0, cell)
    np.testing.assert_allclose(mix, [[0.2, 0.8], [1.0, 0.0]])
    with pytest.raises(ValueError, match="'squares' is registered already"):
        methods.register("squares", method)
    with pytest.raises(ValueError, match="must be a Method. Received: 'softmax'"):
        methods.register("other", "softmax")


@pytest.mark.parametrize("module", ["cells", "method"])
def test_examples(module):
    found = doctest.testmod(importlib.import_module(f"keras_pibnas.methods.{module}"), extraglobs={"kp": kp})
    assert found.attempted and not found.failed
