"""Whether the answers collapsed to few classes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric


def expected_classes(true: NDArray[np.int64], k: int, min_n: int) -> NDArray[np.int64]:
    """The numbers of the classes that have at least ``min_n`` of the pictures ``true``, ``(n,)``."""
    return np.flatnonzero(np.bincount(true, minlength=k) >= min_n)


def predicted_share(expected: NDArray[np.int64], predicted: NDArray[np.int64]) -> Metric:
    """The share of the expected classes, one at least, that are among the answers ``(n,)``."""
    return Metric(value=float(np.isin(expected, predicted).mean()), n=len(expected))


def evenness(numbers: NDArray[np.int64], k: int) -> float | None:
    """The entropy of a mix of classes, as a share of the largest one that k classes can have.

    Args:
        numbers: ``(n,)``, from 0 to k − 1; others, which are no answer, are left out.
        k: at least 2.

    Returns:
        0 where all are of one class, 1 where every class is there as often; None without any.
    """
    counts = np.bincount(numbers[numbers >= 0], minlength=k)
    if not counts.sum():
        return None
    shares = counts[counts > 0] / counts.sum()
    return float(np.clip(-(shares * np.log(shares)).sum() / np.log(k), 0, 1))
