"""Metrics of a classifier with bootstrap intervals, from true classes, answers and probabilities alone.

Every resample is a weight a row, the number of times it was drawn, so that one product with a sparse matrix
of ones counts something, such as the right answers of each class, in many resamples at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.discrimination import AVERAGES, Discrimination
from materializers.evaluation.metric import Metric
from materializers.evaluation_report import ClassMetrics
from steps.evaluation.intervals import Array, drawn_weights, with_interval

if TYPE_CHECKING:
    from scipy.sparse import csr_array

UNUSABLE = -1
"""The answer for a picture that the serving code refused."""
TOP_K = 3
"""Where nobody sets another: the classes that a person would look at."""


@dataclass(frozen=True)
class Scores:
    """The metrics of some answers, one row a resample: ``(resamples,)``, or by class ``(resamples, k)``."""

    accuracy: Array
    top_k_accuracy: Array
    f1_macro: Array
    roc_auc_macro: Array
    precision_macro: Array
    recall_macro: Array
    precision_weighted: Array
    recall_weighted: Array
    f1_weighted: Array
    precision: Array
    recall: Array
    f1_score: Array
    roc_auc: Array


@dataclass(frozen=True)
class Metrics:
    """Point estimates with their 95 % percentile intervals, named as an ``EvaluationReport`` has them."""

    accuracy: Metric
    f1_macro: Metric
    roc_auc_macro: Metric
    per_class: dict[str, ClassMetrics]
    confusion: tuple[tuple[int, ...], ...]
    discrimination: Discrimination


def evaluate_answers(
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: Array,
    classes: tuple[str, ...],
    *,
    resamples: int,
    seed: int,
    top_k: int = TOP_K,
) -> Metrics:
    """Measure answers.

    Args:
        true: ``(n,)``, the class numbers.
        predicted: ``(n,)``, the class numbers, or ``UNUSABLE``.
        probabilities: ``(n, k)``; the row of an unusable picture is ``worst``.
        classes: the k names.
        resamples: how many bootstrap resamples.
        seed: of the resamples.
        top_k: among how many of the most probable classes the true one counts as found; k - 1 at most.

    Returns:
        What is not defined is None: the precision of a class that was never predicted, the recall of one
        without a test picture, and every mean over the classes that it is part of.
    """
    n, k = len(true), len(classes)
    top_k = min(top_k, k - 1)
    measure = partial(score, true=true, predicted=predicted, probabilities=probabilities, top_k=top_k)
    point = measure(np.ones((1, n)))
    drawn = _joined(measure(weights) for weights in drawn_weights(n, resamples=resamples, seed=seed))

    def metric(name: str, count: int = n, number: int | None = None) -> Metric:
        here, there = getattr(point, name), getattr(drawn, name)
        if number is not None:
            here, there = here[:, number], there[:, number]
        return with_interval(float(here[0]), there, count)

    support = np.bincount(true, minlength=k)
    answered = np.bincount(predicted[predicted != UNUSABLE], minlength=k)
    per_class = {
        label: ClassMetrics(
            precision=metric("precision", int(answered[number]), number),
            recall=metric("recall", int(support[number]), number),
            f1_score=metric("f1_score", int(support[number]), number),
        )
        for number, label in enumerate(classes)
    }
    several = top_k > 1  # the only other class of two is always the second answer
    return Metrics(
        accuracy=metric("accuracy"),
        f1_macro=metric("f1_macro"),
        roc_auc_macro=metric("roc_auc_macro"),
        per_class=per_class,
        confusion=tuple(tuple(row) for row in confusion(true, predicted, k).tolist()),
        discrimination=Discrimination(
            top_k=top_k if several else None,
            top_k_accuracy=metric("top_k_accuracy") if several else None,
            roc_auc={label: metric("roc_auc", n, number) for number, label in enumerate(classes)},
            **{name: metric(name) for name in AVERAGES},
        ),
    )


def score(
    weights: Array,
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    probabilities: Array,
    top_k: int = TOP_K,
) -> Scores:
    """The metrics under each row of ``weights`` ``(resamples, n)``; NaN where one is not defined."""
    k = probabilities.shape[1]
    by_row = np.ascontiguousarray(weights.T)
    total = weights.sum(axis=1)
    usable, hit = predicted != UNUSABLE, predicted == true
    found = rank_of(true, probabilities) < top_k
    support, answered, right = (
        (_ones(group, rows, k) @ by_row).T
        for group, rows in ((true, np.ones(len(true), np.bool_)), (predicted, usable), (true, hit))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        precision, recall, f1_score = right / answered, right / support, 2 * right / (support + answered)
        # A class without a picture has no part in a weighted mean, whatever its numbers are.
        weighted = [
            np.where(support > 0, support * each, 0).sum(axis=1) / total
            for each in (precision, recall, f1_score)
        ]
        areas = [_area(by_row, true == number, probabilities[:, number]) for number in range(k)]
        return Scores(
            accuracy=right.sum(axis=1) / total,
            top_k_accuracy=weights @ found / total,
            f1_macro=f1_score.mean(axis=1),
            roc_auc_macro=np.stack(areas, axis=1).mean(axis=1),
            precision_macro=precision.mean(axis=1),
            recall_macro=recall.mean(axis=1),
            precision_weighted=weighted[0],
            recall_weighted=weighted[1],
            f1_weighted=weighted[2],
            precision=precision,
            recall=recall,
            f1_score=f1_score,
            roc_auc=np.stack(areas, axis=1),
        )


def rank_of(true: NDArray[np.int64], probabilities: Array) -> NDArray[np.int64]:
    """How many classes are more probable than the true one.

    Args:
        true: ``(n,)``, the class numbers.
        probabilities: ``(n, k)``.

    Returns:
        ``(n,)``, 0 to k - 1. Of classes that are as probable the first counts as more so, as in an answer.
    """
    own = probabilities[np.arange(len(true)), true][:, None]
    earlier = np.arange(probabilities.shape[1]) < true[:, None]
    return np.asarray(((probabilities > own) | ((probabilities == own) & earlier)).sum(axis=1))


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
    with np.errstate(invalid="ignore", divide="ignore"):
        return _area(np.ascontiguousarray(weights.T), positive, scores)


def confusion(true: NDArray[np.int64], predicted: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Count answers ``(k, k)``, a row a true class, a column a predicted one; unusable ones are left out."""
    usable = predicted != UNUSABLE
    return np.bincount(true[usable] * k + predicted[usable], minlength=k * k).reshape(k, k)


