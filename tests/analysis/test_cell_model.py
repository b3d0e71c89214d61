import builtins
import shutil

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import cell_model, plot_cell_graphviz
from keras_pibnas.analysis.cell_model import graphviz_works


def sources(model, name):
    """Names of the layers that a layer reads."""
    tensors = model.get_layer(name).input
    tensors = tensors if isinstance(tensors, list) else [tensors]
    made_by = {id(layer.output): layer.name for layer in model.layers}
    return [made_by[id(tensor)] for tensor in tensors]


def test_layers_are_named_after_the_ops_and_wired_as_the_cell():
    genotype = kp.genotypes.get("DARTS_V2")
    model = cell_model(genotype)
    states = ["c_k-2", "c_k-1", "node_0", "node_1", "node_2", "node_3"]
    for node in range(4):
        branches = sources(model, f"node_{node}")
        expected = genotype.normal[2 * node : 2 * node + 2]
        assert [branch.removesuffix(branch[-2:] if branch[-2] == "_" else "") for branch in branches] == [
            op for op, _ in expected
        ]
        assert [sources(model, branch)[0] for branch in branches] == [states[source] for _, source in expected]
    assert sources(model, "c_k") == states[2:]


def test_the_model_adds_and_concatenates():
    x, y = np.ones((1, 2, 2, 3), "float32"), np.full((1, 2, 2, 3), 10, "float32")
    model = cell_model([("a", 0), ("a", 1), ("b", 2), ("c", 0)], channels=3)
    out = np.asarray(model([x, y]))
    assert out.shape == (1, 2, 2, 6) and (out[..., :3] == 11).all() and (out[..., 3:] == 12).all()


@pytest.mark.parametrize("name", kp.genotypes.names())
@pytest.mark.parametrize("which", ["normal", "reduce"])
def test_every_published_cell_becomes_a_model(name, which):
    genotype = kp.genotypes.get(name)
    model = cell_model(genotype, which, channels=2)
    cell = genotype.cell(which)
    outputs = model.output if isinstance(model.output, list) else [model.output]
    assert outputs[0].shape == (None, None, None, 2 * len(cell.concat))
    assert len(model.layers) == 2 + len(cell.pairs) + sum(map(bool, cell.nodes)) + 1


def test_one_node_and_a_node_that_nothing_reads():
    assert cell_model([("a", 0), ("b", 0)]).output.shape == (None, None, None, 16)
    genotype = kp.Genotype((("a", 0), ("b", 1)) * 2, (("a", 0), ("b", 1)) * 2, (3,), (3,))
    assert cell_model(genotype).output_names == ["c_k", "node_0"]


@pytest.mark.skipif(not graphviz_works(), reason="graphviz's dot or pydot is not installed")
def test_graphviz_draws_a_picture(tmp_path):
    path = plot_cell_graphviz("PIBCONV", "reduce", tmp_path / "new" / "cell.png")
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.fixture(params=["dot", "pydot"])
def missing(request, monkeypatch):
    """The machine as if graphviz's dot, or pydot, were not installed."""
    if request.param == "dot":
        return monkeypatch.setattr(shutil, "which", lambda name: None)
    found = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "pydot":
            raise ImportError(name)
        return found(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)


def test_without_graphviz_the_message_says_how_to_install_it(missing, tmp_path):
    words = "apt-get install graphviz.*pip install pydot.*plot_cell"
    with pytest.raises(ImportError, match=words):
        plot_cell_graphviz("PIBCONV", path=tmp_path / "new" / "cell.png")
    assert not list(tmp_path.iterdir())
