"""Each distance is what its definition says, for every way to part the rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import entropy, ks_2samp
from sklearn.metrics import roc_auc_score

from steps.monitoring.drift import distances
from steps.monitoring.drift.distances import (
    domain_classifier,
    kolmogorov_smirnov,
    kullback_leibler,
    mean_difference,
    membership_scores,
    population_stability,
)

N, WINDOW = 60, 20


def partings(count: int = 5, n: int = N) -> np.ndarray:
    """Ways to say which rows are the window's."""
    inside = np.zeros((count, n), dtype=bool)
    inside[:, :WINDOW] = True
    return np.random.default_rng(0).permuted(inside, axis=1)


def test_kolmogorov_smirnov_is_scipys() -> None:
    """It is scipy's statistic, with equal values, for each parting; of several columns the largest."""
    draw = np.random.default_rng(1)
    values = np.column_stack([draw.normal(size=N), draw.integers(0, 4, size=N)]).astype(float)
    inside = partings()
    found = kolmogorov_smirnov(values)(inside)
    expected = [max(ks_2samp(column[row], column[~row]).statistic for column in values.T) for row in inside]
    assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("of_window", [1, 30, 59])
def test_kolmogorov_smirnov_is_scipys_whichever_side_is_smaller(of_window: int) -> None:
    """Only the smaller side's values are looked at, and the distance is that of all."""
    draw = np.random.default_rng(6)
    for values in (draw.normal(size=N), draw.integers(0, 3, size=N).astype(float), np.ones(N)):
        inside = draw.permuted(np.tile(np.arange(N) < of_window, (5, 1)), axis=1)
        expected = [ks_2samp(values[row], values[~row], method="asymp").statistic for row in inside]
        assert kolmogorov_smirnov(values[:, None])(inside) == pytest.approx(expected, abs=1e-12)


def test_divergences_are_scipys() -> None:
    """They are entropies of the shares with half a row added to each kind; the index is symmetric."""
    codes = np.random.default_rng(2).integers(0, 3, size=N)
    inside = partings()
    divergence, index = kullback_leibler(codes, 4)(inside), population_stability(codes, 4)(inside)
    for row, one, both in zip(inside, divergence, index, strict=True):
        window, reference = (np.bincount(codes[part], minlength=4) + 0.5 for part in (row, ~row))
        assert one == pytest.approx(entropy(window, reference))
        assert both == pytest.approx(entropy(window, reference) + entropy(reference, window))


def test_a_kind_that_is_missing_on_one_side_has_a_finite_distance() -> None:
    """A class that the reference never answered does not make the divergence infinite."""
    codes = np.array([0] * 40 + [1] * 20)
    inside = np.arange(60)[None, :] >= 40
    assert np.isfinite(kullback_leibler(codes, 2)(inside)).all()


def test_mean_difference_is_the_difference_of_the_means() -> None:
    """Of shares, of what is true of a row or is not."""
    values = np.random.default_rng(3).random(N)
    inside = partings()
    expected = [abs(values[row].mean() - values[~row].mean()) for row in inside]
    assert mean_difference(values)(inside) == pytest.approx(expected)


def test_the_domain_classifier_finds_what_differs_and_only_that() -> None:
    """Rows that lie elsewhere are told apart nearly always, rows of one distribution half the time."""
    draw = np.random.default_rng(4)
    rows = draw.normal(size=(400, 16)).astype(np.float32)
    rows[200:, 0] += 4
    inside = np.zeros((2, 400), dtype=bool)
    inside[0, 200:] = True
    inside[1, ::2] = True
    apart, same = domain_classifier(rows, seed=0)(inside)
    assert apart > 0.95
    assert same == pytest.approx(0.5, abs=0.1)


def test_the_domain_classifiers_weights_are_ridge_regressions() -> None:
    """Its area is that of scikit-learn's ridge regression, for more and for fewer dimensions than rows."""
    from sklearn.linear_model import Ridge

    draw = np.random.default_rng(5)
    for dimensions in (8, 120):
        rows = draw.normal(size=(100, dimensions)).astype(np.float32)
        inside = partings(3, 100)
        scaled = (rows - rows.mean(axis=0)) / rows.std(axis=0)
        areas = np.zeros(len(inside))
        folds = np.array_split(np.random.default_rng(0).permutation(100), distances.FOLDS)
        for fold in folds:
            others = np.setdiff1d(np.arange(100), fold)
            centred = scaled[others] - scaled[others].mean(axis=0)
            strength = distances.RIDGE * (centred.astype(float) ** 2).sum() / dimensions
            for number, row in enumerate(inside):
                fitted = Ridge(alpha=strength).fit(scaled[others], row[others].astype(float))
                areas[number] += roc_auc_score(row[fold], fitted.predict(scaled[fold])) / len(folds)
        assert domain_classifier(rows, seed=0)(inside) == pytest.approx(areas, abs=0.01)


@pytest.mark.parametrize("kinds", [1, 3], ids=["all equal", "three different ones"])
def test_equal_rows_are_not_told_apart_by_whose_come_first(kinds: int) -> None:
    """Of pictures that were asked about again and again, the window's lie behind the reference's."""
    draw = np.random.default_rng(8)
    rows = draw.normal(size=(kinds, 8)).astype(np.float32)[np.tile(np.arange(kinds), 400 // kinds)]
    inside = np.arange(len(rows))[None] >= len(rows) // 2
    assert domain_classifier(rows, seed=0)(inside)[0] == pytest.approx(0.5, abs=0.1)


def test_membership_scores_are_those_whose_area_the_distance_is() -> None:
    """Each row's is of a classifier that learnt from the other folds."""
    draw = np.random.default_rng(7)
    for dimensions in (8, 120):
        rows = draw.normal(size=(100, dimensions)).astype(np.float32)
        inside = np.arange(100) >= 60
        scores = membership_scores(rows, inside, seed=0)
        folds = np.array_split(np.random.default_rng(0).permutation(100), distances.FOLDS)
        area = np.mean([roc_auc_score(inside[fold], scores[fold]) for fold in folds])
        assert domain_classifier(rows, seed=0)(inside[None])[0] == pytest.approx(area, abs=1e-6)