def worst(true: int, k: int) -> Array:
    """Scores ``(k,)`` for a picture without an answer: below any for its class, above any for the others."""
    row = np.full(k, 2.0)
    row[true] = -1.0
    return row


def _joined(parts: Iterator[Scores]) -> Scores:
    """The scores of all resamples."""
    held = list(parts)
    names = [field.name for field in fields(Scores)]
    return Scores(*(np.concatenate([getattr(part, name) for part in held]) for name in names))


def _area(by_row: Array, positive: NDArray[np.bool_], scores: Array) -> Array:
    """``roc_auc`` with a row of ``by_row`` ``(n, resamples)`` a row.

    Rows are counted by place: one for each score that a positive row has, one for all negative rows between
    two of these. Where a class is one of many that is a small share of the rows.
    """
    order = np.argsort(scores, kind="stable")
    first = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))  # of each run of equal scores
    holds = np.maximum.reduceat(positive[order], first)
    starts = holds | np.concatenate([[True], holds[:-1]])
    lengths = np.diff(first, append=len(scores))
    place = np.empty(len(scores), np.int64)
    place[order] = np.repeat(np.cumsum(starts) - 1, lengths)
    places = int(starts.sum())
    positives = _ones(place, positive, places) @ by_row
    negatives = _ones(place, ~positive, places) @ by_row
    below = np.cumsum(negatives, axis=0) - negatives / 2
    pairs = positives.sum(axis=0) * negatives.sum(axis=0)
    return np.asarray((positives * below).sum(axis=0) / pairs)


def _ones(group: NDArray[np.int64], rows: NDArray[np.bool_], groups: int) -> csr_array:
    """A matrix ``(groups, n)``: 1 where a row is one of ``rows`` ``(n,)`` and of that ``group`` ``(n,)``."""
    from scipy.sparse import csr_array

    columns = np.flatnonzero(rows)
    return csr_array((np.ones(len(columns)), (group[columns], columns)), shape=(groups, len(rows)))
