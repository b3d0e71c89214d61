import shutil

import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas.analysis import cells
from keras_pibnas.analysis.cell_model import graphviz_works
from keras_pibnas.cli import plot

CELLS = {"normal.png", "reduction.png"}
PAIRS = "[('skip_connect', 1), ('pib_conv_3x3', 0)]"
TEXT = f"Genotype(normal={PAIRS}, reduce={PAIRS})"


@pytest.fixture
def run(tmp_path):
    """Run directory of a search, as its callbacks write it."""
    directory = tmp_path / "run"
    directory.mkdir()
    supernet = kp.Supernet("pibconv", (8, 8, 1), 2, channels=2, layers=2, nodes=2)
    for epoch in range(3):
        for alpha in supernet.alphas:
            alpha.assign_add(np.random.default_rng(epoch).normal(size=alpha.shape))
        kp.runs.record_alphas(directory, epoch, supernet)
    kp.runs.record_genotype(directory, 2, supernet.genotype())
    for epoch in (1, 2):
        kp.runs.record_history(directory, epoch, {"loss": 2 / epoch, "accuracy": epoch / 3})
    return directory


@pytest.fixture
def labels(monkeypatch):
    """Weights that were drawn, by cell."""
    seen, plot_cell = {}, cells.plot_cell

    def spy(genotype, which, path, weights):
        seen[which] = weights
        return plot_cell(genotype, which, path, weights)

    monkeypatch.setattr(cells, "plot_cell", spy)
    return seen


def names(directory):
    return {path.name for path in directory.iterdir()}


def test_a_published_name(tmp_path, capsys):
    plot.main(["--genotype=DARTS_V2", f"--out={tmp_path / 'pictures'}"])
    assert names(tmp_path / "pictures") == CELLS
    assert str(tmp_path / "pictures" / "reduction.png") in capsys.readouterr().out


def test_printed_text_and_a_file(tmp_path):
    plot.main(["--genotype", TEXT, "--out", str(tmp_path / "a")])
    kp.Genotype.parse(TEXT).save(tmp_path / "g.json")
    plot.main(["--genotype", str(tmp_path / "g.json"), "--out", str(tmp_path / "b")])
    assert names(tmp_path / "a") == names(tmp_path / "b") == CELLS
    assert (tmp_path / "a/normal.png").read_bytes() == (tmp_path / "b/normal.png").read_bytes()


def test_without_out_pictures_go_to_a_folder_of_that_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plot.main([])
    assert names(tmp_path / "pictures") == CELLS


def test_a_run_directory_of_a_search(run, labels):
    before = names(run)
    plot.main([f"--genotype={run}", "--edge=3"])
    alphas = {f"{kind}_{cell}.png" for kind in ("alphas", "heatmap") for cell in ("normal", "reduction")}
    edges = {"alphas_normal_edge3.png", "alphas_reduction_edge3.png"}
    assert names(run) - before == CELLS | alphas | edges | {"curves.png", "error.png"}
    history, primitives = kp.analysis.read_alphas(run / "alphas.npz")
    last = {which: rows[-1] for which, rows in history.items()}
    genotype = kp.Genotype.load(run / "genotype.json")
    assert labels == kp.analysis.genotype_weights(genotype, last, primitives)


@pytest.mark.parametrize(
    "argv, files",
    [
        (["--only=cells"], CELLS),
        (["--only=edge", "--edge=2"], {"alphas_normal_edge2.png", "alphas_reduction_edge2.png"}),
        (["--only=error"], {"error.png"}),
        (["--only", "curves", "heatmap"], {"curves.png", "heatmap_normal.png", "heatmap_reduction.png"}),
        (["--only=alphas", "--edge=2"], {"alphas_normal.png", "alphas_reduction.png"}),
    ],
)
def test_a_picture_alone(argv, files, run, tmp_path):
    plot.main([f"--genotype={run}", *argv, f"--out={tmp_path / 'out'}"])
    assert names(tmp_path / "out") == files


