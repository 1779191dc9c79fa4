"""Metrics of a classifier with bootstrap intervals, from true classes, answers and probabilities alone.

Every resample is a weight a row, the number of times it was drawn, so that one matrix product counts the
confusion of many resamples at once and each class is sorted once for all its ROC curves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric
from materializers.evaluation_report import ClassMetrics

Array = NDArray[np.float64]
UNUSABLE = -1
"""The answer for a picture that the serving code refused."""
INTERVAL = (2.5, 97.5)
"""Percentiles: the middle 95 % of the resamples."""
WEIGHTS_AT_A_TIME = 2_000_000
"""How many weights are held at once; 16 MB."""


@dataclass(frozen=True)
class Scores:
    """The metrics of some answers: one column a metric, one row a resample."""

    accuracy: Array
    f1_macro: Array
    roc_auc_macro: Array
    precision: Array
    recall: Array
    f1_score: Array


@dataclass(frozen=True)
class Metrics:
    """Point estimates with their 95 % percentile intervals."""

    accuracy: Metric
    f1_macro: Metric
    roc_auc_macro: Metric
    per_class: dict[str, ClassMetrics]
    confusion: tuple[tuple[int, ...], ...]


def evaluate_answers(
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: Array,
    classes: tuple[str, ...],
    *,
    resamples: int,
    seed: int,
) -> Metrics:
    """Measure answers.

    Args:
        true: ``(n,)``, the class numbers.
        predicted: ``(n,)``, the class numbers, or ``UNUSABLE``.
        probabilities: ``(n, k)``; the row of an unusable picture is ``worst``.
        classes: the k names.
        resamples: how many bootstrap resamples.
        seed: of the resamples.

    Returns:
        What is not defined is None: the precision of a class that was never predicted, the recall of one
        without a test picture, and every mean over the classes that it is part of.
    """
    n, k = len(true), len(classes)
    point = score(np.ones((1, n)), true, predicted, probabilities)
    generator = np.random.default_rng(seed)
    at_a_time = max(1, WEIGHTS_AT_A_TIME // n)
    parts = []
    for start in range(0, resamples, at_a_time):
        draws = min(at_a_time, resamples - start)
        weights = generator.multinomial(n, np.full(n, 1 / n), size=draws).astype(np.float64)
        parts.append(score(weights, true, predicted, probabilities))

    def metric(name: str, column: int | None, count: int) -> Metric:
        def of(scores: Scores) -> Array:
            values: Array = getattr(scores, name)
            return values if column is None else values[:, column]

        drawn = np.concatenate([of(part) for part in parts]) if parts else np.zeros(0)
        return with_interval(float(of(point)[0]), drawn, count)

    support = np.bincount(true, minlength=k)
    answered = np.bincount(predicted[predicted != UNUSABLE], minlength=k)
    per_class = {
        label: ClassMetrics(
            precision=metric("precision", number, int(answered[number])),
            recall=metric("recall", number, int(support[number])),
            f1_score=metric("f1_score", number, int(support[number])),
        )
        for number, label in enumerate(classes)
    }
    return Metrics(
        accuracy=metric("accuracy", None, n),
        f1_macro=metric("f1_macro", None, n),
        roc_auc_macro=metric("roc_auc_macro", None, n),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion(true, predicted, k).tolist()),
    )


def score(
    weights: Array, true: NDArray[np.int64], predicted: NDArray[np.int64], probabilities: Array
) -> Scores:
    """The metrics under each row of ``weights`` ``(resamples, n)``; NaN where one is not defined."""
    k = probabilities.shape[1]
    is_true = np.eye(k)[true]
    is_predicted = np.eye(k + 1)[predicted][:, :k]  # UNUSABLE counts back from the end: a column of its own
    support, answered = weights @ is_true, weights @ is_predicted
    right = weights @ (is_true * is_predicted)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1_score = 2 * right / (support + answered)
        return Scores(
            accuracy=right.sum(axis=1) / weights.sum(axis=1),
            f1_macro=f1_score.mean(axis=1),
            roc_auc_macro=np.stack(
                [roc_auc(weights, true == number, probabilities[:, number]) for number in range(k)], axis=1
            ).mean(axis=1),
            precision=right / answered,
            recall=right / support,
            f1_score=f1_score,
        )


def roc_auc(weights: Array, positive: NDArray[np.bool_], scores: Array) -> Array:
    """The weighted area under the ROC curve of one class against the rest.

    The share of pairs of a positive and a negative row in which the positive one scores higher; equal scores
    count half (Hanley and McNeil, 1982).

    Args:
        weights: ``(resamples, n)``.
        positive: ``(n,)``.
        scores: ``(n,)``.

    Returns:
        ``(resamples,)``; NaN where there is no positive or no negative row.
    """
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each run of equal scores
    ordered, is_positive = weights[:, order], positive[order]
    positives = np.add.reduceat(ordered * is_positive, first, axis=1)
    negatives = np.add.reduceat(ordered * ~is_positive, first, axis=1)
    below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((positives * below).sum(axis=1) / pairs)


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Count answers ``(k, k)``, a row a true class, a column a predicted one; unusable ones are left out."""
    usable = predicted != UNUSABLE
    return np.bincount(true[usable] * k + predicted[usable], minlength=k * k).reshape(k, k)


def worst(true: int, k: int) -> Array:
    """Scores ``(k,)`` for a picture without an answer: below any for its class, above any for the others."""
    row = np.full(k, 2.0)
    row[true] = -1.0
    return row


def with_interval(point: float, drawn: Array, n: int) -> Metric:
    """A point estimate with the percentiles of its resamples; what is not finite is None."""
    if not np.isfinite(point):
        return Metric(value=None, low=None, high=None, n=n)
    defined = drawn[np.isfinite(drawn)]
    if not len(defined):
        return Metric(value=point, low=None, high=None, n=n)
    low, high = np.percentile(defined, INTERVAL)
    return Metric(value=point, low=float(low), high=float(high), n=n)
