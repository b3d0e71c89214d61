import pytest

from keras_pibnas import skeleton


def column(cells, name):
    return [getattr(cell, name) for cell in cells]


def test_eight_layers_as_published():
    cells = skeleton.plan(layers=8, channels=16)
    # 8 // 3 = 2 and 16 // 3 = 5 reduce; a cell gives 4 * channels; the stem gives 3 * 16 = 48.
    assert column(cells, "index") == list(range(8))
    assert column(cells, "reduction") == [False, False, True, False, False, True, False, False]
    assert column(cells, "reduction_prev") == [False, False, False, True, False, False, True, False]
    assert column(cells, "channels") == [16, 16, 32, 32, 32, 64, 64, 64]
    assert column(cells, "in_channels_prev_prev") == [48, 48, 64, 64, 128, 128, 128, 256]
    assert column(cells, "in_channels_prev") == [48, 64, 64, 128, 128, 128, 256, 256]
    assert column(cells, "out_channels") == [64, 64, 128, 128, 128, 256, 256, 256]


def test_two_layers_reduce_at_both():
    cells = skeleton.plan(layers=2, channels=4)
    assert column(cells, "reduction") == [True, True]
    assert column(cells, "reduction_prev") == [False, True]
    assert column(cells, "channels") == [8, 16]
    assert column(cells, "in_channels_prev_prev") == [12, 12]
    assert column(cells, "in_channels_prev") == [12, 32]


def test_each_kind_of_cell_concatenates_its_own_states():
    # AmoebaNet-A and NASNet-A: five normal or three reduction states.
    cells = skeleton.plan(layers=3, channels=10, normal_states=5, reduce_states=3, stem_channels=7)
    assert column(cells, "reduction") == [False, True, True]
    assert column(cells, "out_channels") == [50, 60, 120]
    assert column(cells, "in_channels_prev_prev") == [7, 7, 50]
    assert column(cells, "in_channels_prev") == [7, 50, 60]


@pytest.mark.parametrize("layers", range(2, 25))
def test_two_reductions_and_a_chain_of_inputs(layers):
    cells = skeleton.plan(layers, channels=2)
    assert sum(column(cells, "reduction")) == 2
    assert cells[-1].channels == 8
    assert cells[skeleton.auxiliary_index(layers)].reduction
    for before, cell in zip(cells, cells[1:], strict=False):
        assert cell.in_channels_prev == before.out_channels
        assert cell.in_channels_prev_prev == before.in_channels_prev
        assert cell.reduction_prev == before.reduction


def test_auxiliary_index_of_twenty_layers():
    assert skeleton.auxiliary_index(20) == 13


def test_cells_are_frozen():
    with pytest.raises(AttributeError):
        skeleton.plan(2, 4)[0].channels = 5


@pytest.mark.parametrize(("arguments", "message"), [
    ({"layers": 1, "channels": 4}, "at least 2 layers.*layers=1"),
    ({"layers": 0, "channels": 4}, "layers=0"),
    ({"layers": 3, "channels": 0}, "try 2. Received: channels=0"),
    ({"layers": 3, "channels": -4}, "try 2. Received: channels=-4"),
    ({"layers": 3, "channels": 7}, "even.*try 8. Received: channels=7"),
    ({"layers": 3, "channels": 4, "normal_states": 0}, "normal_states=0"),
    ({"layers": 3, "channels": 4, "reduce_states": 0}, "reduce_states=0"),
])
def test_plan_says_what_is_wrong(arguments, message):
    with pytest.raises(ValueError, match=message):
        skeleton.plan(**arguments)
