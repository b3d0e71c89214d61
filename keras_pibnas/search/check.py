"""Validation of a supernet's arguments and data."""

import warnings

import numpy as np

from keras_pibnas import topology
from keras_pibnas.engine.replicas import strategy_replicas
from keras_pibnas.training.batches import describe

HVPS = ("exact", "finite_difference")
PAIRS = (
    "A supernet trains on pairs ((x, y), (x_valid, y_valid)) of batches, with sample weights (x, y, w) where there are "
    "any, such as keras_pibnas.data.bilevel(train, valid) gives; or on arrays: fit(x, y, validation_split=0.5)."
)


def check_nodes(nodes):
    """The number of nodes, or None for the space's own; a ValueError otherwise."""
    if nodes is not None and (not isinstance(nodes, int) or not 1 <= nodes <= 8):
        raise ValueError(f"nodes must be an integer from 1 to 8. Received: nodes={nodes!r}")
    return nodes


def check_settings(cell, **settings):
    """The settings, or a ValueError that names the first one that is wrong.

    What depends on layers, channels and the cell alone is checked by `topology.network_plan`. Args: cell: Topology.
    """
    topology.check_images(settings["input_shape"], settings["num_classes"], settings["stem"])
    if settings["order"] not in (1, 2):
        raise ValueError(f"order must be 1 or 2. Received: order={settings['order']!r}")
    if settings["hvp"] not in HVPS:
        raise ValueError(f"hvp must be one of {', '.join(HVPS)}. Received: hvp={settings['hvp']!r}")
    if not isinstance(settings["remat"], bool):
        raise ValueError(f"remat must be True or False. Received: remat={settings['remat']!r}")
    for name in ("synchronized", "learnable_bn"):
        if not isinstance(settings[name], bool):
            raise ValueError(f"{name} must be True or False. Received: {settings[name]!r}")
    if settings["remat"] and settings["synchronized"] and strategy_replicas() > 1:
        raise ValueError(
            "Under a strategy of several devices, remat works where each replica normalizes by its own images. "
            f"Received: remat=True, synchronized=True, {strategy_replicas()} devices"
        )
    topology.network_plan(cell, settings["layers"], settings["channels"], settings["stem"])
    return settings | {"input_shape": tuple(settings["input_shape"])}


def check_edges(cells):
    """Raises ValueError where no op enters a node, and warns where fewer edges do than a genotype keeps."""
    for cell in cells:
        counts = np.bincount(np.array(cell.targets)[cell.derivable.any(axis=1)], minlength=cell.nodes)
        for node, count in enumerate(counts):
            if not count:
                raise ValueError(f"No edge into node {node} of the {cell.kind} cell allows an op other than none.")
            if cell.keep is not None and count < (wanted := cell.topology.kept(node)):
                warnings.warn(
                    f"Node {node} of the {cell.kind} cell has {count} edges that allow an op, of the {wanted} that a "
                    "genotype keeps: none will stand for the rest.",
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
