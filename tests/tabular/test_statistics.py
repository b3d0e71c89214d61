"""Spreads, ranks and expectations, held to enumeration."""

import itertools

import numpy as np
import pytest

from keras_pibnas.tabular import best_of, expectation, kendall_tau, spread


def test_spread_over_cells_and_seeds():
    # Means 1, 2, 3, 4, 5: quartiles 2 and 4. Deviations of the seeds: +-0.1 in four cells, +-0.3 in one.
    deviations = np.array([0.1, 0.1, 0.1, 0.1, 0.3])
    accuracies = np.arange(1, 6)[:, None] + deviations[:, None] * [-1, 1]
    found = spread(accuracies)
    assert found.cells == pytest.approx(2.0)
    assert found.seeds == pytest.approx(np.sqrt(2 * (4 * 0.01 + 0.09) / 5))
    assert found.ratio == pytest.approx(found.cells / found.seeds)


def test_spread_leaves_out_what_was_not_trained():
    whole = spread([[1.0, 3.0], [2.0, 2.0]])
    assert spread([[1.0, 3.0, np.nan], [2.0, 2.0, np.nan]]) == whole
    # Sums of squares 2 and 0, one degree of freedom each.
    assert whole.seeds == pytest.approx(1.0)


@pytest.mark.parametrize("scores", [[0.1, 0.5, 0.3, 0.9, 0.7], [0.5, 0.5, 0.1, 0.9, 0.9, 0.9]])
@pytest.mark.parametrize("draws", [1, 2, 4])
def test_best_of_is_the_share_of_all_draws(scores, draws):
    shares = np.zeros(len(scores))
    drawn = list(itertools.combinations(range(len(scores)), draws))
    for cells in drawn:
        best = [cell for cell in cells if scores[cell] == max(scores[c] for c in cells)]
        shares[best] += 1 / len(best) / len(drawn)
    assert best_of(scores, draws) == pytest.approx(shares)


def test_best_of_refuses_more_draws_than_cells():
    with pytest.raises(ValueError, match="draws=4"):
        best_of([1, 2, 3], 4)


def test_expectation():
    mean, deviation = expectation([1.0, 3.0], [0.25, 0.75])
    assert (mean, deviation) == (2.5, pytest.approx(np.sqrt(0.25 * 2.25 + 0.75 * 0.25)))


def test_kendall_tau_with_ties():
    # Pairs: 6; first ties one of them, second none. Concordant 4, discordant 1: (4 - 1) / sqrt(5 * 6).
    assert kendall_tau([1, 1, 2, 3], [1, 2, 4, 3]) == pytest.approx(3 / np.sqrt(30))
    assert kendall_tau([3, 2, 1], [1, 2, 3]) == -1
    assert np.isnan(kendall_tau([1, 1], [1, 2]))
