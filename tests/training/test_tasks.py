import keras
import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from keras_pibnas.data import TASKS
from keras_pibnas.training import tasks
from keras_pibnas.training.metrics import LabelAccuracy, MeanAveragePrecision


def scores(count=200, labels=4, bins=1000):
    """Labels, and probabilities rounded to bins, so that binning changes nothing."""
    rng = np.random.default_rng(0)
    y = rng.random((count, labels)) < np.linspace(0.1, 0.6, labels)
    p = np.round(np.clip(0.3 * y + 0.7 * rng.random(y.shape), 0, 1) * (bins - 1)) / (bins - 1)
    return y.astype("float32"), p


def average_precision(y, p):
    """By hand: at every distinct score, the precision of all above or equal times the recall gained."""
    total, before = 0.0, 0
    for threshold in sorted(set(p), reverse=True):
        chosen = p >= threshold
        hits = y[chosen].sum()
        total += (hits - before) / y.sum() * hits / chosen.sum()
        before = hits
    return total


def test_mean_average_precision_against_numpy_and_scikit_learn():
    y, p = scores()
    metric = MeanAveragePrecision(4, from_logits=False)
    for start in range(0, 200, 30):
        metric.update_state(y[start : start + 30], p[start : start + 30].astype("float32"))
    expected = [average_precision(y[:, label], p[:, label]) for label in range(4)]
    np.testing.assert_allclose(metric.per_label(), expected, atol=1e-5)
    np.testing.assert_allclose(metric.result(), average_precision_score(y, p, average="macro"), atol=1e-5)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_mean_average_precision_of_logits():
    y, p = scores()
    p = np.clip(p, 0.001, 0.999)
    metric, other = MeanAveragePrecision(4), MeanAveragePrecision(4, from_logits=False)
    metric.update_state(y, np.log(p / (1 - p)))
    other.update_state(y, p)
    np.testing.assert_allclose(metric.result(), other.result(), atol=2e-3)


def test_a_label_without_images_does_not_count():
    metric = MeanAveragePrecision(2, from_logits=False)
    metric.update_state([[1, 0], [0, 0]], [[0.9, 0.8], [0.1, 0.9]])
    assert float(metric.result()) == pytest.approx(1)


def test_weights_of_images():
    y, p = scores(count=40)
    weight = np.random.default_rng(1).integers(0, 4, 40)
    metric, repeated = (MeanAveragePrecision(4, from_logits=False) for _ in range(2))
    metric.update_state(y, p, sample_weight=weight)
    repeated.update_state(np.repeat(y, weight, 0), np.repeat(p, weight, 0))
    np.testing.assert_allclose(metric.result(), repeated.result(), rtol=1e-5)
    accuracy, other = LabelAccuracy(4, 0.5), LabelAccuracy(4, 0.5)
    accuracy.update_state(y, p, sample_weight=weight)
    other.update_state(np.repeat(y, weight, 0), np.repeat(p, weight, 0))
    np.testing.assert_allclose(accuracy.per_label(), other.per_label(), rtol=1e-5)


def test_accuracy_of_each_label():
    metric = LabelAccuracy(3)
    metric.update_state([[1, 0, 1], [0, 0, 1]], [[2.0, 1.0, -1.0], [-3.0, -1.0, 0.5]])
    np.testing.assert_allclose(metric.per_label(), [1, 0.5, 0.5])
    assert float(metric.result()) == pytest.approx(2 / 3)


@pytest.mark.parametrize("metric", [MeanAveragePrecision(3, bins=50), LabelAccuracy(3, 0.5)])
def test_metrics_are_saved(metric):
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert again.get_config() == metric.get_config()


def test_metrics_check_their_numbers():
    for make in (MeanAveragePrecision, LabelAccuracy):
        with pytest.raises(ValueError, match="at least one label. Received: labels=0"):
            make(0)
    with pytest.raises(ValueError, match="at least 2. Received: bins=1"):
        MeanAveragePrecision(3, bins=1)


def test_the_tasks_are_those_of_the_data():
    assert tasks.names() == TASKS
    assert [tasks.get(name).name for name in TASKS] == list(TASKS)
    with pytest.raises(ValueError, match="Unknown task 'x'. Known: multiclass, multilabel, regression"):
        tasks.get("x")


LABELS = {
    "multiclass": np.array([0, 2, 1, 2]),
    "multilabel": np.array([[1, 0, 1], [0, 0, 1], [1, 1, 1], [0, 1, 0]], "float32"),
    "regression": np.array([[0.5, 1, -2], [0, 3, 1], [1, 1, 1], [2, -1, 0]], "float32"),
}
LOGITS = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")


def softmax(logits):
    return np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)


def expected_loss(name, y, logits, smoothing=0.0):
    if name == "multiclass":
        target = np.eye(3)[y] * (1 - smoothing) + smoothing / 3
        return -(target * np.log(softmax(logits))).sum(-1).mean()
    if name == "multilabel":
        p, target = 1 / (1 + np.exp(-logits)), y * (1 - smoothing) + smoothing / 2
        return -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
    return ((y - logits) ** 2).mean()


@pytest.mark.parametrize("name", TASKS)
def test_losses_take_logits(name):
    loss = tasks.get(name).loss()
    np.testing.assert_allclose(loss(LABELS[name], LOGITS), expected_loss(name, LABELS[name], LOGITS), rtol=1e-5)


@pytest.mark.parametrize("name", ["multiclass", "multilabel"])
def test_label_smoothing(name):
    loss = tasks.get(name).loss(0.1)
    expected = expected_loss(name, LABELS[name], LOGITS, 0.1)
    np.testing.assert_allclose(loss(LABELS[name], LOGITS), expected, rtol=1e-5)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    np.testing.assert_allclose(again(LABELS[name], LOGITS), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "smoothing", "message"),
    [
        ("regression", 0.1, "no labels to smooth"),
        ("multiclass", 1.0, "below 1. Received: 1.0"),
        ("multilabel", -0.1, "Received: -0.1"),
    ],
)
def test_label_smoothing_says_what_is_wrong(name, smoothing, message):
    with pytest.raises(ValueError, match=message):
        tasks.get(name).loss(smoothing)


def test_activations():
    expected = {"multiclass": softmax(LOGITS), "multilabel": 1 / (1 + np.exp(-LOGITS)), "regression": LOGITS}
    for name, values in expected.items():
        np.testing.assert_allclose(tasks.get(name).activate(LOGITS), values, rtol=1e-5)


@pytest.mark.parametrize("name", TASKS)
def test_every_task_trains_and_watches_its_metric(name):
    task = tasks.get(name)
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(3)])
    model.compile("sgd", task.loss(), metrics=task.metrics(3))
    logs = model.fit(LOGITS, LABELS[name], verbose=0).history
    assert task.monitor in logs and np.isfinite(logs["loss"]).all()
    values = model.evaluate(LOGITS, LABELS[name], verbose=0, return_dict=True)
    if name == "regression":
        error = LABELS[name] - model(LOGITS).numpy()
        np.testing.assert_allclose(
            [values["mae"], values["rmse"]], [abs(error).mean(), (error**2).mean() ** 0.5], rtol=1e-5
        )
    if name == "multiclass":
        assert values["accuracy"] == (model(LOGITS).numpy().argmax(-1) == LABELS[name]).mean()


def test_top5_where_there_are_more_classes():
    assert [metric.name for metric in tasks.get("multiclass").metrics(100)] == ["accuracy", "top5_accuracy"]
