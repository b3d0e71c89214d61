import numpy as np
import pytest

from keras_pibnas.analysis import accuracy_plot, pareto_front, roadmap_plot

ROWS = [
    {"genotype": name, "layers": layers, "accuracy": accuracy, "params": 1e5 * layers, "macs": 5e7 * layers}
    for name, layers, accuracy in [
        ("A", 4, 90.0), ("A", 4, 92.0), ("A", 8, 97.0), ("B", 4, 80.0), ("B", 20, 96.0),
    ]
]  # fmt: skip


def test_pareto_front_by_hand():
    points = [(3, 90), (1, 50), (2, 70), (2, 80), (4, 85), (5, 91), (5, 91)]
    # (2, 70) is beaten by (2, 80), (4, 85) by (3, 90); of the two (5, 91) the first counts.
    assert pareto_front(points) == [1, 3, 0, 5]
    assert pareto_front([]) == []


def test_pareto_front_is_the_definition():
    points = np.random.default_rng(0).integers(0, 12, (60, 2)).tolist()
    kept = {tuple(points[i]) for i in pareto_front(points)}
    beaten = {(c, a) for c, a in points if any(d <= c and b >= a and (d, b) != (c, a) for d, b in points)}
    assert kept == {tuple(point) for point in points} - beaten


@pytest.mark.parametrize("x, unit", [("layers", 1), ("params", 1e6), ("macs", 1e9)])
def test_accuracy_plot(x, unit, tmp_path, drawn):
    assert accuracy_plot(ROWS, tmp_path / "a.png", x).is_file()
    front, a, a_dots, b, b_dots = drawn[0].axes[0].lines
    by_layers = {row["layers"]: row[x] / unit for row in ROWS}
    np.testing.assert_allclose(front.get_xydata(), [[by_layers[4], 92], [by_layers[8], 97]])
    np.testing.assert_allclose(a.get_xydata(), [[by_layers[4], 91], [by_layers[8], 97]])  # 91: mean of 90, 92
    assert len(a_dots.get_xydata()) == 3 and len(b_dots.get_xydata()) == 2
    labels = [text.get_text() for text in drawn[0].legends[0].get_texts()]
    assert labels == ["Pareto front", "A", "B"]


@pytest.mark.parametrize(
    "x, largest, label",
    [
        ("params", 2e6, "parameters (millions)"),
        ("params", 999_000, "parameters (thousands)"),
        ("macs", 3e9, "MACs (billions)"),
        ("macs", 4e8, "MACs (millions)"),
        ("macs", 500, "MACs"),
        ("layers", 20, "evaluation layers"),
    ],
)
def test_the_unit_is_one_that_some_row_reaches(x, largest, label, tmp_path, drawn):
    rows = [{"genotype": "A", "accuracy": 90.0, x: largest / 4}, {"genotype": "A", "accuracy": 95.0, x: largest}]
    accuracy_plot(rows, tmp_path / "a.png", x)
    ax = drawn[0].axes[0]
    assert ax.get_xlabel() == label
    unit = {"millions": 1e6, "thousands": 1e3, "billions": 1e9}.get(label.rpartition("(")[2].rstrip(")"), 1)
    assert ax.lines[-1].get_xdata().tolist() == [largest / 4 / unit, largest / unit]


@pytest.mark.parametrize("best", [97.0, 100.0])
def test_accuracies_on_the_scale_of_the_error(best, tmp_path, drawn):
    rows = [{"genotype": "A", "layers": n, "accuracy": a} for n, a in ((2, 50.0), (4, 95.0), (8, best))]
    accuracy_plot(rows, tmp_path / "a.png", log_error=True)
    ax = drawn[0].axes[0]
    pixels = [ax.transData.transform((0, accuracy))[1] for accuracy in (50, 75, 87.5)]
    assert pixels[1] - pixels[0] == pytest.approx(pixels[2] - pixels[1])  # each halves the error
    low, high = ax.get_ylim()
    assert low < 50 and min(best, 99.9) < high < 100
    drawn_at = [accuracy for line in ax.lines for accuracy in line.get_ydata()]
    assert max(drawn_at) == min(best, 99.9)


def test_roadmap_plot(tmp_path, drawn):
    steps = [
        {"name": "DARTS", "accuracy": 97.0, "gmacs": 0.5},
        {"name": "LayerNorm", "accuracy": 96.0, "gmacs": 0.6, "kept": False},
        {"name": "PIBConv", "accuracy": 97.5, "gmacs": 0.9},
    ]
    assert roadmap_plot(steps, tmp_path / "r.png").is_file()
    accuracy, gmacs = drawn[0].axes
    assert [label.get_text() for label in accuracy.get_yticklabels()] == ["DARTS", "LayerNorm", "PIBConv"]
    np.testing.assert_array_equal(accuracy.lines[0].get_xydata(), [[97, 0], [97.5, 2]])  # kept steps only
    assert [text.get_text() for text in gmacs.texts] == ["0.500", "0.600", "0.900"]
    assert [line.get_markerfacecolor() == "white" for line in gmacs.lines[1:]] == [False, True, False]


def test_a_roadmap_of_small_networks_is_drawn_in_millions_of_macs(tmp_path, drawn):
    roadmap_plot([{"name": "A", "accuracy": 90.0, "gmacs": 0.0012}], tmp_path / "r.png")
    accuracy, macs = drawn[0].axes
    assert macs.get_xlabel() == "MMACs" and [text.get_text() for text in macs.texts] == ["1.200"]
    assert [text.get_text() for text in accuracy.texts] == ["90.00"]


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda p: accuracy_plot(ROWS, p, "time"), "Known: layers, params, macs. Received: x='time'"),
        (lambda p: accuracy_plot([], p), "no rows"),
        (lambda p: accuracy_plot([{"genotype": "A", "layers": 1}], p), "accuracy is missing"),
        (lambda p: roadmap_plot([{"name": "A", "accuracy": 1.0}], p), "gmacs is missing"),
        (lambda p: roadmap_plot([], p), "no rows"),
    ],
)
def test_errors(call, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        call(tmp_path / "x.png")
