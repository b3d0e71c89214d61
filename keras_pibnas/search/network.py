"""The relaxed network: all cells of the supernet, as a function of images and alphas."""

import keras
from keras import ops, tree

from keras_pibnas import topology
from keras_pibnas.layers.context import no_collection, one_variable_name
from keras_pibnas.layers.op import uniform
from keras_pibnas.layers.preprocess import STEMS
from keras_pibnas.search.cell import RelaxedCell, bundle_weights
from keras_pibnas.search.traced import TracedBundles


class RelaxedNetwork(keras.Model):
    """Stem, cells, average over the image, linear classifier. Its trainable variables are exactly the weights w.

    Args: as `Supernet`.
    Call arguments: images (B, H, W, C); alphas: [normal, reduce], each (edges, ops), float32; training.
    Returns: logits (B, num_classes), float32 or wider.
    """

    def __init__(self, space, input_shape, num_classes, channels, layers, nodes, stem, **kwargs):
        super().__init__(**kwargs)
        self._convert_input_args = False  # Keras would round the alphas to the policy's narrow floats
        dtype = self.dtype_policy
        self.nodes = nodes
        self.stem = STEMS[stem](3 * channels, dtype=dtype, name="stem")
        plans = topology.plan(layers, channels, nodes, nodes)
        self.cells = [
            RelaxedCell(space, plan, nodes, dtype=dtype, name=f"cell_{plan.index}") for plan in plans
        ]
        features = plans[-1].out_channels
        wide = "float64" if dtype.compute_dtype == "float64" else "float32"
        start = uniform(features)
        self.classifier = keras.layers.Dense(
            num_classes, kernel_initializer=start, bias_initializer=start, dtype=wide, name="classifier"
        )
        self._build_all((None, *input_shape), features)
        self.run = TracedBundles()

    @no_collection()
    @one_variable_name()
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

    def call(self, images, alphas, training=False, run=None):
        """run: runs stem, cells and classifier; by default `TracedBundles` on tensors."""
        run = run or self.run
        mix = [bundle_weights(ops.softmax(ops.convert_to_tensor(alpha), axis=-1), self.nodes) for alpha in alphas]
        first = second = run.whole(self.stem, ops.cast(images, self.compute_dtype), training)
        for cell in self.cells:
            output = cell((first, second), mix=mix[cell.plan.reduction], training=training, run=run)
            first, second = second, output
        return run.whole(self.classifier, tree.map_structure(self._features, second), training)

    def _features(self, images):
        return ops.mean(ops.cast(images, self.classifier.compute_dtype), axis=(1, 2))
