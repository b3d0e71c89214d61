import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.text import Text

from keras_pibnas.analysis import alpha_curves, alpha_heatmap, crossings, op_color, op_weights

PRIMITIVES = ["none", "skip_connect", "pib_conv_3x3", "pib_conv_5x5", "avg_pool_3x3"]


@pytest.fixture
def history():
    """Alphas of 14 edges; on edge 3 pib_conv_5x5 overtakes skip_connect between epochs 2 and 3."""
    values = np.random.default_rng(0).normal(0, 0.1, (6, 14, 5))
    values[:, 3, 1], values[:, 3, 3] = 1.0, np.arange(6) * 0.4
    return values


def visible(figure):
    return [ax for ax in figure.axes if ax.get_visible()]


def test_all_edges_a_node_a_row(history, tmp_path, drawn):
    path = alpha_curves(history, PRIMITIVES, tmp_path / "a.png")
    assert path.is_file()
    axes = visible(drawn[0])
    assert len(axes) == 14 and axes[4].get_title(loc="left") == "0 → 1"
    rows = [ax.get_subplotspec().rowspan.start for ax in axes]
    assert rows == [0] * 2 + [1] * 3 + [2] * 4 + [3] * 5
    for line, op, weights in zip(axes[3].lines, PRIMITIVES, op_weights(history[:, 3]).T, strict=True):
        np.testing.assert_allclose(line.get_ydata(), weights)
        assert to_hex(line.get_color()) == op_color(op)
    assert [text.get_text() for text in drawn[0].legends[0].get_texts()] == PRIMITIVES


def test_some_edges(history, tmp_path, drawn):
    alpha_curves(history, PRIMITIVES, tmp_path / "a.png", edges=[3, 13])
    assert [ax.get_title(loc="left") for ax in visible(drawn[0])] == ["$c_{k-1}$ → 1", "2 → 3"]


def test_one_edge_marks_the_crossing(history, tmp_path, drawn):
    alpha_curves(history, PRIMITIVES, tmp_path / "a.png", edges=3)
    (ax,) = drawn[0].axes
    (epoch,) = crossings(history, PRIMITIVES, 3)
    assert 2 < epoch < 3
    names = [text.get_text() for text in ax.texts]
    assert names == [*PRIMITIVES, f"{epoch:.1f}"]
    (marker,) = (line for line in ax.lines if line.get_marker() == "o")
    skip = op_weights(history[:, 3])[:, 1]
    height = skip[2] + (epoch - 2) * (skip[3] - skip[2])
    assert marker.get_xydata()[0] == pytest.approx([epoch, height])
    wide = {op for op, line in zip(PRIMITIVES, ax.lines, strict=False) if line.get_linewidth() > 2}
    assert wide == {"skip_connect", "pib_conv_5x5"}


def test_labels_of_one_edge_do_not_overlap(history, tmp_path, drawn):
    history[-1] = 0.0  # All lines end in one point.
    alpha_curves(history, PRIMITIVES, tmp_path / "a.png", edges=0)
    figure = drawn[0]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    boxes = [Text.get_window_extent(text, canvas.renderer) for text in figure.axes[0].texts[: len(PRIMITIVES)]]
    boxes.sort(key=lambda box: box.y0)
    assert all(a.y1 <= b.y0 for a, b in zip(boxes, boxes[1:], strict=False))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_space_without_skip_connect_and_a_single_epoch(tmp_path, drawn):
    path = alpha_curves(np.zeros((1, 2, 2)), ["a", "b"], tmp_path / "a.png", edges=1)
    assert path.is_file() and drawn[0].axes[0].lines[0].get_marker() == "o"


def test_heatmap_writes_the_weights_and_marks_the_largest(history, tmp_path, drawn):
    history[0, 0] = [5.0, 0.0, 1.0, 2.0, 0.0]  # none is not marked
    alpha_heatmap(history[0], PRIMITIVES, tmp_path / "h.png")
    (ax,) = drawn[0].axes
    texts = np.array([text.get_text() for text in ax.texts]).reshape(14, 5)
    np.testing.assert_array_equal(texts.astype(float), np.round(op_weights(history[0]), 3))
    bold = np.array([text.get_weight() == "bold" for text in ax.texts]).reshape(14, 5)
    assert bold.sum(axis=1).tolist() == [1] * 14 and bold[0, 3]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda h, p: alpha_curves(h, PRIMITIVES[:2], p), r"\(epochs, edges, 2\)"),
        (lambda h, p: alpha_curves(h, PRIMITIVES, p, edges=14), "0 to 13. Received: edge=14"),
        (lambda h, p: alpha_curves(h, PRIMITIVES, p, edges=[0, 99]), "edge=99"),
        (lambda h, p: alpha_heatmap(h, PRIMITIVES, p), "Received: shape"),
    ],
)
def test_errors_leave_no_file(call, words, history, tmp_path):
    with pytest.raises(ValueError, match=words):
        call(history, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
