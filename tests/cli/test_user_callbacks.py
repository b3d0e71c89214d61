"""--callbacks module:factory: callbacks of the user's own, as for Weights & Biases or MLflow."""

import json
import sys

import pytest

import keras_pibnas as kp
from keras_pibnas.cli import search, train, user_callbacks

pytestmark = [
    pytest.mark.usefixtures("quick"),
    pytest.mark.filterwarnings("ignore:Even though the `tf.config.experimental_run_functions_eagerly`:UserWarning"),
]
PAIRS = (("sep_conv_3x3", 0), ("skip_connect", 1))
GENOTYPE = kp.Genotype(PAIRS, PAIRS, (2,), (2,))
SMALL = ["--side=8", "--layers=2", "--channels=2", "--batch-size=8", "--epochs=2"]
ARGUMENTS = {
    search: [*SMALL, "--space=small", "--nodes=1", "--order=1"],
    train: [*SMALL, "--genotype", GENOTYPE.to_json()],
}
MODULE = """
import json
import keras

class Notes(keras.callbacks.Callback):
    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        with open(self.path, "a") as file:
            file.write(json.dumps({"epoch": epoch, "loss": float(logs["loss"])}) + "\\n")

def notes(directory, settings):
    return Notes(directory / "notes.jsonl")

def several(directory, settings):
    return [Notes(directory / f"{settings['side']}.jsonl"), Notes(directory / f"{settings['epochs']}.jsonl")]

def nothing(directory, settings):
    return None

number = 3
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module in the folder that the command is called in."""
    (tmp_path / "my_callbacks.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield "my_callbacks"
    sys.modules.pop("my_callbacks", None)


@pytest.mark.parametrize("app", [search, train], ids=["search", "train"])
def test_they_see_every_epoch(app, module, npz, tmp_path, registry):
    kp.spaces.register("small", ("skip_connect", "max_pool_3x3"))
    own = [f"{module}:notes", f"{module}:several"]
    argv = [*ARGUMENTS[app], "--dataset", str(npz()), "--out", str(tmp_path / "run"), "--callbacks", *own]
    directory = app.main(argv)
    losses = [float(row["loss"]) for row in kp.runs.read_table(directory / "history.csv")]
    for name in ("notes", "8", "2"):
        lines = [json.loads(line) for line in (directory / f"{name}.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [0, 1]
        assert [line["loss"] for line in lines] == pytest.approx(losses)


@pytest.mark.parametrize("app", [search, train], ids=["search", "train"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("my_callbacks", "should be module:factory. Received: my_callbacks"),
        ("no_such_module:notes", "--callbacks no_such_module:notes: No module named 'no_such_module'"),
        ("my_callbacks:other", "has no attribute 'other'"),
        ("my_callbacks:number", "something that is called. Received: 3"),
    ],
)
def test_what_is_no_factory(app, text, words, module, fails, tmp_path):
    assert words in fails(app.main, [*ARGUMENTS[app], "--callbacks", text])
    assert not (tmp_path / "runs").exists()


def test_a_factory_that_gives_no_callback(module, tmp_path):
    args = train.build_parser().parse_args([])
    with pytest.raises(ValueError, match="should give Keras callbacks, one or a list. Received: None"):
        user_callbacks.make(user_callbacks.load([f"{module}:nothing"]), tmp_path, args)
