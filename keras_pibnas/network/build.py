"""From a genotype to a Keras model."""

import itertools

import keras

from keras_pibnas import genotypes, topology
from keras_pibnas.distribution import ReplicatedMixin
from keras_pibnas.genotypes import Genotype
from keras_pibnas.layers import (
    AuxiliaryHead,
    BatchNorm,
    DropPath,
    Identity,
    ImageNetAuxiliaryHead,
    ImageNetStem,
    ResidualBlock,
    StemReduction,
    preprocess,
)
from keras_pibnas.layers.batch_norm import synchronizing
from keras_pibnas.layers.drop_path import check_rate
from keras_pibnas.layers.op import uniform
from keras_pibnas.layers.preprocess import STEMS
from keras_pibnas.spaces import build_op, canonical


@keras.saving.register_keras_serializable("keras_pibnas")
class DiscreteNetwork(ReplicatedMixin, keras.Model):
    """A functional model of a genotype, as `build_network` makes it.

    Attributes:
        normalization: (mean, std) of the pixels that it was trained on, scaled to [0, 1]: two tuples of a float a
            channel, or None. It is saved with the model, and `interop.export` applies it.
        synchronized: as `build_network`.

    Example:
        >>> genotype = kp.genotypes.random(("skip_connect",), nodes=1)
        >>> model = kp.build_network(genotype, (8, 8, 1), 2, channels=2, layers=2)
        >>> isinstance(model, kp.network.DiscreteNetwork), model.normalization
        (True, None)
    """

    normalization = None
    synchronized = False

    def get_config(self):
        return super().get_config() | {"normalization": self.normalization, "synchronized": self.synchronized}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        normalization = config.pop("normalization", None)
        synchronized = config.pop("synchronized", False)
        with synchronizing(synchronized):
            model = super().from_config(config, custom_objects)
        model.synchronized = synchronized
        model.normalization = normalization and tuple(map(tuple, normalization))
        return model


def build_network(
    genotype: Genotype | str,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    channels: int = 36,
    layers: int = 20,
    stem: str = "conv3x3",
    auxiliary: bool = False,
    drop_path: float = 0.0,
    synchronized: bool = False,
) -> DiscreteNetwork:
    """The discrete network of a genotype, as DARTS evaluates it: a functional model whose layers are the ops.

    Args:
        genotype: a Genotype, or the name of a published one.
        input_shape: (height, width, channels) of the images.
        num_classes: number of logits.
        channels: C of a node in the first cell, even; 16 in NAS-Bench-201.
        layers: number of cells, at least 2; of a NAS-Bench-201 genotype with the two residual blocks, there 17.
        stem: "conv3x3", "patchify", or "imagenet", which takes sides of 64 pixels and more.
        auxiliary: adds the auxiliary head for training, a third of the way from the end, where it needs 8 x 8 pixels
            (with the imagenet stem none).
        drop_path: rate at which edges drop samples in training; `callbacks.DropPathSchedule` raises it.
        synchronized: whether batch normalization under a distribution strategy uses the statistics of the global batch,
            so that several devices equal one; otherwise each replica uses its own images', as in Keras and PyTorch.

    Returns:
        A keras.Model from images (B, H, W, C) to logits (B, num_classes), or with auxiliary=True to
        {"logits": ..., "auxiliary": ...}, both (B, num_classes). `inference_model` takes training's parts out again.

    Raises:
        ValueError: names the argument, its value and what would be right.

    Example:
        >>> genotype = kp.genotypes.random(("skip_connect", "sep_conv_3x3"), nodes=1)
        >>> kp.build_network(genotype, (8, 8, 1), num_classes=2, channels=2, layers=2).output_shape
        (None, 2)
    """
    genotype = _checked(genotype, input_shape, num_classes, stem)
    with synchronizing(bool(synchronized)):
        model = _built(genotype, tuple(input_shape), num_classes, channels, layers, stem, auxiliary, drop_path)
    model.synchronized = bool(synchronized)
    return model


def _built(genotype, input_shape, num_classes, channels, layers, stem, auxiliary, drop_path):
    images = keras.Input(input_shape, name="images")
    body = _chain if genotype.inputs == 1 else _cells
    features, auxiliary_features = body(genotype, images, channels, layers, stem, check_rate(drop_path))
    outputs = {}
    if auxiliary:
        head = ImageNetAuxiliaryHead if stem == "imagenet" else AuxiliaryHead
        outputs["auxiliary"] = head(num_classes, name="auxiliary")(auxiliary_features)
    start = uniform(features.shape[-1])
    features = keras.layers.GlobalAveragePooling2D(name="pooling", data_format="channels_last")(features)
    classifier = keras.layers.Dense(
        num_classes, kernel_initializer=start, bias_initializer=start, dtype=_wide(), name="logits"
    )
    outputs["logits"] = classifier(features)
    return DiscreteNetwork(images, outputs if auxiliary else outputs["logits"], name="network")


