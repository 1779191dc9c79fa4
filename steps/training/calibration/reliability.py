"""How the probability of answers compares with the share of them that is right, bin by bin."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Of the expected calibration error, as Guo et al. 2017 have it."""


def expected_calibration_error(scores: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """How far the probability of an answer is from the share that is right, on average over all answers.

    Args:
        scores: probabilities ``(n, k)``, n > 0.
        labels: ``(n,)``, the true class numbers.

    Returns:
        From 0 to 1, over ``BINS`` bins of equal width (Guo et al. 2017).
    """
    _, sure, right = reliability(scores, labels)
    return float(np.abs(right - sure).sum() / len(labels))


def reliability(
    scores: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Look at the answers in each of ``BINS`` bins of their probability.

    Args:
        scores: probabilities ``(n, k)``.
        labels: ``(n,)``, the true class numbers.

    Returns:
        Three arrays ``(BINS,)``: how many answers, the sum of their probabilities, how many are right.
    """
    sure = scores.max(axis=1)
    bins = bin_of(sure)
    right = scores.argmax(axis=1) == labels
    counts = np.bincount(bins, minlength=BINS).astype(np.int64)
    sums, hits = (
        np.bincount(bins, weights=each, minlength=BINS).astype(np.float64) for each in (sure, right)
    )
    return counts, sums, hits


def bin_of(sure: NDArray[np.float64]) -> NDArray[np.int64]:
    """The bin, 0 to ``BINS`` - 1, of each probability ``(n,)``; 1 is in the last one."""
    return np.minimum((sure * BINS).astype(np.int64), BINS - 1)
