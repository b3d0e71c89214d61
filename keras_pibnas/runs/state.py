"""Everything in a model that decides how its training goes on, as named arrays."""

import contextlib
from collections.abc import Mapping

import keras
import numpy as np


class CheckpointError(ValueError):
    """A checkpoint that does not fit the run that should go on from it.

    Example:
        >>> issubclass(kp.runs.DamagedCheckpoint, kp.runs.CheckpointError)
        True
    """


def build_optimizers(model):
    """Makes the slots of optimizers that Keras would make at the first step, so that they can be saved and set."""
    if not model.built:
        raise ValueError(
            "A checkpoint needs a model whose weights exist: give it a keras.Input, or call it on a batch first. "
            f"Received: model={model.name!r}"
        )
    with _scope(model):
        for optimizer in optimizers(model).values():
            if not optimizer.built:
                optimizer.build(model.trainable_variables)


def optimizers(model):
    """The optimizers of a model by the names of their attributes: "optimizer", of a supernet "alpha_optimizer" too."""
    found = {name: value for name, value in vars(model).items() if isinstance(value, keras.optimizers.Optimizer)}
    return dict(sorted(found.items()))


def state_variables(model, metrics=False):
    """{name: variable}: weights, alphas, statistics and random states; the optimizers'; those of metrics if asked."""
    groups = {"model": model.variables}
    groups |= {name: optimizer.variables for name, optimizer in optimizers(model).items()}
    if metrics:
        groups["metrics"] = model.metrics_variables
    return {f"{group}/{i}": variable for group, variables in groups.items() for i, variable in enumerate(variables)}


def read_state(model: keras.Model, metrics: bool = False) -> dict:
    """{name: array} of `state_variables`.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> any(array.shape == (2, 1) for array in kp.runs.read_state(model).values())
        True
    """
    return {
        name: np.array(keras.ops.convert_to_numpy(variable))
        for name, variable in state_variables(model, metrics).items()
    }


def set_state(model: keras.Model, arrays: Mapping[str, np.ndarray], metrics: bool = False) -> None:
    """Assigns what `read_state` returned.

    Raises:
        CheckpointError: the arrays are those of another model; nothing has been assigned.

    Example:
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.compile("sgd", "mse")
        >>> kp.runs.set_state(model, kp.runs.read_state(model))
    """
    variables = state_variables(model, metrics)
    for name, variable in variables.items():
        received = arrays[name].shape if name in arrays else None
        if received != tuple(variable.shape):
            raise CheckpointError(
                f"The checkpoint is of another model: {name} ({variable.path}) has shape {tuple(variable.shape)}. "
                f"Received: {received}"
            )
    extra = sorted(name for name in arrays if name not in variables and not name.startswith("metrics/"))
    if extra:
        raise CheckpointError(f"The checkpoint is of another model. Received: {len(extra)} more arrays, as {extra[0]}")
    with _scope(model):
        for name, variable in variables.items():
            variable.assign(arrays[name])


def not_finite(arrays):
    """Names of float arrays that hold a number that is not finite."""
    return [name for name, array in arrays.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]


def _scope(model):
    """The scope of the model's distribution strategy, in which its variables are made and assigned."""
    strategy = getattr(model, "distribute_strategy", None)
    return contextlib.nullcontext() if strategy is None else strategy.scope()