def test_where_an_edge_crosses_is_said(tmp_path, capsys):
    directory = tmp_path / "run"
    directory.mkdir()
    primitives = ["skip_connect", "sep_conv_3x3"]
    # Weights of two ops are equal where alphas are: at epoch 1.5 in the normal cell, never in the reduction cell.
    normal = np.array([[[1.0, 0.0]] * 5, [[1.0, 0.5]] * 5, [[0.5, 1.0]] * 5])
    kp.runs.write_arrays(directory / "alphas.npz", normal=normal, reduce=normal[:2], primitives=primitives)
    kp.genotypes.get("DARTS_ADP_N2").save(directory / "genotype.json")
    plot.main([f"--genotype={directory}", "--only=edge", "--edge=4"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].endswith("edge 4 alone; sep_conv_3x3 crosses skip_connect at epoch 1.5")
    assert lines[-1].endswith("edge 4 alone; sep_conv_3x3 never crosses skip_connect")


def test_pictures_that_need_more(run, tmp_path, fails):
    for kind in ("alphas", "heatmap", "curves", "error"):
        assert "run directory" in fails(plot.main, ["--genotype=PIBCONV", f"--only={kind}"])
    assert "--only edge needs" in fails(plot.main, [f"--genotype={run}", "--only=edge"])
    (run / "history.csv").write_text("epoch,loss\n1,0.5\n")
    assert "has no accuracies. Received: --only error" in fails(plot.main, [f"--genotype={run}", "--only=error"])


def test_a_run_directory_of_a_training(run, tmp_path, labels):
    (run / "alphas.npz").unlink()
    plot.main([f"--genotype={run}", f"--out={tmp_path / 'out'}"])
    assert names(tmp_path / "out") == CELLS | {"curves.png", "error.png"}
    assert labels == {"normal": None, "reduce": None}


@pytest.mark.skipif(not graphviz_works(), reason="graphviz's dot or pydot is not installed")
def test_graphviz(tmp_path):
    plot.main(["--genotype=DARTS_V1", "--engine=graphviz", f"--out={tmp_path / 'g'}"])
    assert names(tmp_path / "g") == CELLS


def test_without_graphviz_one_line_says_how_to_install_it(tmp_path, monkeypatch, fails):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    line = fails(plot.main, ["--engine=graphviz", f"--out={tmp_path / 'g'}"])
    assert "apt-get install graphviz" in line and "pip install pydot" in line
    assert not (tmp_path / "g").exists()


@pytest.mark.parametrize(
    "argv, words",
    [
        (["--genotype=DARTS_V3"], "Unknown genotype 'DARTS_V3'"),
        (["--genotype", "Genotype(normal=[('skip_connect', 5)])"], "Genotype"),
        (["--genotype=."], "holds no genotype.json"),
        (["--edge=0"], "--edge needs the run directory of a search"),
        (["--engine=crayon"], "--engine: invalid choice: 'crayon'"),
    ],
)
def test_bad_input(argv, words, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in fails(plot.main, argv)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("edge", ["5", "-1"])
def test_an_edge_that_does_not_exist(edge, run, fails):
    before = names(run)
    assert f"Edges of this search are 0 to 4. Received: --edge {edge}" in fails(
        plot.main, [f"--genotype={run}", f"--edge={edge}"]
    )
    assert names(run) == before


def test_damaged_run_directories(run, fails):
    (run / "history.csv").write_text("epoch,loss\n1,high\n")
    assert "no table of numbers" in fails(plot.main, [f"--genotype={run}"])
    (run / "alphas.npz").write_bytes(b"PK")
    assert "alphas.npz does not hold" in fails(plot.main, [f"--genotype={run}"])


def test_out_is_a_file(tmp_path, fails):
    (tmp_path / "file").write_text("")
    assert "file" in fails(plot.main, [f"--out={tmp_path / 'file'}"])
