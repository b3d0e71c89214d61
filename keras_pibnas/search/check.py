"""Validation of a supernet's arguments and data."""

import warnings

import numpy as np

from keras_pibnas import topology
from keras_pibnas.engine.replicas import strategy_replicas
from keras_pibnas.layers.preprocess import STEMS
from keras_pibnas.training.batches import describe

HVPS = ("exact", "finite_difference")
PAIRS = (
    "A supernet trains on pairs ((x, y), (x_valid, y_valid)) of batches, with sample weights (x, y, w) where there are "
    "any, such as keras_pibnas.data.bilevel(train, valid) gives; or on arrays: fit(x, y, validation_split=0.5)."
)


def check_settings(**settings):
    """The settings, or a ValueError that names the first one that is wrong.

    What depends on layers and channels alone is checked by `topology.plan`.
    """
    if settings["stem"] not in STEMS:
        raise ValueError(f"stem of a supernet must be one of {', '.join(STEMS)}. Received: stem={settings['stem']!r}")
    topology.check_images(settings["input_shape"], settings["num_classes"], settings["stem"])
    nodes = settings["nodes"]
    if not isinstance(nodes, int) or not 1 <= nodes <= 8:
        raise ValueError(f"nodes must be an integer from 1 to 8. Received: nodes={nodes!r}")
    if settings["order"] not in (1, 2):
        raise ValueError(f"order must be 1 or 2. Received: order={settings['order']!r}")
    if settings["hvp"] not in HVPS:
        raise ValueError(f"hvp must be one of {', '.join(HVPS)}. Received: hvp={settings['hvp']!r}")
    if not isinstance(settings["remat"], bool):
        raise ValueError(f"remat must be True or False. Received: remat={settings['remat']!r}")
    if not isinstance(settings["synchronized"], bool):
        raise ValueError(f"synchronized must be True or False. Received: {settings['synchronized']!r}")
    if settings["remat"] and settings["synchronized"] and strategy_replicas() > 1:
        raise ValueError(
            "Under a strategy of several devices, remat works where each replica normalizes by its own images. "
            f"Received: remat=True, synchronized=True, {strategy_replicas()} devices"
        )
    topology.plan(settings["layers"], settings["channels"], nodes, nodes)
    return settings | {"input_shape": tuple(settings["input_shape"])}


def check_edges(cells):
    """Raises ValueError where no op enters a node, and warns where fewer edges do than a genotype keeps."""
    for cell in cells:
        counts = np.bincount(np.array(cell.targets)[cell.derivable.any(axis=1)], minlength=cell.nodes)
        for node, count in enumerate(counts):
            if not count:
                raise ValueError(f"No edge into node {node} of the {cell.kind} cell allows an op other than none.")
            if count < 2:
                warnings.warn(
                    f"Node {node} of the {cell.kind} cell has {count} edge that allows an op, of the 2 that a genotype "
                    "keeps: none will stand for the rest.",
                    stacklevel=3,
                )


def check_pair(data):
    """((x, y), (x_valid, y_valid)), or a ValueError. `train_on_batch` gives sample weights too, which are None."""
    if isinstance(data, tuple | list) and len(data) == 3 and data[2] is None:
        data = data[:2]
    if not isinstance(data, tuple | list) or len(data) != 2 or not all(_is_batch(part) for part in data):
        raise ValueError(f"{PAIRS} Received: {describe(data)}")
    return data


def _is_batch(part):
    return isinstance(part, tuple | list) and len(part) in (2, 3)
