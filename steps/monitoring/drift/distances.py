"""Distances between a reference and a window, for many ways at once to part the pooled rows in two.

Each function here prepares a distance for n pooled rows and returns it. It takes ``inside``, ``(b, n)`` bool:
b ways to say which of the rows are the window's, at least one row and not all in each. It gives ``(b,)``
float64, larger where the two parts differ more. Nothing that is prepared depends on which rows are whose, so
that permuting the rows says how large a distance chance alone makes.
"""

from __future__ import annotations

from collections.abc import Callable
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
    steps = [_steps(column) for column in values.T]

    def of(inside: NDArray[np.bool_]) -> Floats:
        of_window = inside.sum(axis=1, dtype=np.float32)[:, None]
        of_reference = inside.shape[1] - of_window
        largest = np.zeros(len(inside))
        for order, ends in steps:
            reached = np.cumsum(inside[:, order], axis=1, dtype=np.float32)[:, ends]
            apart = np.abs(reached / of_window - (ends + 1 - reached) / of_reference)
            np.maximum(largest, apart.max(axis=1), out=largest)
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
    scale = embeddings.std(axis=0)
    rows = (embeddings - embeddings.mean(axis=0)) / np.where(scale > 0, scale, 1)
    folds = [
        np.sort(fold) for fold in np.array_split(np.random.default_rng(seed).permutation(len(rows)), FOLDS)
    ]
    prepared = [(fold, *_prepared(rows, fold)) for fold in folds]

    def of(inside: NDArray[np.bool_]) -> Floats:
        areas = np.zeros((len(folds), len(inside)))
        for number, (fold, others, solve) in enumerate(prepared):
            members = inside[:, others].astype(np.float32)
            members -= members.mean(axis=1, keepdims=True)
            scores = (rows[fold] @ (solve @ members.T)).T
            areas[number] = _area(scores, inside[:, fold])
        mean: Floats = areas.mean(axis=0)
        return mean

    return of


def _steps(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The order of the values, and in it the last place of each that is equal to others."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))
    return order, ends


def _shares(inside: NDArray[np.bool_], codes: NDArray[np.int64], kinds: int) -> tuple[Floats, Floats]:
    """The shares of each kind in window and reference, each ``(b, kinds)``."""
    of_kind = np.zeros((len(codes), kinds), dtype=np.float32)
    of_kind[np.arange(len(codes)), codes] = 1
    window = (inside.astype(np.float32) @ of_kind).astype(np.float64)
    reference = of_kind.sum(axis=0, dtype=np.float64) - window
    window, reference = window + HALF, reference + HALF
    return window / window.sum(axis=1, keepdims=True), reference / reference.sum(axis=1, keepdims=True)


def _prepared(
    rows: NDArray[np.float32], fold: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The rows outside a fold, and the matrix ``(d, m)`` that makes weights of their memberships."""
    others = np.setdiff1d(np.arange(len(rows)), fold)
    learnt = rows[others].astype(np.float64)
    learnt -= learnt.mean(axis=0)
    ridge = RIDGE * float((learnt**2).sum()) / learnt.shape[1] + np.finfo(np.float64).tiny
    if learnt.shape[1] <= len(learnt):
        gram = learnt.T @ learnt
        gram[np.diag_indices_from(gram)] += ridge
        return others, np.linalg.solve(gram, learnt.T).astype(np.float32)
    kernel = learnt @ learnt.T  # the same weights, from the smaller of the two systems
    kernel[np.diag_indices_from(kernel)] += ridge
    return others, np.linalg.solve(kernel, learnt).T.astype(np.float32)


def _area(scores: NDArray[np.float32], inside: NDArray[np.bool_]) -> Floats:
    """The area under the ROC curve of each row of scores; a half where a fold has rows of one side alone."""
    order = np.argsort(scores, axis=1)
    ranks = np.empty(scores.shape, dtype=np.float64)
    np.put_along_axis(ranks, order, np.arange(1.0, scores.shape[1] + 1)[None, :], axis=1)
    positive = inside.sum(axis=1)
    negative = inside.shape[1] - positive
    above = (ranks * inside).sum(axis=1) - positive * (positive + 1) / 2
    pairs = positive * negative
    return np.where(pairs > 0, above / np.maximum(pairs, 1), 0.5)
