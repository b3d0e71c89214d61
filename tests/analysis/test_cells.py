import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

import keras_pibnas as kp
from keras_pibnas.analysis import cell_model, cells, plot_cell, plot_genotype

OPS = [
    *("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "conv_7x1_1x7"),
    *(f"{kind}_{k}x{k}" for kind in ("sep_conv", "dil_conv", "pib_conv", "dil_invo2d") for k in (3, 5, 7)),
]
RANDOM = {f"random_{n}_{seed}": (n, seed) for n in range(1, 9) for seed in range(2)}
EVERY = [*kp.genotypes.names(), *RANDOM]


def genotype_of(name):
    if name not in RANDOM:
        return kp.genotypes.get(name)
    nodes, seed = RANDOM[name]
    return kp.genotypes.random(OPS, nodes, seed)


class Picture:
    """What a figure of a cell holds, in pixels, by gid."""

    def __init__(self, figure):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        (ax,) = figure.axes
        named = {patch.get_gid(): patch for patch in ax.patches if patch.get_gid()}
        self.boxes = {gid: p.get_window_extent() for gid, p in named.items() if not gid.startswith("edge")}
        self.edges = {
            gid: p.get_transform().transform_path(p.get_path()) for gid, p in named.items() if gid.startswith("edge")
        }
        self.texts = {text.get_gid(): text for text in ax.texts}
        self.words = {gid: text.get_text() for gid, text in self.texts.items()}
        self.extents = {gid: text.get_window_extent(canvas.renderer) for gid, text in self.texts.items()}
        self.colors = {gid: p.get_edgecolor() for gid, p in named.items()}
        self.page = figure.bbox

    def faults(self, cell):
        """What overlaps what."""
        return [*self.overlaps(), *self.spills(), *self.crossed(cell)]

    def overlaps(self):
        pairs = itertools.combinations(self.boxes, 2)
        return [(a, b) for a, b in pairs if self.boxes[a].padded(2).overlaps(self.boxes[b])]

    def spills(self):
        """Texts that leave their box, boxes that leave the page."""
        for gid, text in self.extents.items():
            if not inside(text, self.boxes[gid]):
                yield gid, "text"
            if not inside(self.boxes[gid], self.page):
                yield gid, "page"

    def crossed(self, cell):
        """Edges that touch a box that is none of theirs."""
        for edge, path in self.edges.items():
            foreign = set(self.boxes) - own_boxes(edge, cell)
            yield from ((edge, g) for g in foreign if path.intersects_bbox(self.boxes[g], filled=False))


def inside(inner, outer):
    return outer.x0 <= inner.x0 and inner.x1 <= outer.x1 and outer.y0 <= inner.y0 and inner.y1 <= outer.y1


def own_boxes(edge, cell):
    _, kind, number = edge.split(":")
    if kind == "concat":
        return {f"node:{number}", "node:out"}
    source, target = cell.edges[int(number)]
    return {f"op:{number}", f"node:{source}", f"node:{target}"}


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("which", ["normal", "reduce"])
def test_nothing_overlaps_and_everything_is_there(name, which):
    genotype = genotype_of(name)
    cell = cells.read_cell(genotype, which)
    weights = np.linspace(0.001, 0.999, len(cell.pairs)) if which == "normal" else None
    picture = Picture(plot_cell(genotype, which, weights=weights))
    assert picture.faults(cell) == []
    assert picture.boxes["node:0"].y0 > picture.boxes["node:1"].y1
    states = [0, 1, *(state for state, pairs in enumerate(cell.nodes, 2) if pairs)]
    nodes = {f"node:{state}" for state in states} | {"node:out"}
    assert set(picture.boxes) == nodes | {f"op:{pair}" for pair in range(len(cell.pairs))}
    labels = [picture.words[f"op:{pair}"] for pair in range(len(cell.pairs))]
    ops = [op for op, _ in cell.pairs]
    assert labels == (ops if weights is None else [f"{op}\n{w:.3f}" for op, w in zip(ops, weights, strict=True)])


def test_the_check_sees_an_overlap_a_spill_and_a_crossing():
    cell = cells.read_cell("DARTS_V2")
    figure = plot_cell("DARTS_V2")
    (box,) = (patch for patch in figure.axes[0].patches if patch.get_gid() == "op:3")
    (other,) = (patch for patch in figure.axes[0].patches if patch.get_gid() == "op:1")
    box.set_bounds(other.get_x(), other.get_y(), other.get_width(), other.get_height())
    picture = Picture(figure)
    assert ("op:1", "op:3") in picture.overlaps()
    assert ("op:3", "text") in picture.spills()
    assert ("edge:op:1", "op:3") in picture.crossed(cell)


def ends(picture, edge):
    """Where an edge starts and ends, in pixels."""
    vertices = picture.edges[edge].vertices
    return vertices[0], vertices[-1]


@pytest.mark.parametrize("name", ["NASNET", "AMOEBANET", "INVOLUTION_L4", "random_5_1"])
def test_edges_run_from_their_source_through_their_label_to_their_node(name):
    genotype = genotype_of(name)
    picture = Picture(plot_cell(genotype))
    for pair, (_, source) in enumerate(genotype.normal):
        start, end = ends(picture, f"edge:op:{pair}")
        assert start[0] == pytest.approx(picture.boxes[f"node:{source}"].x1)
        assert end[0] == pytest.approx(picture.boxes[f"node:{2 + pair // 2}"].x0)
        assert picture.edges[f"edge:op:{pair}"].intersects_bbox(picture.boxes[f"op:{pair}"], filled=False)


@pytest.mark.parametrize("which", ["normal", "reduce"])
@pytest.mark.parametrize("name", ["AMOEBANET", "NASNET", "PIBCONV"])
def test_only_concatenated_states_reach_the_output(name, which):
    genotype = genotype_of(name)
    picture = Picture(plot_cell(genotype, which))
    concat = getattr(genotype, f"{which}_concat")
    assert {e for e in picture.edges if "concat" in e} == {f"edge:concat:{state}" for state in concat}


def test_an_input_may_be_concatenated():
    genotype = kp.Genotype((("a", 0), ("b", 1)), (("a", 0), ("b", 1)), (0, 2), (2,))
    picture = Picture(plot_cell(genotype))
    assert picture.faults(cells.read_cell(genotype)) == []
    assert ends(picture, "edge:concat:0")[0][0] == pytest.approx(picture.boxes["node:0"].x1)


@pytest.mark.parametrize("ops", [("a", "b"), ("a", "a")])
def test_two_edges_between_the_same_nodes_are_both_visible(ops):
    pairs = [(ops[0], 0), (ops[1], 0)]
    picture = Picture(plot_cell(pairs))
    first, second = (picture.edges[f"edge:op:{pair}"].vertices for pair in (0, 1))
    assert picture.faults(cells.read_cell(pairs)) == []
    assert abs(first[:, 1] - second[:, 1]).min() > 5  # pixels apart, at both ends too


def test_a_node_that_nothing_reads_is_drawn():
    genotype = kp.Genotype((("a", 0), ("b", 1)) * 2, (("a", 0), ("b", 1)) * 2, (3,), (3,))
    assert "node:2" in Picture(plot_cell(genotype)).boxes


def test_an_op_has_the_same_colour_everywhere():
    darts, nasnet = Picture(plot_cell("DARTS_V2")), Picture(plot_cell("NASNET"))
    sep = [darts.colors["op:0"], darts.colors["edge:op:0"], nasnet.colors["op:1"]]
    assert sep.count(sep[0]) == 3 and darts.colors["op:7"] != sep[0]


def test_the_8_layer_involution_cell_shows_what_it_means():
    picture = Picture(plot_cell("INVOLUTION_L8"))
    assert not any("conv" in word for word in picture.words.values())


def test_on_axes_of_the_caller_the_text_is_scaled():
    figure = Figure(figsize=(6, 6))
    ax = figure.add_subplot(2, 2, 3)
    assert plot_cell("DARTS_V2", ax=ax) is figure
    assert Picture(figure).faults(cells.read_cell("DARTS_V2")) == []


def test_plot_genotype_writes_both_cells(tmp_path):
    weights = {"normal": [0.25] * 8, "reduce": [0.5] * 8}
    paths = plot_genotype("PIBCONV", tmp_path / "new", weights)
    assert [path.name for path in paths] == ["normal.png", "reduction.png"]
    for path in paths:
        with Image.open(path) as image:
            assert image.width > 500


def test_the_suffix_is_the_format(tmp_path):
    path = plot_cell("DARTS_V1", path=tmp_path / "cell.svg", weights=[0.123] * 8)
    assert path == tmp_path / "cell.svg" and 'id="edge:op:3"' in path.read_text()


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: plot_cell("DARTS_V2", "other"), "'normal' or 'reduce'.*'other'"),
        (lambda: plot_cell("DARTS_V9"), "Unknown genotype 'DARTS_V9'"),
        (lambda: plot_cell("DARTS_V2", weights=[0.5]), "8 pairs needs 8 weights. Received: 1"),
        (lambda: plot_cell([("a", 0)]), "two .* pairs a node. Received: 1"),
        (lambda: plot_cell([]), "Received: 0"),
        (lambda: plot_cell([("a", 0), ("b", 2)]), r"Node 0 reads states 0 to 1. Received: \('b', 2\)"),
    ],
)
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_cell_of_one_input(tmp_path):
    genotype = kp.Genotype.parse("|nor_conv_3x3~0|+|none~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|")
    picture = Picture(plot_cell(genotype))
    assert picture.faults(cells.read_cell(genotype)) == []
    assert [picture.words[f"node:{n}"] for n in (0, 1, 2, 3, "out")] == ["$c_{k-1}$", "0", "1", "2", "$c_k$"]
    assert {gid for gid in picture.edges if "concat" in gid} == {"edge:concat:3"}
    assert [path.name for path in plot_genotype(genotype, tmp_path)] == ["normal.png"]
    model = cell_model(genotype, channels=3)
    assert model.output.shape == (None, None, None, 3) and len(model.inputs) == 1
