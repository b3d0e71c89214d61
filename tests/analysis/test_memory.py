import keras
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import activation_timeline, peak_activation_memory
from keras_pibnas.engine.tensorflow import kernels as native

# All images are 4 x 4 pixels: C channels are 16 C values.
IMAGE = (4, 4, 1)


def conv(channels, **kwargs):
    return keras.layers.Conv2D(channels, 1, use_bias=False, **kwargs)


def chain(*layers):
    return keras.Sequential([keras.Input(IMAGE), *layers])


def test_a_chain_keeps_input_and_output_of_the_layer_at_work():
    model = chain(conv(3), conv(2), keras.layers.GlobalAveragePooling2D())
    # Values alive: the image 16; 16 + 48; 48 + 32; 32 + 2. All tensors together would be 98.
    assert [size for _, size in activation_timeline(model, bytes_per_value=1)] == [16, 64, 80, 34]
    assert peak_activation_memory(model) == 4 * 80
    assert peak_activation_memory(model, bytes_per_value=1) == 80


def test_what_is_read_later_stays_alive():
    images = keras.Input(IMAGE)
    kept = conv(2)(images)  # 32 values, read again by the addition
    wide = conv(5)(kept)  # 80
    narrow = conv(2)(wide)  # 32
    model = keras.Model(images, keras.layers.Add()([kept, narrow]))
    # 16; 16 + 32; 32 + 80; 32 + 80 + 32; 32 + 32 + 32 for the sum.
    assert [size for _, size in activation_timeline(model, bytes_per_value=1)] == [16, 48, 112, 144, 96]
    assert peak_activation_memory(model, bytes_per_value=2) == 288


def test_the_output_of_a_branch_stays_alive_while_the_other_is_computed():
    images = keras.Input(IMAGE)
    first, second = conv(1)(images), conv(4)(images)
    model = keras.Model(images, keras.layers.Concatenate()([first, conv(1)(second)]))
    # 16; 16 + 16; 16 + 16 + 64; the image is gone: 16 + 64 + 16; 16 + 16 + 32 for both side by side.
    assert peak_activation_memory(model, bytes_per_value=1) == 96
    assert activation_timeline(model, bytes_per_value=1)[-1][1] == 64


def test_an_element_wise_operation_works_in_place():
    plain = peak_activation_memory(chain(conv(3), conv(1)), bytes_per_value=1)
    model = chain(keras.layers.Conv2D(3, 1, activation="relu"), keras.layers.Reshape((4, 4, 3)), conv(1))
    assert peak_activation_memory(model, bytes_per_value=1) == plain == 64
    # The convolution beside the image; then bias and ReLU in its place; then 48 + 16.
    assert [size for _, size in activation_timeline(model, bytes_per_value=1)] == [16, 64, 48, 48, 64]


def test_not_in_place_of_what_is_read_later():
    images = keras.Input(IMAGE)
    kept = conv(2)(images)
    model = keras.Model(images, keras.layers.Concatenate()([kept, keras.layers.ReLU()(kept)]))
    # 16; 16 + 32; 32 + 32, the second for the ReLU; 32 + 32 + 64.
    assert [size for _, size in activation_timeline(model, bytes_per_value=1)] == [16, 48, 64, 128]


def test_a_pseudo_inverted_bottleneck_by_hand():
    images = keras.Input((4, 4, 2))
    model = keras.Model(images, kp.spaces.build_op("pib_conv_3x3", 2)(images))
    # C = 32 values. The depthwise convolution: C + C; the first half of the bottleneck: C + C; its convolution: 3 C,
    # for the second half needs the same input; the second half: 3 C; its convolution: 2 C + C; their sum: 3 C.
    # GELU: 0.5 x beside x, 1 + erf(..) beside 0.5 x, and the product: 3 C.
    assert peak_activation_memory(model, bytes_per_value=1) == 3 * 32


def test_every_processor_counts_the_same(monkeypatch):
    network = kp.build_network("PIBCONV", (8, 8, 1), 10, channels=4, layers=3)
    timeline = activation_timeline(network)
    monkeypatch.setattr(native, "available", lambda x: False)
    assert activation_timeline(network) == timeline


def test_one_image_whatever_the_batch():
    images = keras.Input(IMAGE, batch_size=8)
    assert peak_activation_memory(keras.Model(images, conv(3)(images))) == 4 * 64


def test_a_network_of_ours():
    network = kp.build_network("PIBCONV", (8, 8, 1), 10, channels=4, layers=3)
    timeline = activation_timeline(network, bytes_per_value=1)
    # The stem's 12 channels of 8 x 8 are read by both preprocessings, and no tensor is larger than cell 0's 16.
    assert 12 * 64 + 4 * 64 < peak_activation_memory(network, bytes_per_value=1) < sum(size for _, size in timeline)
    assert timeline[1][0].startswith("network") and "stem" in timeline[1][0]
    large = kp.build_network("PIBCONV", (16, 16, 1), 10, channels=4, layers=3)
    assert peak_activation_memory(large) > 3.5 * peak_activation_memory(network)  # four times, but for padding


def test_a_model_of_open_sides_needs_an_input_shape():
    images = keras.Input((None, None, 1))
    model = keras.Model(images, conv(3)(images))
    assert peak_activation_memory(model, (4, 4, 1), 1) == 64
    with pytest.raises(ValueError, match=r"every side.*Received: \(None, None, 1\)"):
        peak_activation_memory(model)


def test_errors():
    with pytest.raises(ValueError, match="bytes_per_value must be 1 or more.*Received: 0"):
        peak_activation_memory(chain(conv(1)), bytes_per_value=0)
    inputs = [keras.Input(IMAGE), keras.Input(IMAGE)]
    with pytest.raises(ValueError, match="one input. Received: 2 inputs"):
        peak_activation_memory(keras.Model(inputs, keras.layers.Add()(inputs)))
