"""Percentiles of latencies and the share of failures, with intervals that assume no distribution."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from materializers.evaluation.metric import Metric

CONFIDENCE = 0.95


def rank(n: int, share: float) -> int:
    """The place, from 1, of the value among n in order that ``share`` of them do not exceed."""
    return max(1, math.ceil(n * share - 1e-9))  # 0.99 × 100 is a little more than 99 in floating point


def percentile(values: NDArray[np.float64], share: float) -> Metric:
    """An order statistic with the interval that two others are.

    How many of n values lie below the true percentile is binomial, whatever they are drawn from. The interval
    reaches from the l-th to the u-th, where that number is l at least and u - 1 at most in 95 of 100 samples,
    and beyond either end in 2.5 at most (Hahn and Meeker, Statistical Intervals, 1991, 5.2). It is too narrow
    where values depend on one another, as those do that wait behind the same stall.

    Args:
        values: ``(n,)``, n ≥ 1; infinite for what never came.
        share: of them that the percentile is not exceeded by, such as 0.99.

    Returns:
        What is infinite is None, and so is an end that n values cannot bound.
    """
    from scipy.stats import binom

    ordered, n = np.sort(values), len(values)
    low, high = (int(binom.ppf(tail, n, share)) for tail in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
    return Metric(
        value=_finite(ordered[rank(n, share) - 1]),
        low=_finite(ordered[low - 1]) if low >= 1 else None,
        high=_finite(ordered[high]) if high < n else None,
        n=n,
    )


def _finite(value: np.float64) -> float | None:
    return float(value) if np.isfinite(value) else None
