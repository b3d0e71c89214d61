from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_pibnas as kp
from keras_pibnas import callbacks, runs

OPS = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3", "dil_conv_3x3")


class Search:
    """What the callbacks read of a supernet: two edges, whose favoured ops a test sets."""

    def __init__(self):
        self.alphas = [keras.Variable(np.zeros((2, 5), "float32")) for _ in range(2)]
        self.space, self.stop_training = SimpleNamespace(primitives=OPS), False

    def favour(self, *columns):
        for alpha in self.alphas:
            alpha.assign(np.eye(5, dtype="float32")[list(columns)])

    def genotype(self):
        pairs = tuple((OPS[int(np.argmax(row))], i) for i, row in enumerate(self.alphas[0].numpy()))
        return kp.Genotype(pairs, pairs, (2,), (2,))


def epochs(callback, *favoured, scores=None):
    """Runs epochs with those favoured columns; returns the search and the number of epochs."""
    search = Search()
    callback.set_model(search)
    for epoch, columns in enumerate(favoured):
        search.favour(*columns)
        callback.on_epoch_end(epoch, {"val_accuracy": scores[epoch]} if scores else {})
        if search.stop_training:
            break
    callback.on_train_end()
    return search, epoch + 1


def test_skip_connections_of_a_cell():
    genotype = kp.genotypes.get("DARTS_V2")
    # As printed in the DARTS repository: two in the normal cell, three in the reduction cell.
    assert (runs.skip_connections(genotype), runs.skip_connections(genotype, "reduce")) == (2, 3)


def test_the_search_stops_at_the_limit_and_keeps_its_alphas():
    lines = []
    search, count = epochs(callbacks.SkipLimit(2, write=lines.append), (3, 3), (1, 3), (1, 1), (3, 3))
    assert count == 3 and runs.skip_connections(search.genotype()) == 2
    assert lines == ["Epoch 3: 2 skip connections in the normal cell, limit 2: stopping"]


def test_nothing_counts_before_at_least():
    assert epochs(callbacks.SkipLimit(1, at_least=2, write=len), (1, 1), (1, 1), (1, 3), (3, 3))[1] == 3


def test_the_best_epoch_below_the_limit_comes_back():
    lines, favoured = [], [(3, 1), (4, 3), (3, 3), (1, 1)]
    search, count = epochs(callbacks.SkipLimit(2, True, write=lines.append), *favoured, scores=[0.1, 0.5, 0.4, 0.9])
    assert count == 4 and [op for op, _ in search.genotype().normal] == ["dil_conv_3x3", "sep_conv_3x3"]
    assert lines[-1] == "The alphas are those of epoch 2 again"


def test_of_an_error_less_is_better():
    favoured = [(3, 1), (4, 3), (3, 3), (1, 1)]
    limit = callbacks.SkipLimit(2, True, write=len, mode="min")
    search, _ = epochs(limit, *favoured, scores=[0.5, 0.1, 0.4, 0.0])
    assert [op for op, _ in search.genotype().normal] == ["dil_conv_3x3", "sep_conv_3x3"]
    with pytest.raises(ValueError, match="'max' or 'min'. Received: mode='least'"):
        callbacks.SkipLimit(mode="least")


def test_without_scores_the_latest_is_the_best_and_without_any_the_last_stay():
    search, _ = epochs(callbacks.SkipLimit(2, True, write=len), (4, 3), (3, 3), (1, 1))
    assert [op for op, _ in search.genotype().normal] == ["sep_conv_3x3"] * 2
    lines = []
    search, _ = epochs(callbacks.SkipLimit(2, True, write=lines.append), (1, 1))
    assert runs.skip_connections(search.genotype()) == 2 and lines[-1].startswith("No epoch was below")


def test_the_state_of_the_limit_survives():
    one = callbacks.SkipLimit(2, True, write=len)
    epochs(one, (4, 3))
    other = callbacks.SkipLimit(2, True, write=len)
    other.set_state(one.get_state())
    search, _ = epochs(other, (1, 1))
    assert [op for op, _ in search.genotype().normal] == ["dil_conv_3x3", "sep_conv_3x3"]


def test_only_learnable_ops_are_ranked():
    alpha = np.array([[9, 8, 7, 1, 2], [0, 0, 0, 5, 5]])
    # Columns 3 and 4 are convolutions; of equal alphas the first comes first.
    assert runs.alpha_ranking([alpha], OPS) == [[[4, 3], [3, 4]]]
    assert runs.alpha_ranking([alpha[:, :3]], OPS[:3]) == [[[0, 1, 2], [0, 1, 2]]]


def test_a_stable_ranking_stops_the_search():
    lines, favoured = [], [(3, 3), (4, 3), (4, 3), (1, 4), (4, 3), (4, 3), (4, 3), (3, 3)]
    # Unchanged after epochs 3, 6 and 7; epoch 4 ranks both edges anew.
    assert epochs(callbacks.StableRanking(2, write=lines.append), *favoured)[1] == 7
    assert lines == ["Epoch 7: the ranking of the alphas is stable for 2 epochs: stopping"]
    assert epochs(callbacks.StableRanking(1, at_least=5, write=len), *favoured)[1] == 6


def test_the_state_of_the_ranking_survives():
    one, other = callbacks.StableRanking(2, write=len), callbacks.StableRanking(2, write=len)
    epochs(one, (3, 4), (3, 4))
    other.set_state(one.get_state())
    assert epochs(other, (3, 4), (3, 4))[1] == 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: callbacks.SkipLimit(0), "limit=0"),
        (lambda: callbacks.StableRanking(0), "epochs=0"),
        (lambda: callbacks.StableRanking(at_least=-1), "at_least=-1"),
    ],
)
def test_wrong_arguments(make, words):
    with pytest.raises(ValueError, match=f"Received: .*{words}"):
        make()