def _stem(images, channels, stem):
    """The two inputs of the first cell."""
    channels = topology.stem_channels(stem, channels)
    if stem == "imagenet":
        first = ImageNetStem(channels, name="stem_0")(images)
        return first, StemReduction(channels, name="stem_1")(first)
    return (STEMS[stem](channels, name="stem")(images),) * 2


def _cells(genotype, images, channels, layers, stem, drop_path):
    """Cells that read the two before them: the features of the last one and of the auxiliary head's."""
    widths = [topology.output_width(genotype.output, len(genotype.cell(kind).concat)) for kind in genotype.cells]
    plans = topology.plan(layers, channels, *widths, topology.stem_channels(stem, channels), stem == "imagenet")
    states, outputs = _stem(images, channels, stem), []
    for plan in plans:
        outputs.append(_cell(genotype, plan, *states, drop_path))
        states = states[1], outputs[-1]
    return outputs[-1], outputs[topology.auxiliary_index(layers)]


def _chain(genotype, images, channels, layers, stem, drop_path):
    """Cells that read the one before them, and residual blocks: as `_cells`. NAS-Bench-201, section 2.1."""
    if stem != "conv3x3":
        raise ValueError(f"A chain of cells has the stem conv3x3. Received: stem={stem!r}")
    plans = topology.chain_plan(layers, channels)
    x, outputs = STEMS[stem](channels, name="stem")(images), []
    for plan in plans:
        name = f"cell_{plan.index}"
        if plan.reduction:
            x = ResidualBlock(plan.channels, name=name)(x)
        else:
            x = _nodes(genotype, genotype.cell("normal"), [x], plan, name, drop_path)
        outputs.append(x)
    x = BatchNorm(name="last_norm")(x)
    return keras.layers.ReLU(name="last_relu")(x), outputs[topology.auxiliary_index(layers)]


def _wide():
    """Logits stay float32 under mixed precision."""
    return "float64" if keras.config.dtype_policy().compute_dtype == "float64" else "float32"


def _checked(genotype, input_shape, num_classes, stem):
    genotype = genotypes.get(genotype) if isinstance(genotype, str) else genotype
    if not isinstance(genotype, genotypes.Genotype):
        raise ValueError(f"genotype must be a Genotype or the name of a published one. Received: {genotype!r}")
    topology.check_images(input_shape, num_classes, stem)
    return genotype.resolved()


def _cell(genotype, plan, first, second, drop_path):
    """The output of one cell; its ops are numbered in the order of the genotype's pairs."""
    cell = genotype.cell("reduce" if plan.reduction else "normal")
    name = f"cell_{plan.index}"
    to_first = preprocess(plan.channels, plan.in_channels_prev_prev, plan.reduction_prev, name=f"{name}_preprocess_0")
    to_second = preprocess(plan.channels, plan.in_channels_prev, False, name=f"{name}_preprocess_1")
    return _nodes(genotype, cell, [to_first(first), to_second(second)], plan, name, drop_path)


def _nodes(genotype, cell, states, plan, name, drop_path):
    """From the input states of a cell to its output."""
    index = itertools.count()
    for node, pairs in enumerate(cell.nodes):
        edges = [_edge(pair, states, plan, f"{name}_op_{next(index)}", drop_path) for pair in pairs]
        states.append(keras.layers.Add(name=f"{name}_node_{node}")(edges) if edges else None)
    join = getattr(keras.layers, topology.OUTPUTS[genotype.output])
    return join(name=name)([states[state] for state in cell.concat])


def _edge(pair, states, plan, name, drop_path):
    op_name, source = pair
    strides = 2 if plan.reduction and source < 2 else 1
    op = build_op(op_name, plan.channels, strides, name=f"{name}_{canonical(op_name)}")
    y = op(states[source])
    if drop_path and not isinstance(op, Identity):
        y = DropPath(drop_path, name=f"{name}_drop_path")(y)
    return y


def inference_model(model: keras.Model) -> DiscreteNetwork:
    """The model without auxiliary head and drop path, sharing the layers of the one it is made from.

    Args: model: from `build_network` (or loaded from a file). Returns: a functional model, images to logits.

    Example:
        >>> genotype = kp.genotypes.random(("sep_conv_3x3",), nodes=1)
        >>> model = kp.build_network(genotype, (8, 8, 1), 2, channels=2, layers=2, drop_path=0.2)
        >>> plain = kp.network.inference_model(model)
        >>> any("drop_path" in layer.name for layer in plain.layers)
        False
    """
    # In the structure of the model's own, which older Keras wraps in a list.
    inputs = keras.tree.map_structure(lambda x: keras.Input(x.shape[1:], name="images"), model.input)
    (images,) = keras.tree.flatten(inputs)
    clone = keras.models.clone_model(
        model, inputs, clone_function=lambda layer: layer, call_function=_without_drop_path
    )
    outputs = clone.output["logits"] if isinstance(clone.output, dict) else clone.output
    plain = DiscreteNetwork(images, outputs, name=model.name)
    plain.normalization, plain.synchronized = (getattr(model, name, None) for name in ("normalization", "synchronized"))
    return plain


def _without_drop_path(layer, *args, **kwargs):
    return args[0] if isinstance(layer, DropPath) else layer(*args, **kwargs)
