import keras
import numpy as np
import pytest

from keras_pibnas.analysis import error_curve, read_history, training_curves

HISTORY = {
    "epoch": [1, 2, 3],
    "accuracy": [0.5, 0.75, 0.9],
    "loss": [2.0, 1.0, 0.5],
    "val_accuracy": [0.4, 0.875, 0.8],
    "val_loss": [2.5, np.nan, 1.5],
}
CSV = "epoch,accuracy,loss,val_accuracy,val_loss\n1,0.5,2,0.4,2.5\n2,0.75,1,0.875,\n3,0.9,0.5,0.8,1.5\n"


@pytest.fixture
def csv(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text(CSV)
    return path


def test_read_history_takes_what_there_is(csv):
    fitted = keras.callbacks.History()
    fitted.history = HISTORY
    for history in (HISTORY, fitted, csv, str(csv)):
        columns = read_history(history)
        assert list(columns) == list(HISTORY)
        for name, values in HISTORY.items():
            np.testing.assert_array_equal(columns[name], values)


def test_training_curves(tmp_path, drawn):
    assert training_curves(HISTORY, tmp_path / "c.png").is_file()
    loss, accuracy = drawn[0].axes
    assert [ax.get_ylabel() for ax in (loss, accuracy)] == ["loss", "accuracy"]
    train, valid = loss.lines
    np.testing.assert_array_equal(train.get_xydata(), [[1, 2], [2, 1], [3, 0.5]])
    # The epoch without a validation leaves no hole in the line.
    np.testing.assert_array_equal(valid.get_xydata(), [[1, 2.5], [3, 1.5]])
    assert (train.get_label(), valid.get_label()) == ("training", "validation")
    assert train.get_linestyle() != valid.get_linestyle()
    assert all(tick == int(tick) for tick in loss.get_xticks())


def test_columns_of_several_losses_are_told_apart(tmp_path, drawn):
    training_curves({"loss": [2.0], "auxiliary_loss": [1.0], "val_loss": [3.0]}, tmp_path / "c.png")
    (ax,) = drawn[0].axes
    assert [line.get_label() for line in ax.lines] == [
        "training loss", "training auxiliary_loss", "validation loss",
    ]  # fmt: skip
    assert ax.lines[0].get_color() == ax.lines[2].get_color() != ax.lines[1].get_color()


def test_error_curve_marks_the_lowest_validation_error(csv, tmp_path, drawn):
    assert error_curve(csv, tmp_path / "e.png").is_file()
    (ax,) = drawn[0].axes
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [60, 12.5, 20])
    assert ax.lines[2].get_xydata().tolist() == [[2.0, 12.5]]
    assert [text.get_text() for text in ax.texts] == ["12.50 %, epoch 2"]


def test_without_epochs_they_count_from_1(tmp_path, drawn):
    error_curve({"accuracy": [0.5, 0.75]}, tmp_path / "e.png")
    assert drawn[0].axes[0].lines[0].get_xdata().tolist() == [1, 2]


@pytest.mark.parametrize(
    "content, words",
    [
        ("", "at least one row"),
        ("epoch,loss\n", "at least one row"),
        ("epoch,loss\n1,high\n", "no table of numbers.*'high'"),
        ("epoch,loss\n1,2,3\n", "no table of numbers"),
    ],
)
def test_files_that_are_no_history(content, words, tmp_path):
    (tmp_path / "h.csv").write_text(content)
    with pytest.raises(ValueError, match=words):
        read_history(tmp_path / "h.csv")


@pytest.mark.parametrize(
    "draw, history, words",
    [
        (training_curves, {"lr": [1.0]}, "No column with numbers ends in loss or accuracy. Received: lr"),
        (error_curve, {"loss": [1.0]}, "No column with numbers ends in accuracy. Received: loss"),
        (error_curve, {"accuracy": [1.0], "epoch": [1, 2]}, "one length"),
        (error_curve, {"accuracy": []}, "No column with numbers"),
        (error_curve, {"accuracy": [np.nan]}, "No column with numbers"),
    ],
)
def test_errors(draw, history, words, tmp_path):
    with pytest.raises(ValueError, match=words):
        draw(history, tmp_path / "x.png")
