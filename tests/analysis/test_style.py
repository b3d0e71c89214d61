import itertools

import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import op_color, style


def test_the_ops_of_a_space_have_different_colours():
    for name in kp.spaces.names():
        colors = [op_color(op) for op in kp.spaces.get(name).primitives]
        assert all(distance(a, b) > 0.15 for a, b in itertools.combinations(colors, 2)), name


def distance(a, b):
    return sum((int(a[i : i + 2], 16) - int(b[i : i + 2], 16)) ** 2 for i in (1, 3, 5)) ** 0.5 / 255


def test_aliases_share_a_colour():
    assert op_color("skip_conn") == op_color("skip_connect")
    assert op_color("dil_invo2d_3x3") == op_color("dil_invo_3x3") != op_color("invo2d_3x3")


def test_an_unknown_op_has_a_colour_of_its_own_that_stays():
    # crc32("my_op") % 360 is its hue: the same in every process, as hash() would not be.
    assert op_color("my_op") == op_color("my_op") != op_color("your_op")
    assert op_color("my_op").startswith("#") and len(op_color("my_op")) == 7


@pytest.mark.parametrize("share, mixed", [(0.0, "#000000"), (0.2, "#333333"), (1.0, "#ffffff")])
def test_mix(share, mixed):
    assert style.mix("#000000", "#ffffff", share) == mixed


def test_save_makes_folders_and_returns_the_path(tmp_path):
    figure, _ = style.new_figure(1, 1)
    path = style.save(figure, str(tmp_path / "a" / "b.png"))
    assert path == tmp_path / "a" / "b.png" and path.stat().st_size > 0
