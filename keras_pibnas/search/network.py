"""The relaxed network: all cells of the supernet, as a function of images and op weights."""

import keras
from keras import ops, tree

from keras_pibnas import engine, topology
from keras_pibnas.layers.batch_norm import synchronizing
from keras_pibnas.layers.op import uniform
from keras_pibnas.layers.preprocess import STEMS
from keras_pibnas.search.cell import RelaxedCell, bundle_weights
from keras_pibnas.search.edges import bundles_of


class Family:
    """Marks the cells and bundles of one network: those of one class differ in nothing but sizes."""


class RelaxedNetwork(keras.Model):
    """Stem, cells, average over the image, linear classifier. Its trainable variables are exactly the weights w.

    Args: as `Supernet`; cells: (normal, reduce), CellSpec, what is allowed on their edges.
    extra: names of ops that the edges of normal and reduction cells have beyond the space's; partial: K, the ops of an
    edge see the first C / K channels.
    Call arguments: images (B, H, W, C); mix: the op weights [normal, reduce], float32, each (edges, columns): a column
    for each of the space's ops and of the extra ones, and with partial > 1 one for the bypass; training.
    Returns: logits (B, num_classes), float32 or wider.
    """

    def __init__(
        self, space, input_shape, num_classes, channels, layers, cells, stem, synchronized=False, extra=((), ()),
        partial=1, **kwargs,
    ):  # fmt: skip
        super().__init__(autocast=False, **kwargs)  # op weights stay float32, whatever floats the images have
        dtype, family = self.dtype_policy, Family()
        self.edges = [bundles_of(cell) for cell in cells]
        with synchronizing(synchronized):
            self.stem = STEMS[stem](3 * channels, dtype=dtype, name="stem")
            plans = topology.plan(layers, channels, cells[0].nodes, cells[1].nodes)
            self.cells = [
                RelaxedCell(
                    space, plan, cells[plan.reduction], family, extra[plan.reduction], partial, dtype=dtype,
                    name=f"cell_{plan.index}",
                )  # fmt: skip
                for plan in plans
            ]
            features = plans[-1].out_channels
            wide = "float64" if dtype.compute_dtype == "float64" else "float32"
            start = uniform(features)
            self.classifier = keras.layers.Dense(
                num_classes, kernel_initializer=start, bias_initializer=start, dtype=wide, name="classifier"
            )
            with engine.current().building():
                self._build_all((None, *input_shape), features)

    def _build_all(self, shape, features):
        self.stem.build(shape)
        self.stem.built = True
        first = second = self.stem.compute_output_shape(shape)
        for cell in self.cells:
            cell.build((first, second))
            cell.built = True
            first, second = second, cell.compute_output_shape((first, second))
        self.classifier.build((None, features))
        self.built = True

    def call(self, images, mix, training=False):
        call = engine.current().call
        pairs = zip(mix, self.edges, strict=True)
        mix = [bundle_weights(ops.convert_to_tensor(weights), edges) for weights, edges in pairs]
        first = second = call(self.stem, ops.cast(images, self.compute_dtype), training=training)
        for cell in self.cells:
            first, second = second, cell((first, second), mix=mix[cell.plan.reduction], training=training)
        return call(self.classifier, tree.map_structure(self._features, second))

    def _features(self, images):
        return ops.mean(ops.cast(images, self.classifier.compute_dtype), axis=(1, 2))
