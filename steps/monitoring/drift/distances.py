"""Distances between a reference and a window, for many ways at once to part the pooled rows in two.

Each function here prepares a distance for n pooled rows and returns it. It takes ``inside``, ``(b, n)`` bool:
b ways to say which of the rows are the window's, as many in each, at least one row and not all. It gives
``(b,)`` float64, larger where the two parts differ more. Nothing that is prepared depends on which rows are
whose, so that permuting the rows says how large a distance chance alone makes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Distance: TypeAlias = Callable[[NDArray[np.bool_]], Floats]

HALF = 0.5
"""Added to every count of a share, so that a class that is missing on one side has a finite distance."""
FOLDS = 5
RIDGE = 0.1
"""Of the mean variance of a dimension: embeddings have more dimensions than a small window has rows."""


def kolmogorov_smirnov(values: Floats) -> Distance:
    """The largest difference between the two empirical distribution functions.

    Args:
        values: ``(n, f)``, a row each; the largest of the f columns' is taken. Equal values are one step.
    """
    places = [_places(column) for column in values.T]

    def of(inside: NDArray[np.bool_]) -> Floats:
        # The functions are furthest apart at a value of either side: those of the smaller one are looked at.
        rows = inside.shape[1]
        members = _members(inside if 2 * inside[0].sum() <= rows else ~inside)
        count = members.shape[1]
        rest = rows - count
        reached = np.arange(1, count + 1) * (1 / count + 1 / rest)
        before_it = reached - (1 / count + 1 / rest)
        largest = np.zeros(len(inside))
        for last, before in places:
            ends = np.sort(last[members], axis=1)
            starts = ends - 1 if before is None else before[ends]
            np.maximum(largest, (reached - ends * (1 / rest)).max(axis=1), out=largest)
            np.maximum(largest, (starts * (1 / rest) - before_it).max(axis=1), out=largest)
        return largest

    return of


def population_stability(codes: NDArray[np.int64], kinds: int) -> Distance:
    """The population stability index of the shares of some kinds.

    Args:
        codes: ``(n,)``, the kind of each row, from 0.
        kinds: how many there are.
    """

    def of(inside: NDArray[np.bool_]) -> Floats:
        window, reference = _shares(inside, codes, kinds)
        index: Floats = ((window - reference) * np.log(window / reference)).sum(axis=1)
        return index

    return of


def kullback_leibler(codes: NDArray[np.int64], kinds: int) -> Distance:
    """The divergence of the window's shares from the reference's, in nats.

    Args:
        codes: ``(n,)``, the kind of each row, from 0.
        kinds: how many there are.
    """

    def of(inside: NDArray[np.bool_]) -> Floats:
        window, reference = _shares(inside, codes, kinds)
        divergence: Floats = (window * np.log(window / reference)).sum(axis=1)
        return divergence

    return of


def mean_difference(values: Floats) -> Distance:
    """The absolute difference of the means of ``(n,)`` values, such as the share of what is 1."""

    def of(inside: NDArray[np.bool_]) -> Floats:
        sums = inside @ values
        counts = inside.sum(axis=1)
        apart: Floats = np.abs(sums / counts - (values.sum() - sums) / (len(values) - counts))
        return apart

    return of


def domain_classifier(embeddings: NDArray[np.float32], seed: int) -> Distance:
    """How well a linear classifier tells, out of fold, whose row is whose: its area under the ROC curve.

    Ridge regression on the membership, which is Fisher's discriminant with a shrunk covariance up to its
    scale, solved in closed form for all ways at once (Lopez-Paz and Oquab, "Revisiting classifier two-sample
    tests", 2017). Each fold's area is of that fold's scores alone; the mean of the folds is taken.

    Args:
        embeddings: ``(n, d)``.
        seed: draws the folds.
    """
    prepared = _scorers(embeddings, seed)

    def of(inside: NDArray[np.bool_]) -> Floats:
        members = inside.astype(np.float32)
        areas = [_area(reduce(np.matmul, scorer, members), inside[:, fold]) for fold, scorer in prepared]
        mean: Floats = np.mean(areas, axis=0)
        return mean

    return of


def membership_scores(embeddings: NDArray[np.float32], inside: NDArray[np.bool_], seed: int) -> Floats:
    """How much each of n rows looks like the window's to that classifier, which did not learn from it.

    Args:
        embeddings: ``(n, d)``.
        inside: ``(n,)``, which rows are the window's.
        seed: draws the folds.
    """
    scores = np.zeros(len(embeddings))
    members = inside[None].astype(np.float32)
    for fold, scorer in _scorers(embeddings, seed):
        scores[fold] = reduce(np.matmul, scorer, members)[0]
    return scores


def _members(inside: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The rows of one side, ``(b, m)``, in their order."""
    rows: NDArray[np.int64] = np.flatnonzero(inside) % inside.shape[1]
    return rows.reshape(len(inside), -1)


def _places(values: Floats) -> tuple[NDArray[np.int32], NDArray[np.int32] | None]:
    """For each value how many are no larger, and for each such number how many are smaller.

    The second is None where it is always one fewer, for no two values are equal.
    """
    ordered = np.sort(values)
    last = np.searchsorted(ordered, values, side="right").astype(np.int32)
    ends = np.unique(last)
    if len(ends) == len(values):
        return last, None
    before = np.zeros(len(values) + 1, dtype=np.int32)
    before[ends[1:]] = ends[:-1]
    return last, before


def _shares(inside: NDArray[np.bool_], codes: NDArray[np.int64], kinds: int) -> tuple[Floats, Floats]:
    """The shares of each kind in window and reference, each ``(b, kinds)``."""
    of_kind = np.zeros((len(codes), kinds), dtype=np.float32)
    of_kind[np.arange(len(codes)), codes] = 1
    window = (inside.astype(np.float32) @ of_kind).astype(np.float64)
    reference = of_kind.sum(axis=0, dtype=np.float64) - window
    window, reference = window + HALF, reference + HALF
    return window / window.sum(axis=1, keepdims=True), reference / reference.sum(axis=1, keepdims=True)


def _scorers(
    embeddings: NDArray[np.float32], seed: int
) -> list[tuple[NDArray[np.int64], list[NDArray[np.float32]]]]:
    """The folds, each with what :func:`_scorer` makes of it."""
    scale = embeddings.std(axis=0)
    rows = (embeddings - embeddings.mean(axis=0)) / np.where(scale > 0, scale, 1)
    # Rows of a fold stay in the order that was drawn: by it those of one score are ranked, as by the lot.
    folds = np.array_split(np.random.default_rng(seed).permutation(len(rows)), FOLDS)
    return [(fold, _scorer(rows, fold)) for fold in folds]


def _scorer(rows: NDArray[np.float32], fold: NDArray[np.int64]) -> list[NDArray[np.float32]]:
    """Matrices that make scores of a fold's rows out of ``(b, n)`` memberships, by the other rows' alone.

    Those are centred, so that the intercept of a membership has no weight.
    """
    others = np.setdiff1d(np.arange(len(rows)), fold)
    learnt = rows[others].astype(np.float64)
    learnt -= learnt.mean(axis=0)
    ridge = RIDGE * float((learnt**2).sum()) / learnt.shape[1] + np.finfo(np.float64).tiny
    if learnt.shape[1] <= len(learnt):
        gram = learnt.T @ learnt
        gram[np.diag_indices_from(gram)] += ridge
        weights = np.zeros((len(rows), learnt.shape[1]), dtype=np.float32)
        weights[others] = np.linalg.solve(gram, learnt.T).T
        return [weights, np.ascontiguousarray(rows[fold].T)]
    kernel = learnt @ learnt.T  # the same scores, from the smaller of the two systems
    kernel[np.diag_indices_from(kernel)] += ridge
    scores = np.zeros((len(rows), len(fold)), dtype=np.float32)
    scores[others] = np.linalg.solve(kernel, learnt @ rows[fold].astype(np.float64).T)
    return [scores]


def _area(scores: NDArray[np.float32], inside: NDArray[np.bool_]) -> Floats:
    """The area under the ROC curve of each row of scores; a half where a fold has rows of one side alone.

    Equal scores are ranked by their places, which must have nothing to do with whose they are.
    """
    ordered = np.take_along_axis(inside, np.argsort(scores, axis=1), axis=1)
    positive = inside.sum(axis=1)
    negative = inside.shape[1] - positive
    above = ordered @ np.arange(1.0, scores.shape[1] + 1) - positive * (positive + 1) / 2
    pairs = positive * negative
    return np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5)
