"""The methods by name, with the settings that their papers or their code publish for CIFAR-10.

settings of a method, plain data that `--preset paper` takes:
    epochs, batch_size (images), channels, layers, order;
    learning_rate, learning_rate_min (cosine), momentum, l2, clipnorm: of the weights' SGD;
    alpha_learning_rate, alpha_beta_1, alpha_beta_2, alpha_l2, alpha_clipnorm: of the alphas' Adam.
What the alphas start from belongs to the relaxation. None: not used.
"""

import math

from keras_pibnas.methods.discretizations import SkipLimited, Threshold
from keras_pibnas.methods.expected_cost import ExpectedCost
from keras_pibnas.methods.method import Method, Stage
from keras_pibnas.methods.penalties import BetaDecay, DirichletKL, ZeroOne
from keras_pibnas.methods.perturbations import Adversarial, UniformNoise
from keras_pibnas.methods.relaxation import Sigmoid, Simplex, Softmax
from keras_pibnas.methods.sampled import Dirichlet, Gumbel, Uniform
from keras_pibnas.methods.schedules import Exponential, Linear
from keras_pibnas.methods.wrappers import EdgeNormalized, Masked, SkipAssisted

_METHODS = {}

# arXiv:1806.09055. Where a setting stands, and what was read in which code: docs/methods.md.
_DARTS = {
    "epochs": 50, "batch_size": 64, "channels": 16, "layers": 8, "order": 2,
    "learning_rate": 0.025, "learning_rate_min": 0.001, "momentum": 0.9, "l2": 3e-4, "clipnorm": 5.0,
    "alpha_learning_rate": 3e-4, "alpha_beta_1": 0.5, "alpha_beta_2": 0.999, "alpha_l2": 1e-3, "alpha_clipnorm": None,
}  # fmt: skip
_FIRST_ORDER = _DARTS | {"order": 1}
# arXiv:1907.05737; its code ends at a learning rate of 0.001.
_PC_DARTS = _FIRST_ORDER | {
    "batch_size": 256, "learning_rate": 0.1, "learning_rate_min": 0.0, "alpha_learning_rate": 6e-4,
}  # fmt: skip


def names() -> tuple[str, ...]:
    """The names of all methods, sorted.

    Example:
        >>> "pc_darts" in kp.methods.names()
        True
    """
    return tuple(sorted(_METHODS))


def get(name: str | Method) -> Method:
    """The method of that name; a Method is returned as it is.

    Raises:
        ValueError: names the known ones.

    Example:
        >>> kp.methods.get("pc_darts").partial
        4
    """
    if isinstance(name, Method):
        return name
    if not isinstance(name, str) or name not in _METHODS:
        raise ValueError(f"Unknown method {name!r}. Known: {', '.join(names())}")
    return _METHODS[name]


def register(name: str, method: Method) -> Method:
    """Adds a method under a name that `Supernet(method=)` and `--method` then know. Returns it.

    Raises:
        ValueError: the name is taken or no string, or the method is no Method.

    Example:
        >>> method = kp.methods.register("sigmoid", kp.methods.Method(kp.methods.Sigmoid()))
        >>> kp.methods.get("sigmoid") == method
        True
    """
    if not isinstance(name, str) or not name:
        raise ValueError(f"A method's name is a string. Received: {name!r}")
    if name in _METHODS:
        raise ValueError(f"Method {name!r} is registered already. Known: {', '.join(names())}")
    if not isinstance(method, Method):
        raise ValueError(f"What is registered must be a Method. Received: {method!r}")
    _METHODS[name] = method
    return method


def _pdarts_stage(layers, ops, rate):
    """The dropout decays as exp(-0.2 epoch) after 10 of 25 epochs; until then it stays, where the code lowers it."""
    return Stage(layers, ops, Exponential(rate, rate * math.exp(-0.2 * 15), 10 / 25, 1.0))


register("darts", Method(settings=_DARTS))
# PIBConv's published code; GDAS's schedules end at epochs - 1, these at epochs.
register("gumbel", Method(Gumbel(Linear(10.0, 1.0)), settings=_FIRST_ORDER | {"alpha_clipnorm": 5.0}))
register(
    "gdas",  # arXiv:1910.04465
    Method(
        Gumbel(Linear(10.0, 0.1), hard=True), settings=_FIRST_ORDER | {"epochs": 250, "batch_size": 256, "l2": 5e-4}
    ),
)
register(
    "snas",  # arXiv:1812.09926; the cost's weight is ours: docs/methods.md
    Method(
        Gumbel(Exponential(1.0, 0.03), mean=1.0, stddev=0.01),
        (ExpectedCost(form="log", weight=0.01),),
        update="single",
        settings=_FIRST_ORDER | {"epochs": 150},
    ),
)
register(
    "drnas",  # arXiv:2006.10355: its first stage; a KL term, so no L2 term of the alphas
    Method(
        Dirichlet(),
        (DirichletKL(1e-3),),
        partial=6,
        rest=10 / 25,
        settings=_PC_DARTS | {"epochs": 25, "batch_size": 64, "channels": 36, "layers": 20, "alpha_l2": 0.0},
    ),
)
register(
    "fair_darts",  # arXiv:1911.12126
    Method(
        Masked(Sigmoid(stddev=0.0), ("none",)),
        (ZeroOne(10.0),),
        discretization=Threshold(0.85, 2),
        settings=_FIRST_ORDER
        | {"batch_size": 128, "learning_rate": 0.005, "alpha_learning_rate": 3e-3, "alpha_beta_1": 0.9},
    ),
)
register("pc_darts", Method(EdgeNormalized(Softmax()), partial=4, rest=15 / 50, settings=_PC_DARTS))
# Of order 1, as the code of the next four runs by default; each has order 2 too.
register("beta_darts", Method(penalties=(BetaDecay(Linear(0.0, 50.0)),), settings=_FIRST_ORDER))  # arXiv:2203.01665
register("sdarts_rs", Method(perturbation=UniformNoise(Linear(0.03, 0.3)), settings=_FIRST_ORDER))  # arXiv:2002.05283
register("sdarts_adv", Method(perturbation=Adversarial(Linear(0.03, 0.3), 7), settings=_FIRST_ORDER))
register("darts_minus", Method(SkipAssisted(Softmax(), Linear(1.0, 0.0)), settings=_FIRST_ORDER))  # arXiv:2009.01027
register("single_level", Method(update="single", settings=_FIRST_ORDER))
register(
    "gaea",  # arXiv:2004.07802; no Adam, so nothing of it
    Method(
        Simplex(0.1),
        settings=_FIRST_ORDER
        | {"alpha_learning_rate": 0.1, "alpha_beta_1": None, "alpha_beta_2": None, "alpha_l2": None},
    ),
)
register("random_sharing", Method(Uniform(), settings=_FIRST_ORDER))  # arXiv:1902.07638
register(
    "p_darts",  # arXiv:1904.12760
    Method(
        discretization=SkipLimited(2),
        rest=10 / 25,
        stages=tuple(map(_pdarts_stage, (5, 11, 17), (8, 5, 3), (0.1, 0.4, 0.7))),
        settings=_FIRST_ORDER
        | {"epochs": 25, "batch_size": 96, "layers": 5, "learning_rate_min": 0.0, "alpha_learning_rate": 6e-4}
        | {"alpha_clipnorm": 5.0},
    ),
)
